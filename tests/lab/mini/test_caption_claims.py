"""Claims are what captions say, no more."""

import random
import re

import pytest

from sfumato.lab.mini.caption_claims import find_claims, says_open_hand
from sfumato.lab.mini.prompts import draw_open_hands, draw_prompts
from sfumato.lab.reader.words import find_labels, make_vocabulary
from sfumato.world.caption import make_captions
from sfumato.world.compose import make_scene
from sfumato.world.stream import Wish, make_labels, make_sample

MAN = {"kind": "man", "age": "old", "hair": "grey", "hair_style": "short", "skin": "dark", "glasses": 0, "smile": 0,
       "people": 1, "top": "coat", "top_colour": "red", "bottom": "trousers", "bottom_colour": "blue", "place": "beach",
       "style": "photo", "shot": "full", "pose": "standing"}  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "heads"),
    [
        ("a photo of a man", "style kind people"),
        ("a photo of an old man with dark skin", "style kind people age skin"),
        ("a man with short grey hair in a red coat on a beach", "kind people hair hair_style top top_colour place"),
        # The colour of a house says nothing of the coat.
        ("a man in a coat left of a red house", "kind people top"),
        (
            "a man in a red coat and blue trousers, full body, photograph",
            "style kind people top top_colour bottom bottom_colour shot",
        ),
        ("a woman by the sea", "people place"),
        ("", ""),
    ],
)
def test_only_stated_labels_are_claims(caption, heads):
    assert set(find_claims(caption, MAN)) == set(heads.split())


@pytest.mark.parametrize(
    ("caption", "labels", "claims"),
    [
        ("two women standing", {"people": 2}, {"people": 2}),
        ("a man left of a woman", {"people": 2}, {"people": 2}),
        (
            "a red house",
            {"people": 0, "thing": "house", "thing_colour": "red"},
            {"thing": "house", "thing_colour": "red"},
        ),
        ("an empty street", {"people": 0, "shot": "place"}, {"people": 0, "shot": "place"}),
        ("a serious man", {"smile": 0, "beard": 0}, {"smile": 0}),
        ("a man with no hair", {"hair": "none", "hair_style": "bald"}, {"hair": "none", "hair_style": "bald"}),
        ("an open hand", {"gesture": "open", "digits": 5}, {"gesture": "open"}),
        ("an open hand, five fingers", {"gesture": "open", "digits": 5}, {"gesture": "open", "digits": 5}),
        (
            "a fist, left hand",
            {"gesture": "fist", "digits": 0, "hand_side": "left"},
            {"gesture": "fist", "digits": 0, "hand_side": "left"},
        ),
        ("a man in a dress and a dress", {"top": "dress", "bottom": "dress"}, {"top": "dress"}),
    ],
)
def test_counts_things_and_hands(caption, labels, claims):
    assert find_claims(caption, labels) == claims


def test_every_head_is_claimed_somewhere_and_no_claim_without_a_word():
    seen: dict[str, int] = {}
    for seed in range(700):
        rng = random.Random(seed)
        scene = make_scene(rng)
        caption, labels = make_captions(scene, rng)[0], make_labels(scene)
        claims = find_claims(caption, labels)
        assert claims.items() <= labels.items()
        for head, word in claims.items():
            seen[head] = seen.get(head, 0) + 1
            if isinstance(word, str) and head.endswith("colour"):
                assert re.search(rf"\b{word}\b", caption)
    assert set(seen) == set(make_vocabulary().names)


def test_prompts_carry_their_scenes():
    asked = draw_prompts(6, seed=2)
    assert len(asked) == 6
    assert asked.drawn.shape == (6, 128, 128, 3)
    again = draw_prompts(3, seed=2)
    assert asked.prompts[:3] == again.prompts
    assert draw_prompts(3, seed=3).prompts != again.prompts


def test_open_hands_are_open_and_leave_the_count_to_the_model():
    hands = draw_open_hands(8, seed=1)
    assert all("open" in prompt for prompt in hands.prompts)
    assert all(set(claims) == {"digits"} for claims in hands.claims)
    assert not says_open_hand("a fist, hand", {"gesture": "fist"})
    sample = make_sample(0, wish=Wish(shot="portrait"))
    assert not says_open_hand(sample.captions[0], find_labels(sample))
