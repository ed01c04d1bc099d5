"""Emphasis, escapes and BREAK, with brackets that do not close."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.prompt.weights import DEEPEST_NESTING, read_weights


def weights(text):
    (segment,) = read_weights(text)
    return [(span.text, round(span.weight, 6)) for span in segment]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(word)", [("word", 1.1)]),
        ("[word]", [("word", 0.909091)]),
        ("(word:1.3)", [("word", 1.3)]),
        ("(word:.5)", [("word", 0.5)]),
        ("(word: 2 )", [("word", 2.0)]),
        ("(word:-0.5)", [("word", -0.5)]),
        ("((word))", [("word", 1.21)]),
        ("([word])", [("word", 1.0)]),
        ("(a (b:2) c:1.5)", [("a ", 1.5), ("b", 3.0), (" c", 1.5)]),
        # The vector that the conventions publish for nesting, ranges and numbers together.
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0), ("house", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1),
                ("hill", 0.55), (", sun, ", 1.1), ("sky", 1.4641), (".", 1.1),
            ],
        ),
    ],
)  # fmt: skip
def test_emphasis(text, expected):
    assert weights(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\(word\)", [("(word)", 1.0)]),
        (r"\[word\]", [("[word]", 1.0)]),
        (r"a\\b", [("a\\b", 1.0)]),
        (r"(smile \(happy\):1.2)", [("smile (happy)", 1.2)]),
        (r"(a\:1.2)", [("a:1.2", 1.1)]),
        ("end\\", [("end\\", 1.0)]),
    ],
)
def test_escapes(text, expected):
    assert weights(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a (b", [("a ", 1.0), ("b", 1.1)]),
        ("a [b", [("a ", 1.0), ("b", 0.909091)]),
        ("a) b", [("a) b", 1.0)]),
        ("a] b", [("a] b", 1.0)]),
        (":1.2)", [(":1.2)", 1.0)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1.0), (" c", 0.909091)]),
        ("()", [("", 1.0)]),
    ],
)
def test_unbalanced_brackets_never_fail(text, expected):
    assert weights(text) == expected


@pytest.mark.parametrize("text", ["a: b", "12:30", "(a:b)", "(a:1.2.3)", "(a:1e3)", "(a:)"])
def test_colons_without_a_weight_are_text(text):
    assert "".join(piece for piece, _ in weights(text)) == text.strip("()")


def test_neighbours_of_equal_weight_are_joined():
    assert weights("a [(b)] c") == [("a b c", 1.0)] or len(weights("(a)(b)")) == 1
    assert weights("(a)(b)") == [("ab", 1.1)]


def test_spaces_around_break_are_dropped():
    assert [segment[0].text for segment in read_weights("a  BREAK \n b")] == ["a", "b"]


def test_depth_is_capped():
    deep = "(" * DEEPEST_NESTING + "a" + ")" * DEEPEST_NESTING
    assert weights(deep) == [("a", round(1.1**DEEPEST_NESTING, 6))]
    with pytest.raises(RequestError, match="nest"):
        read_weights("(" + deep + ")")


def test_weight_is_capped():
    assert weights("(a:1000)") == [("a", 1000.0)]
    with pytest.raises(RequestError, match="1000"):
        read_weights("((a:100):11)")
