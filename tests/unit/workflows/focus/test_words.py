"""Which things of a prompt are looked for by the model's own attention."""

import pytest

from sfumato.workflows.focus.words import find_text, list_things


@pytest.mark.parametrize(
    ("prompt", "things"),
    [
        ("a photo of a man with red hair beside a red car in a street", {"car": "a red car"}),
        ("a woman holding a golden watch, oil painting", {"watch": "a golden watch"}),
        ("two dogs and a cup on the table", {"dogs": "a dog", "cup": "a cup"}),
        ("a brick wall, green leaves, blue sky", {}),
        ("Grace Hopper in a blue coat", {}),
        ("a house in a meadow", {}),
    ],
)
def test_things_are_named_people_places_and_stuff_are_not(prompt, things):
    assert {thing.word: thing.phrase for thing in list_things(prompt)} == things


def test_a_thing_is_called_by_both_numbers():
    (thing,) = list_things("three dogs")
    assert thing.is_called("dog")
    assert thing.is_called("dogs")
    assert not thing.is_called("cat")


def test_a_prompt_that_changes_has_no_one_text():
    assert find_text("a [dog:cat:0.5]") is None
    assert list_things("a [dog:cat:0.5]") == ()
