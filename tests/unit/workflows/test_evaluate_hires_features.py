"""Crops of pictures against crops of drawn scenes: nearer when they are drawn, and the same places every time."""

import numpy as np
import pytest

from sfumato.core.geometry import PixelSize
from sfumato.critic.network import ReaderShape
from sfumato.critic.reader import make_reader
from sfumato.workflows.evaluate_hires_features import make_crops, read_crops
from sfumato.workflows.evaluate_hires_prompts import draw_scene_of, list_prompts
from sfumato.workflows.reader_words import make_vocabulary

SIZE = PixelSize(160, 160)


@pytest.fixture(scope="module")
def crops():
    reader = make_reader(make_vocabulary(), ReaderShape(widths=(8, 8, 16), blocks=(0, 0, 1)))
    return make_crops(reader, SIZE, seed=1, scenes=24)


def test_drawn_scenes_are_nearer_than_noise(crops):
    stream = np.random.default_rng(0)
    drawn = [(prompt.number, draw_scene_of(prompt, SIZE)) for prompt in list_prompts(12, seed=1)]
    noise = [(number, stream.integers(0, 255, (160, 160, 3)).astype(np.uint8)) for number in range(12)]
    near, far = crops.measure("drawn", drawn), crops.measure("noise", noise)
    assert near.value < far.value / 2
    assert near.low <= near.value <= near.high
    assert near.note == "12 crops"


def test_places_depend_on_the_prompt_alone(crops):
    picture = draw_scene_of(list_prompts(1, seed=1)[0], SIZE)
    assert (read_crops(crops.reader, picture, (1, 5)) == read_crops(crops.reader, picture, (1, 5))).all()
    assert (read_crops(crops.reader, picture, (1, 5)) != read_crops(crops.reader, picture, (1, 6))).any()


def test_what_is_too_little_gives_no_row(crops):
    assert crops.measure("one", [(0, np.zeros((160, 160, 3), np.uint8))]) is None
    assert make_crops(crops.reader, PixelSize(64, 64), seed=1) is None
