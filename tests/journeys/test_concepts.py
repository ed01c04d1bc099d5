"""From photos to a picture with the concept, by the command line; and what a newcomer gets wrong."""

import re

import pytest

from bundles import tiny_mini
from concept_folders import write_photos


@pytest.fixture
def photos(room, monkeypatch):
    monkeypatch.setenv("SFUMATO_CONCEPTS", str(room / "concepts"))
    return write_photos(room / "photos")


def test_five_pictures_three_commands_one_picture(sfumato, render, photos, room):
    made = sfumato("concept", "new", "bo", photos, "--class", "cat", "--json")
    assert (made.code, made.json["pictures"], made.json["masks"]) == (0, 5, 5)
    evaluation = room / "concepts" / "bo.concept" / "evaluation.json"
    evaluation.write_text('{"prompts": ["a {}"], "seeds": [1]}')
    taught = sfumato("concept", "train", "bo", "--steps", 2, "--rank", 2, "--model", tiny_mini(), "--json")
    assert taught.code == 0
    assert taught.json["build"]["steps"] == 2
    assert "step 0: loss" in taught.err
    names = [row["name"] for row in taught.json["card"]["rows"]]
    assert "pictures that change, of prompts without the trigger" in names
    page = (room / "concepts" / "bo.concept" / "card.html").read_text()
    assert "bo waving" in page
    assert "<script src" not in page

    drawn = render("a bo", "--concept", "bo", "--out", "bo.png", "--json")
    assert drawn.code == 0
    assert drawn.json["request"]["concepts"][0]["path"].endswith("bo.concept")
    again = render("--from", "bo.png", "--out", "again.png", "--json")
    assert again.json["sha256"] == drawn.json["sha256"]
    listed = sfumato("concept", "list").out
    assert "bo  cat, trigger bo, 5 pictures" in listed
    assert "(lora)" in listed


def test_what_a_newcomer_gets_wrong(sfumato, render, photos):
    assert render("a bo", "--concept", "bo").code == 2
    assert sfumato("concept", "train", "bo").code == 2
    assert "--class" in sfumato("concept", "new", "bo", photos).err
    common = sfumato("concept", "new", "bo", photos, "--class", "cat", "--trigger", "beach")
    assert "--trigger" in common.err
    assert sfumato("concept", "new", "bo", photos, "--class", "cat").code == 0
    untaught = render("a bo", "--concept", "bo")
    assert "sfumato concept train bo" in untaught.err
    wrong = sfumato("concept", "train", "bo", "--rung", "magic")
    assert (wrong.code, "--rung" in wrong.err) == (2, True)
    assert sfumato("concept", "train", "bo", "--rung", "words", "--steps", 3).code == 2


def test_a_broken_concept_is_told_and_not_hidden(sfumato, room, monkeypatch):
    monkeypatch.setenv("SFUMATO_CONCEPTS", str(room))
    (room / "bo.concept").mkdir()
    (room / "bo.concept" / "concept.toml").write_text("garbage")
    listed = sfumato("concept", "list", "--json")
    assert (listed.code, listed.json["concepts"]) == (0, [])
    assert "concept.toml" in listed.json["unreadable"][0]
    assert "warning" in listed.err


def test_a_taught_concept_is_composed_and_exported_and_a_name_is_probed(sfumato, photos, room, monkeypatch):
    assert sfumato("concept", "new", "bo", photos, "--class", "cat").code == 0
    assert sfumato("concept", "train", "bo", "--steps", 1, "--rank", 2, "--model", tiny_mini(), "--no-card").code == 0
    base = ("--model", tiny_mini())
    drawn = sfumato(
        "concept", "compose", "a dog and a cat", "--place", "bo@left:a bo", "--seed", 3, "--steps", 1, *base, "--json"
    )
    assert drawn.json["request"]["concepts"][0]["region"] == "left"
    assert sfumato("concept", "compose", "a cat", "--place", "bo@nowhere", *base).code == 2
    exported = sfumato("concept", "export", "bo", "--out", "files", "--form", "comfyui", *base, "--json")
    assert exported.json["lora"].endswith("models/loras/bo_lora.safetensors")
    wrong = sfumato("concept", "export", "bo", "--out", "files", "--form", "pt", *base)
    assert (wrong.code, "--form" in wrong.err) == (2, True)
    (room / "names.txt").write_text("zorb\nbabu\n")
    monkeypatch.setattr("sfumato.customize.probe.CONTROLS", 3)
    asked = sfumato("concept", "probe", "--names", "names.txt", "--class", "cat", *base, "--json")
    assert {one["name"] for one in asked.json["names"]} == {"zorb", "babu"}
    assert sfumato("concept", "probe", *base).code == 2


def test_a_budget_that_is_too_small_names_the_least_that_fits(sfumato, photos, monkeypatch):
    monkeypatch.setattr("sfumato.workflows.personalize.teach.measure_program_bytes", lambda: 300_000_000)
    assert sfumato("concept", "new", "bo", photos, "--class", "cat").code == 0
    for rung in ("lora", "full"):
        asked = ("concept", "train", "bo", "--model", tiny_mini(), "--no-card", "--rung", rung, "--steps", 1)
        refused = sfumato(*asked, "--budget-gb", 0.1)
        assert refused.code == 3
        least = re.search(r"--budget-gb[` ]+to ([0-9.]+)", refused.err)
        assert least, refused.err
        assert ("blocks computed twice" in refused.err) or ("rows at once" in refused.err)
        planned = sfumato(*asked, "--budget-gb", least[1], "--plan", "--json")
        assert planned.code == 0
        assert planned.json["peak_bytes"] <= float(least[1]) * 1e9
        assert planned.json["settings"]["rung"] == rung
        taught = sfumato(*asked, "--budget-gb", least[1], "--json")
        assert taught.code == 0, taught.err
        assert taught.json["build"]["settings"] == planned.json["settings"]


def test_a_whole_model_is_exported_and_drawn_with(sfumato, render, photos, room):
    assert sfumato("concept", "new", "bo", photos, "--class", "cat").code == 0
    base = ("--model", tiny_mini())
    taught = sfumato("concept", "train", "bo", "--rung", "full", "--steps", 1, "--no-card", *base, "--json")
    assert taught.json["build"]["model"] == "model"
    exported = sfumato("concept", "export", "bo", "--out", "files", "--form", "diffusers", *base, "--json")
    assert exported.json["model"].endswith("files/bo")
    drawn = render("a bo", "--model", "files/bo", "--out", "bo.png", "--json")
    assert drawn.code == 0
    refused = sfumato("concept", "export", "bo", "--out", "files", "--form", "a1111", *base)
    assert (refused.code, "single-file" in refused.err) == (5, True)
