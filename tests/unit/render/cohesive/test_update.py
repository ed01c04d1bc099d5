"""The canvas of a step from its predictions: locked, made crisper, held, whatever bands it is cut into."""

from dataclasses import replace

import pytest
import torch

from sfumato.canvas.latents import MemoryLatents
from sfumato.core.geometry import LatentSize
from sfumato.core.request import CohesiveMethod
from sfumato.nn.bands import take_low
from sfumato.render.cohesive.change_map import ChangeMap
from sfumato.render.cohesive.update import Update, scale_gain
from sfumato.render.sampling.latent_rows import Planes, cut_rows

CELLS, CHANNELS = LatentSize(24, 40), 4
METHOD = CohesiveMethod(lock=0.7, detail=1.1)


def make_planes(seed):
    planes = Planes(MemoryLatents(CELLS, CHANNELS), CHANNELS, torch.device("cpu"))
    values = torch.randn(CHANNELS, *CELLS.shape_hw, generator=torch.Generator().manual_seed(seed))
    planes.write(slice(0, CELLS.height), values)
    return planes, values[None]


def make_change_map(share, first_step):
    half = torch.full((2, 1), share)
    return ChangeMap(
        first_steps=torch.full((2, 1), float(first_step)), share=half, part=(0.0, 0.0, 1.0, 1.0), canvas=CELLS
    )


@pytest.fixture
def level():
    (predictions, told), (anchor, below) = make_planes(1), make_planes(2)
    return Update(canvas=CELLS, predictions=predictions, anchor=anchor, method=METHOD, step=3), told, below


def whole(update):
    return update.clean_rows(slice(0, CELLS.height))[None]


def test_bands_of_rows_are_the_whole(level):
    update, _, _ = level
    parts = [update.clean_rows(rows) for rows in cut_rows(CELLS.height, 7)]
    torch.testing.assert_close(torch.cat(parts, dim=1)[None], whole(update))


def test_neither_lock_nor_gain_is_the_prediction(level):
    update, told, _ = level
    torch.testing.assert_close(whole(replace(update, method=replace(METHOD, lock=0.0, detail=1.0))), told)


def test_the_lock_takes_the_low_band_of_the_level_below(level):
    update, told, below = level
    locked = whole(replace(update, method=replace(METHOD, lock=1.0, detail=1.0)))
    torch.testing.assert_close(locked, told - take_low(told) + take_low(below))


def test_the_gain_is_of_the_fine_band_alone(level):
    update, told, _ = level
    gained = whole(replace(update, method=replace(METHOD, lock=0.0)))
    torch.testing.assert_close(gained, told + 0.1 * (told - take_low(told)))


def test_where_nobody_is_sure_the_low_band_is_held_wholly_and_nothing_gains(level):
    update, told, below = level
    unsure = whole(replace(update, change_map=make_change_map(0.0, 3)))
    torch.testing.assert_close(unsure, told - take_low(told) + take_low(below))
    torch.testing.assert_close(whole(replace(update, change_map=make_change_map(1.0, 3))), whole(update))


def test_what_is_not_free_yet_is_the_level_below(level):
    update, _, below = level
    torch.testing.assert_close(whole(replace(update, change_map=make_change_map(1.0, 4))), below)


def test_a_level_that_adds_less_than_an_octave_gains_less():
    assert [scale_gain(1.1, times) for times in (1.0, 2.0, 3.0)] == pytest.approx([1.0, 1.1, 1.1])
    # Two levels of half an octave each gain as much as one of a whole.
    assert 2 * (scale_gain(1.1, 2**0.5) - 1) == pytest.approx(0.1)
    assert scale_gain(1.1, 0.5) == 1.0


def test_a_small_copy_shows_the_predictions(level):
    update, told, below = level
    small = update.shrink((5, 3))
    assert small.shape == (CHANNELS, 5, 3)
    torch.testing.assert_close(small.mean(), told.mean(), atol=0.02, rtol=0.0)
    held = replace(update, change_map=make_change_map(1.0, 4)).shrink((5, 3))
    torch.testing.assert_close(held.mean(), below.mean(), atol=0.02, rtol=0.0)
