"""A prompt falls into phrases that can lie somewhere, and is written again from some of them."""

import pytest

from sfumato.core.prompt.grammar import WeightedSpan, parse_prompt
from sfumato.core.prompt.phrases import Phrase, join_phrases, split_phrases


def cut(prompt):
    (part,) = parse_prompt(prompt).at_step(0, 1)
    return split_phrases(part.segments[0])


@pytest.mark.parametrize(
    ("prompt", "style", "things"),
    [
        ("a photo of a red house in a meadow", ["a photo of"], ["a red house", "in a meadow"]),
        ("a man left of a yellow house, photograph", ["photograph"], ["a man", "a yellow house"]),
        ("a dog on the right and a cat on a beach", [], ["a dog", "a cat", "on a beach"]),
        ("a cartoon of a woman with red hair and glasses", ["a cartoon of"], ["a woman", "with red hair", "glasses"]),
        ("masterpiece, 1girl, highly detailed", ["masterpiece", "highly detailed"], ["1girl"]),
        ("Sandy island", [], ["Sandy island"]),
    ],
)
def test_prompts_fall_into_style_words_and_things(prompt, style, things):
    phrases = cut(prompt)
    assert [p.text for p in phrases if p.style] == style
    assert [p.text for p in phrases if not p.style] == things


def test_weights_stay_with_their_words():
    assert [(p.text, p.weight) for p in cut("(a red house:1.3) by the sea")] == [
        ("a red house", 1.3),
        ("by the sea", 1.0),
    ]


def test_long_texts_are_cut_at_once():
    assert len(cut("a dog" + " " * 9000 + "and a cat" + ", x" * 3000)) == 3002


def test_nothing_falls_into_nothing():
    assert cut("") == ()
    assert cut(" , ;") == ()
    assert join_phrases(()) == ()


def test_phrases_are_joined_with_commas_and_the_lead_binds():
    phrases = cut("a photo of a red house in a meadow, cartoon style")
    assert "".join(span.text for span in join_phrases(phrases)) == "a photo of a red house, in a meadow, cartoon style"
    told = join_phrases(phrases, detail="a detail of")
    assert "".join(span.text for span in told) == "a photo of a detail of a red house, in a meadow, cartoon style"


def test_without_a_thing_no_detail_is_told():
    assert join_phrases((Phrase("photo", style=True),), detail="a detail of") == (WeightedSpan("photo", 1.0),)
