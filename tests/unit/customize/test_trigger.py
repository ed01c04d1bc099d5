"""A trigger is a word of its own, and a prompt names it exactly where an embedding of that name would be found."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.customize.trigger import check_trigger, is_known_to_clip, names_trigger


@pytest.mark.parametrize("trigger", ["bo", "Bo", "bo-7", "zwx", "mister bo", "ünal"])
def test_names_will_do(trigger):
    check_trigger(trigger)


@pytest.mark.parametrize("trigger", ["man", "Beach", "red", "AND", "people", "house"])
def test_common_words_are_refused(trigger):
    with pytest.raises(RequestError, match="common word"):
        check_trigger(trigger)


@pytest.mark.parametrize("trigger", ["", "b", "(bo", "bo:1", "<bo>", "bo ", "a_b", "x" * 41])
def test_what_the_prompt_language_reads_is_refused(trigger):
    with pytest.raises(RequestError, match="cannot be a trigger"):
        check_trigger(trigger)


@pytest.mark.parametrize(
    "prompt", ["bo", "a BO, waving", "(bo:1.3) on a beach", "a man AND bo", "[man:bo:0.9]", "embedding:bo", "bo's hat"]
)
def test_a_prompt_names_it(prompt):
    assert names_trigger("bo", prompt, steps=10)


@pytest.mark.parametrize("prompt", ["", "a boat", "hobo", "bos", "<lora:bo:1>", "b o"])
def test_a_prompt_does_not_name_it(prompt):
    assert not names_trigger("bo", prompt, steps=10)


def test_clip_knows_names_and_not_made_up_words():
    assert is_known_to_clip("Anna")
    assert not is_known_to_clip("zwx")
