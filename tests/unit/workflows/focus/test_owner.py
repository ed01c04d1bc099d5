"""Which words of a prompt speak of whom, and what a crop of somebody is called."""

import pytest

from sfumato.workflows.focus.owner import Owners, choose_owner, describe_person, list_owners, word_crop


@pytest.mark.parametrize(
    ("prompt", "people"),
    [
        ("a photo of a man with blonde hair in a red coat waving in a room", ("a man with blonde hair in a red coat",)),
        ("an old man with a beard left of a woman in a green dress on a beach", None),
        ("three people by the sea", ()),
        ("a red house in a meadow", ()),
        ("photo of Christina Hendricks entering a crowded place", ("Christina Hendricks",)),
        ("a wide view of a (woman with glasses:1.2), far away", ("woman with glasses",)),
        ("", ()),
    ],
)
def test_people_are_listed_with_what_they_have_and_wear(prompt, people):
    expected = ("an old man with a beard", "a woman in a green dress") if people is None else people
    assert list_owners(prompt).people == expected


def test_style_belongs_to_every_crop():
    owners = list_owners("a photo of a man in a street, cartoon style")
    assert word_crop("face", "a man", owners, drawn=True) == "a photo of a close-up of a man, cartoon style"
    assert word_crop("face", "a man", Owners(()), drawn=False) == "a close-up of the face of a man"


def test_one_person_needs_no_reading_and_two_are_told_apart_by_what_is_read():
    assert choose_owner(Owners(("a man",)), {}) == "a man"
    two = Owners(("a man with red hair", "a woman with grey hair"))
    assert choose_owner(two, {"kind": "woman", "hair": "grey"}) == "a woman with grey hair"
    assert choose_owner(two, {}) is None
    assert choose_owner(two, {"hair": "black"}) is None


def test_a_person_is_described_in_the_words_that_were_read():
    assert describe_person({}) == "a person"
    seen = {"kind": "woman", "age": "old", "hair": "grey", "hair_style": "bun", "glasses": 1, "beard": 0}
    assert describe_person(seen) == "an old woman with grey hair in a bun and glasses"
    assert describe_person({"kind": "man", "hair": "none", "hair_style": "bald"}) == "a man with a bald head"
