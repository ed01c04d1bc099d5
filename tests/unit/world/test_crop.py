"""Crops show what their captions name."""

import random

import numpy as np
import pytest

from sfumato.world.crop import SCALES, describe_crop, make_crop
from sfumato.world.stream import Wish, make_sample
from sfumato.world.truth import Truth


def test_the_same_seed_gives_the_same_crop() -> None:
    one, two = make_crop(5, size=64), make_crop(5, size=64)
    assert np.array_equal(one.image, two.image)
    assert one.captions == two.captions


def test_crops_have_their_size_and_captions_say_that_they_are_details() -> None:
    crops = [make_crop(seed, size=48) for seed in range(120)]
    assert all(crop.image.shape == (48, 48, 3) and crop.image.dtype == np.uint8 for crop in crops)
    assert all(SCALES[0] <= crop.scale <= SCALES[1] for crop in crops)
    assert all("detail" in text or "part of" in text for crop in crops for text in crop.captions)
    assert np.median([crop.scale for crop in crops]) == pytest.approx((SCALES[0] * SCALES[1]) ** 0.5, rel=0.25)


def test_captions_name_what_shows_and_nothing_else() -> None:
    sample = make_sample(3, size=128, wish=Wish(shot="full", style="photo", with_truth=True))
    assert sample.truth is not None
    person = sample.scene.people[0][0]
    rows, columns = np.nonzero(sample.truth.mask("person1/torso"))
    top, left = int(np.median(rows)) - 3, int(np.median(columns)) - 3
    cut = Truth(sample.truth.ids[top : top + 6, left : left + 6], sample.truth.paths, sample.truth.facts)
    assert all(person.top.colour in text for text in describe_crop(sample.scene, cut, random.Random(1)))
    corner = Truth(sample.truth.ids[:4, :4], sample.truth.paths, sample.truth.facts)
    assert not any(
        word in text
        for text in describe_crop(sample.scene, corner, random.Random(1))
        for word in ("face", "hand", "foot", person.top.kind)
    )


@pytest.mark.parametrize("shot", ["portrait", "half", "group", "hands", "thing", "pair", "texture"])
def test_every_shot_can_be_cropped_and_named(shot: str) -> None:
    for seed in range(12):
        sample = make_sample(seed, size=96, wish=Wish(shot=shot, with_truth=True))
        assert sample.truth is not None
        for text in describe_crop(sample.scene, sample.truth, random.Random(seed)):
            assert text.isprintable()
            assert "  " not in text
