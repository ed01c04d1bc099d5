"""A whole prompt: parts, segments, tags, caps, and values that compare equal."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import MOST_PARTS, LoraTag, PromptPart, WeightedSpan, parse_prompt
from sfumato.core.request import LONGEST_PROMPT_CHARACTERS


def spans(text, step=0, steps=1):
    (part,) = parse_prompt(text).at_step(step, steps)
    (segment,) = part.segments
    return [(span.text, pytest.approx(span.weight)) for span in segment]


def test_plain_text_is_one_span():
    assert parse_prompt("a red house").at_step(0, 20) == (PromptPart(1.0, ((WeightedSpan("a red house", 1.0),),)),)


def test_empty_prompt_has_one_empty_span():
    assert parse_prompt("").at_step(0, 1) == (PromptPart(1.0, ((WeightedSpan(""),),)),)


def test_text_is_kept_as_given():
    assert parse_prompt(" (a) <lora:x:1> ").text == " (a) <lora:x:1> "


def test_break_separates_segments():
    (part,) = parse_prompt("a cat BREAK\n a dog BREAK").at_step(0, 1)
    assert part.segments == ((WeightedSpan("a cat"),), (WeightedSpan("a dog"),), (WeightedSpan(""),))


def test_break_works_inside_brackets():
    (part,) = parse_prompt("(a BREAK b:1.2)").at_step(0, 1)
    assert part.segments == ((WeightedSpan("a", 1.2),), (WeightedSpan("b", 1.2),))


@pytest.mark.parametrize("text", ["BREAKFAST", "break", "UNBREAK"])
def test_words_that_hold_break_do_not_break(text):
    assert spans(text) == [(text, 1.0)]


def test_and_makes_parts_with_weights():
    parts = parse_prompt("a cat AND a (dog:1.3) :0.7 AND\nrain:-0.5").at_step(0, 1)
    assert [part.weight for part in parts] == [1.0, 0.7, -0.5]
    assert parts[0].segments == ((WeightedSpan("a cat"),),)
    assert [span.text for span in parts[1].segments[0]] == ["a ", "dog"]


@pytest.mark.parametrize("text", ["SAND AND:x", "HAND", "a and b", "BRAND NEW"])
def test_words_that_hold_and_do_not_split(text):
    assert len(parse_prompt(text.replace("SAND AND", "SAND")).at_step(0, 1)) == 1


def test_a_number_at_the_end_is_text_without_and():
    assert spans("a photo, ratio 16:9") == [("a photo, ratio 16:9", 1.0)]
    assert spans("ratio 16:9", 0, 1) == [("ratio 16:9", 1.0)]


def test_the_colon_of_an_and_weight_can_be_escaped():
    first, second = parse_prompt(r"ratio 16\:9 AND b").at_step(0, 1)
    assert first == PromptPart(1.0, ((WeightedSpan("ratio 16:9"),),))
    assert second.weight == 1.0


def test_too_many_parts_are_refused():
    parse_prompt(" AND ".join("a" * MOST_PARTS))
    with pytest.raises(RequestError, match="AND"):
        parse_prompt(" AND ".join("a" * (MOST_PARTS + 1)))


def test_length_is_capped():
    parse_prompt("a" * LONGEST_PROMPT_CHARACTERS)
    with pytest.raises(RequestError, match="characters"):
        parse_prompt("a" * (LONGEST_PROMPT_CHARACTERS + 1))


@pytest.mark.parametrize("step", [-1, 10])
def test_steps_out_of_range_are_refused(step):
    with pytest.raises(RequestError, match="step"):
        parse_prompt("a").at_step(step, 10)


def test_equal_steps_are_equal_and_hashable():
    prompt = parse_prompt("a [cat:dog:0.5] (x:1.2) AND [b|c]")
    assert not prompt.is_constant
    assert prompt.at_step(0, 10) == prompt.at_step(2, 10) != prompt.at_step(1, 10)
    assert len(set(prompt.at_steps(10))) == 4
    assert parse_prompt("a (b)").is_constant
    assert len(set(parse_prompt("a (b)").at_steps(10))) == 1


def test_constant_words_are_read_once():
    prompt = parse_prompt("a (cat:1.2)")
    assert prompt.at_step(0, 9)[0].segments is prompt.at_step(8, 9)[0].segments


def test_tags_are_taken_out():
    prompt = parse_prompt("a <lora:ink:0.6>cat [<lora:film:1.2:0.5>:0.5]")
    assert prompt.loras == (LoraTag("ink", 0.6), LoraTag("film", 0.5, 1.2))
    assert prompt.at_step(0, 1)[0].segments == ((WeightedSpan("a cat"),),)


def test_prompts_compare_by_value():
    assert parse_prompt("a [b:c:3]") == parse_prompt("a [b:c:3]")
    assert hash(parse_prompt("a [b:c:3]")) == hash(parse_prompt("a [b:c:3]"))
