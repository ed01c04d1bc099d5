"""Crops of pictures against crops of drawn scenes: nearer when they are drawn, and the same places every time."""

import numpy as np
import pytest

from sfumato.core.geometry import PixelSize
from sfumato.critic.reader.network import ReaderShape
from sfumato.critic.reader.reader import make_reader
from sfumato.lab.hires.measures import (
    compare_distances,
    describe_distance,
    make_crops,
    read_crops,
)
from sfumato.lab.hires.prompts import draw_scene_of, list_prompts
from sfumato.lab.reader.words import make_vocabulary

SIZE = PixelSize(160, 160)


@pytest.fixture(scope="module")
def crops():
    reader = make_reader(make_vocabulary(), ReaderShape(widths=(8, 8, 16), blocks=(0, 0, 1)))
    return make_crops(reader, SIZE, seed=1, scenes=24)


def test_drawn_scenes_are_nearer_than_noise(crops):
    stream = np.random.default_rng(0)
    drawn = [(prompt.number, draw_scene_of(prompt, SIZE)) for prompt in list_prompts(12, seed=1)]
    noise = [(number, stream.integers(0, 255, (160, 160, 3)).astype(np.uint8)) for number in range(12)]
    near, far = crops.measure(drawn), crops.measure(noise)
    assert near.value < far.value / 2
    row = describe_distance("drawn", near)
    assert row.low <= row.value <= row.high
    assert (row.note, row.n) == ("12 crops", 12)
    further = compare_distances(("noise", "drawn"), far, near)
    assert further.value == far.value - near.value
    assert 0 < further.low < further.value < further.high


def test_pairs_are_resampled_together(crops):
    stream = np.random.default_rng(0)
    drawn = [(prompt.number, draw_scene_of(prompt, SIZE)) for prompt in list_prompts(8, seed=1)]
    nearly = [(number, np.where(stream.random(picture.shape) < 0.01, 0, picture)) for number, picture in drawn]
    one, other = crops.measure(drawn), crops.measure(nearly)
    row, alone = compare_distances(("nearly", "drawn"), other, one), describe_distance("drawn", one)
    assert row.high - row.low < (alone.high - alone.value) / 2
    same = compare_distances(("drawn", "drawn"), one, crops.measure(drawn))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_places_depend_on_the_prompt_alone(crops):
    picture = draw_scene_of(list_prompts(1, seed=1)[0], SIZE)
    assert (read_crops(crops.reader, picture, (1, 5)) == read_crops(crops.reader, picture, (1, 5))).all()
    assert (read_crops(crops.reader, picture, (1, 5)) != read_crops(crops.reader, picture, (1, 6))).any()


def test_what_is_too_little_gives_no_row(crops):
    assert crops.measure([(0, np.zeros((160, 160, 3), np.uint8))]) is None
    assert make_crops(crops.reader, PixelSize(64, 64), seed=1) is None
