"""`sfumato check`, as a user types it."""

import pytest
from PIL import Image

from sfumato.world.stream import Wish, make_sample


@pytest.fixture
def hand(room):
    Image.fromarray(make_sample(3, size=128, wish=Wish(shot="hand")).image).save("hand.png")
    return "hand.png"


def test_without_parts_check_says_the_one_command(sfumato, hand):
    done = sfumato("check", hand, "--json")
    assert done.code == 5
    assert done.json["do"].startswith("Fetch it once: sfumato parts get ")
    assert {"palm", "hand-landmarks"} <= set(done.json["do"].split())


def test_a_hand_in_a_box_gets_a_verdict_and_a_marked_copy(sfumato, hand):
    done = sfumato("check", hand, "--box", "20,10,90,100", "--json", "--out", "marked.png")
    assert done.code == 0
    (picture,) = done.json["pictures"]
    assert picture["bodies"] == []
    assert picture["marked"] == "marked.png"
    (one,) = picture["hands"]
    assert one["verdict"] in ("ok", "goof", "licensed", "not-countable", "abstain")
    with Image.open("marked.png") as marked:
        assert marked.size == (128, 128)


def test_several_pictures_are_checked_and_marked_in_a_folder(sfumato, hand):
    Image.open(hand).save("other.png")
    done = sfumato("check", hand, "other.png", "--by", "drawn", "--out", "marked")
    assert done.code == 0
    assert done.out.count("found") == 2
    for name in ("01_hand.png", "02_other.png"):
        with Image.open(f"marked/{name}") as marked:
            assert marked.size == (128, 128)


@pytest.mark.parametrize(
    "arguments",
    [
        ("absent.png",),
        ("hand.png", "--by", "nobody"),
        ("hand.png", "--box", "1,2,3"),
        ("hand.png", "--box", "1,2,0,5"),
        ("hand.png", "--box", "1,2,5,5", "--by", "drawn"),
        ("hand.png", "--box", "900,900,5,5"),
        ("hand.png", "hand.png", "--box", "1,2,5,5"),
        ("hand.png", "--out", "marked.txt"),
        ("hand.png", "--out", "hand.png"),
        (".",),
    ],
)
def test_wrong_words_are_refused(sfumato, hand, arguments):
    done = sfumato("check", *arguments, "--json")
    assert done.code == 2, done.out
    assert done.json["error"] == "request"
