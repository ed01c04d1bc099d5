"""Hands from the command line: checked in a render, worked on in a picture, told, written down, and refunded."""

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from sfumato.workflows.repair.ledger import read_ledger
from sfumato.world.stream import Wish, make_sample

USUAL = ("--dtype", "fp32", "--steps", "2", "--seed", "3", "--no-report")


@pytest.fixture
def picture(room, monkeypatch):
    monkeypatch.setenv("SFUMATO_STATE", str(room / "state"))
    Image.fromarray(make_sample(910_003, size=96, wish=Wish(shot="hand")).image).save(room / "a.png")
    return room / "a.png"


def test_a_hand_that_the_user_names_is_worked_on_and_written_down(sfumato, picture, room):
    asked = (
        "repair",
        "a.png",
        "--model",
        tiny_mini(),
        *USUAL,
        "--box",
        "20,10,56,70:extra",
        "--out",
        "b.png",
        "--json",
    )
    done = sfumato(*asked)
    assert done.code == 0
    (hand,) = done.json["anatomy"]["hands"]
    (repair,) = done.json["anatomy"]["repairs"]
    assert hand["box"] == repair["box"] == [20, 10, 56, 70]
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (picture, "b.png"))
    # An untrained model mends nothing: what both judges do not accept leaves every pixel as it was.
    assert repair["verdict"] == "rolled-back"
    assert repair["candidates"] == 16
    assert np.array_equal(before, after)
    (entry,) = read_ledger(room / "state" / "ledger.jsonl").entries
    assert entry["delivered"] == "flagged"
    assert entry["picture"]["sha256"] == done.json["sha256"]
    shown = sfumato("ledger", "show", "--json").json
    assert shown["entries"][0]["replayed"]
    assert sfumato("ledger", "refunds", "--json").json["pictures"] == 1
    again = sfumato("render", "--from", "b.png", "--dtype", "fp32", "--no-report", "--out", "c.png", "--json")
    assert again.json["sha256"] == done.json["sha256"]


def test_a_picture_is_withheld_where_the_user_wishes(sfumato, picture, room):
    asked = ("repair", "a.png", "--model", tiny_mini(), *USUAL, "--box", "20,10,56,70:extra", "--out", "b.png")
    done = sfumato(*asked, "--unrepaired", "withhold")
    assert done.code == 5
    assert "withheld" in done.err
    assert not (room / "b.png").exists()
    assert not list(room.glob("*.work"))
    assert read_ledger(room / "state" / "ledger.jsonl").entries[0]["delivered"] == "withheld"


def test_a_render_is_checked_and_planned(render, sfumato, room, monkeypatch):
    monkeypatch.setenv("SFUMATO_STATE", str(room / "state"))
    assert "hands" in render("a man", "--size", "64x64", "--anatomy", "repair", command="plan").out
    plain = render("a man", "--size", "64x64", "--json").json
    checked = render("a man", "--size", "64x64", "--anatomy", "check", "--json").json
    assert plain["anatomy"] is None
    assert checked["anatomy"]["mode"] == "check"
    assert checked["request"]["anatomy"]["mode"] == "check"
    assert len(read_ledger(room / "state" / "ledger.jsonl").entries) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("repair", "a.png"), "needs a --model"),
        (("repair", "none.png", "--model", "mini"), "no such picture"),
        (("repair", "a.png", "--model", "mini", "--box", "90,90,40,40"), "outside the picture"),
        (("repair", "a.png", "--model", "mini", "--box", "1,1,9,9:ugly"), "another way"),
        (("repair", "a.png", "--model", "mini", "--unrepaired", "hide"), "flag or withhold"),
        (("render", "a hand", "--anatomy", "mend"), "--anatomy is off, check or repair"),
        (("render", "a hand", "--unrepaired", "flag"), "no effect"),
        (("ledger", "refunds", "--unit", "hour"), "another unit"),
    ],
)
def test_wrong_requests_leave_with_2(sfumato, picture, arguments, words):
    done = sfumato(*arguments)
    assert done.code == 2
    assert words in done.err
