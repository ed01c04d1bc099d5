"""`sfumato find` and `sfumato parts`, as a user types them."""

import pytest
import skimage.data
from PIL import Image


@pytest.fixture
def astronaut(room):
    Image.fromarray(skimage.data.astronaut()).save("astronaut.png")
    return "astronaut.png"


def test_without_parts_find_says_the_one_command(sfumato, astronaut):
    done = sfumato("find", astronaut, "--json")
    assert done.code == 5
    assert done.json["do"].startswith("Fetch it once: sfumato parts get face-full-range")


@pytest.mark.part("face-full-range", "face-mesh", "palm", "hand-landmarks")
def test_find_prints_json_and_draws(sfumato, astronaut, parts):
    done = sfumato("find", astronaut, "--json", "--out", "marked.png")
    assert done.code == 0
    assert {one["kind"] for one in done.json["found"]} == {"face", "person", "eye", "mouth"}
    assert all(set(one) == {"kind", "box", "confidence", "by"} for one in done.json["found"])
    with Image.open("marked.png") as marked:
        assert marked.size == (512, 512)
    told = sfumato("find", astronaut, "--kinds", "face")
    assert told.out.startswith("face ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("absent.png",),
        ("astronaut.png", "--kinds", "fase"),
        ("astronaut.png", "--by", "nobody"),
        ("astronaut.png", "--out", "marked.txt"),
        ("astronaut.png", "--out", "astronaut.png"),
        (".",),
    ],
)
def test_wrong_words_are_refused(sfumato, astronaut, arguments):
    done = sfumato("find", *arguments, "--json")
    assert done.code == 2, done.out
    assert done.json["error"] == "request"


def test_parts_are_listed_and_shown(sfumato):
    done = sfumato("parts", "list", "--json")
    rows = {row["name"]: row for row in done.json["parts"]}
    assert rows["palm"]["state"] == "absent"
    assert rows["palm"]["licence"].startswith("Apache-2.0")
    assert "palm" in sfumato("parts", "list").out
    assert sfumato("parts", "show", "palm", "--json").json["package"] == "mediapipe==0.10.21"
    assert sfumato("parts", "show", "plam").code == 2
    assert sfumato("parts", "get", "plam").code == 2
