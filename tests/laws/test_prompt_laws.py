"""Laws of the prompt language: it ends, it keeps text, and brackets mean what they are built to mean."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import LONGEST_PROMPT_CHARACTERS

STEPS = 12
SPECIAL = "()[]:|\\<>"

nasty = st.text(st.sampled_from([*SPECIAL, *"ab 05.", "\n"]), max_size=80)
bricks = st.lists(
    st.sampled_from(["(", ")", "[", "]", ":", "|", "\\", ":1.2)", ":0.5]", "BREAK", " AND ", "<lora:a:1>", "x", " "]),
    max_size=40,
).map("".join)
quick = settings(deadline=None, max_examples=200)


@given(st.one_of(nasty, bricks, st.text(max_size=60)))
@quick
def test_any_text_is_read_or_refused(text):
    try:
        prompt = parse_prompt(text)
        steps = prompt.at_steps(STEPS)
    except RequestError:
        return
    for parts in steps:
        for part in parts:
            assert part.segments
            for segment in part.segments:
                assert segment
                assert all(span.text for span in segment) or len(segment) == 1
                assert all(first.weight != second.weight for first, second in itertools.pairwise(segment))


@given(st.one_of(nasty, bricks))
@quick
def test_words_come_from_the_text_in_order(text):
    try:
        parts = parse_prompt(text).at_step(3, STEPS)
    except RequestError:
        return
    words = iter(text)
    said = "".join(span.text for part in parts for segment in part.segments for span in segment)
    assert all(character in words for character in said)


@given(st.text(st.characters(exclude_categories=["C"]), max_size=60))
@quick
def test_escaped_text_comes_back_as_it_was(text):
    escaped = "".join(f"\\{character}" for character in text)
    (part,) = parse_prompt(escaped).at_step(0, STEPS)
    assert part.weight == 1.0
    assert part.segments[0][0].text == text.strip()
    assert len(part.segments) == len(part.segments[0]) == 1


@given(st.integers(0, 40))
@quick
def test_each_round_bracket_is_a_factor(depth):
    text = "(" * depth + "a" + ")" * depth
    if depth > 32:
        with pytest.raises(RequestError):
            parse_prompt(text)
    else:
        (part,) = parse_prompt(text).at_step(0, 1)
        assert part.segments[0][0].weight == pytest.approx(1.1**depth)


# A language built from its meaning: each draw is a pair of a text and what it says at each step.
Meaning = tuple[str, tuple[str, ...]]
leaves = st.text("abc ,", min_size=1, max_size=4).map(lambda text: (text, (text,) * STEPS))


def change(before: Meaning, after: Meaning, when: int) -> Meaning:
    said = tuple((before if step < when else after)[1][step] for step in range(STEPS))
    return f"[{before[0]}:{after[0]}:{when}]", said


def turns(options: list[Meaning]) -> Meaning:
    said = tuple(options[step % len(options)][1][step] for step in range(STEPS))
    return "[" + "|".join(text for text, _ in options) + "]", said


def emphasis(inner: Meaning, weight: float) -> Meaning:
    return f"({inner[0]}:{weight})", tuple(f"({text}:{weight})" for text in inner[1])


def sequence(parts: list[Meaning]) -> Meaning:
    return "".join(text for text, _ in parts), tuple("".join(said) for said in zip(*(s for _, s in parts), strict=True))


meanings = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(change, inner, inner, st.integers(0, STEPS)),
        st.builds(turns, st.lists(inner, min_size=2, max_size=4)),
        st.builds(emphasis, inner, st.sampled_from([0.5, 1.2, 2.0])),
        st.builds(sequence, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=12,
)


@given(meanings)
@quick
def test_edits_and_turns_say_what_they_were_built_from(meaning):
    text, said = meaning
    prompt = parse_prompt(text)
    for step in range(STEPS):
        assert prompt.at_step(step, STEPS) == parse_prompt(said[step]).at_step(0, 1)


BOMBS = [
    "(", ")", "[", "]", "((", "[[", "([", "[(", ":", "|", "\\", "<lora:", "BREAK ", ":1.2)", "(a", "[a:", "[a|", "a)",
    "(a)", "[a:b:1]", "[a|b]", "(a:1.1", "]:[", ")(", "\n", " ", "A", "AND",
]  # fmt: skip


@pytest.mark.parametrize("brick", BOMBS)
def test_a_hundred_thousand_of_anything_is_refused_at_once(brick):
    started = time.process_time()
    with pytest.raises(RequestError):
        parse_prompt(brick * 100_000)
    assert time.process_time() - started < 1


OPENINGS = ("(" * 31, "[" * 31, "([" * 15, "[(" * 15, "[a:" * 31)
# Every brick after an opening, in turn, and every second one by itself; all pairs would say the same six times.
LONGEST = [("", brick) for brick in BOMBS[::2]] + list(zip(itertools.cycle(OPENINGS), BOMBS, strict=False))


@pytest.mark.parametrize(("opening", "brick"), LONGEST)
def test_the_longest_text_is_read_quickly(opening, brick):
    text = (opening + brick * LONGEST_PROMPT_CHARACTERS)[:LONGEST_PROMPT_CHARACTERS]
    started = time.process_time()
    with contextlib.suppress(RequestError):
        parse_prompt(text).at_step(2, STEPS)
    # A linear reader takes about 0.1 s; anything quadratic takes minutes. Processor time, so a busy machine does not matter.
    assert time.process_time() - started < 5
