"""A comparison that cannot be is refused before anything is loaded, and leaves finished cards as they are."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--minutes", "-1"), "--minutes"),
        (("--minutes", "0"), "--minutes"),
        (("--minutes", "nan"), "--minutes"),
        (("--methods", "16x"), "lanczos, gobig, txt2imghd, multidiffusion, demofusion, cohesive"),
        (("--pictures-16x", "-3"), "--pictures-16x"),
        (("--pictures-16x", "1000000"), "--pictures-16x"),
        (("--pictures-4x", "0", "--pictures-16x", "0", "--pictures-64x", "0"), "nothing to compare"),
    ],
)
def test_wrong_comparisons_leave_with_2_and_touch_nothing(sfumato, room, arguments, words):
    (room / "cards.jsonl").write_text("finished\n")
    # A model that is not there would be told first if anything was opened.
    done = sfumato("evaluate", "hires", "--out", room, "--model", room / "none", *arguments)
    assert done.code == 2
    assert words in done.err
    assert [path.name for path in room.iterdir()] == ["cards.jsonl"]
    assert (room / "cards.jsonl").read_text() == "finished\n"
