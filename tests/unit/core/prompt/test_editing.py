"""Text that changes between steps, and brackets that only look like it."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.prompt.editing import read_edits, render_text


def changes(text, steps=10):
    """The text from each step at which it changes."""
    nodes = read_edits(text)
    seen = {}
    last = None
    for step in range(steps):
        rendered = render_text(nodes, step, steps)
        if rendered != last:
            seen[step] = rendered
        last = rendered
    return seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [cat:dog:4] b", {0: "a cat b", 4: "a dog b"}),
        ("a [cat:dog:0.4]", {0: "a cat", 4: "a dog"}),
        ("a [cat:dog:.25]", {0: "a cat", 2: "a dog"}),
        ("[dog:4]", {0: "", 4: "dog"}),
        ("[cat::4]", {0: "cat", 4: ""}),
        ("[ cat : dog : 4 ]", {0: " cat ", 4: " dog "}),
        ("[a:b:0]", {0: "b"}),
        ("[a:b:-3]", {0: "b"}),
        ("[a:b:10]", {0: "a"}),
        ("[a:b:1.0]", {0: "a"}),
        ("[a:[b:c:6]:3]", {0: "a", 3: "b", 6: "c"}),
        ("[[a:b:2]:[c:d:8]:5]", {0: "a", 2: "b", 5: "c", 8: "d"}),
        ("[(a:1.2):(b:1.3):5]", {0: "(a:1.2)", 5: "(b:1.3)"}),
        ("([a:b:5]:1.2)", {0: "(a:1.2)", 5: "(b:1.2)"}),
        (r"[a\:x:b:5]", {0: r"a\:x", 5: "b"}),
    ],
)
def test_editing(text, expected):
    assert changes(text) == expected


def test_turns():
    assert [render_text(read_edits("[a|b|c]d"), step, 9) for step in range(5)] == ["ad", "bd", "cd", "ad", "bd"]
    assert [render_text(read_edits("[fe|]male"), step, 9) for step in range(3)] == ["female", "male", "female"]


def test_turns_nest_and_hold_edits():
    nodes = read_edits("[[a|b]|[c:d:3]]")
    assert [render_text(nodes, step, 6) for step in range(6)] == ["a", "c", "a", "d", "a", "d"]


@pytest.mark.parametrize(
    "text", ["[word]", "[a:b]", "[a:b:c:0.5]", "[a:b:x]", "a|b", "(a|b)", "a:b:5", "[]", "[5]", r"\[a:b:5\]", "[a:1e3]"]
)
def test_what_is_no_edit_stays_text(text):
    assert changes(text) == {0: text}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [unbalanced", {0: "a [unbalanced"}),
        ("a ] b ) c", {0: "a ] b ) c"}),
        ("((x][:b:c [d:3]", {0: "((x][:b:c ", 3: "((x][:b:c d"}),
        ("[(a:b:5]", {0: "(a", 5: "b"}),
        ("(a [b:c:5)", {0: "(a [b:c:5)"}),
        ("[a:b:5", {0: "[a:b:5"}),
    ],
)
def test_unbalanced_brackets_stay_text(text, expected):
    assert changes(text) == expected


def test_numbers_win_over_bars():
    assert changes("[a|b:5]") == {0: "", 5: "a|b"}


def test_depth_is_capped():
    assert changes("[" * 32 + "a" + ":0]" * 32) == {0: "a"}
    with pytest.raises(RequestError, match="nest"):
        read_edits("[" * 33)


def test_share_of_steps_is_not_lost_to_rounding():
    # 0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996.
    assert list(changes("[a:b:0.29]", 100)) == [0, 29]
    assert list(changes("[a:b:0.07]", 100)) == [0, 7]
