"""Canvases side by side in one store, read and written in rows."""

import pytest
import torch

from sfumato.canvas.latents import MemoryLatents
from sfumato.core.geometry import LatentSize
from sfumato.render.sampling.latent_rows import Planes, cut_rows, grow_rows

CPU = torch.device("cpu")


@pytest.fixture
def planes():
    return Planes(MemoryLatents(LatentSize(5, 9), 3 * 2), 2, CPU)


def test_rows_of_some_canvases_come_back(planes):
    values = torch.randn(6, 4, 5)
    planes.write(slice(3, 7), values)
    assert torch.equal(planes.read(slice(3, 7), count=3), values)
    assert torch.equal(planes.read(slice(4, 6), first=1), values[2:4, 1:3])
    assert torch.equal(planes.read(slice(3, 7), first=1, count=2), values[2:])
    assert not planes.read(slice(0, 3), count=3).any()


def test_missing_canvases_become_zeros(planes):
    planes.write(slice(0, 9), torch.ones(6, 9, 5))
    planes.write(slice(2, 4), torch.full((3, 2, 5), 7.0))
    found = planes.read(slice(2, 4), count=3)
    assert (found[:3] == 7).all()
    assert not found[3:].any()
    assert (planes.read(slice(4, 9), count=3) == 1).all()


def test_half_precision_is_stored_as_it_is(planes):
    values = torch.randn(6, 2, 5).bfloat16()
    planes.write(slice(0, 2), values)
    found = planes.read(slice(0, 2), count=3)
    assert found.dtype == torch.float32
    assert torch.equal(found.bfloat16(), values)


def test_what_is_read_is_a_copy(planes):
    planes.read(slice(0, 9)).fill_(3)
    assert not planes.read(slice(0, 9)).any()


@pytest.mark.parametrize(("height", "band"), [(1, 64), (64, 64), (65, 64), (200, 64), (7, 1)])
def test_bands_cover_a_canvas_once(height, band):
    rows = cut_rows(height, band)
    assert [row for part in rows for row in range(part.start, part.stop)] == list(range(height))
    assert all(part.stop - part.start == band for part in rows[:-1])


@pytest.mark.parametrize("rows", [slice(0, 4), slice(4, 9), slice(9, 10), slice(0, 10)])
@pytest.mark.parametrize("margin", [0, 3, 50])
def test_rows_with_a_margin_still_hold_the_rows(rows, margin):
    wide, inner = grow_rows(rows, margin, 10)
    assert list(range(wide.start, wide.stop))[inner] == list(range(rows.start, rows.stop))
    assert wide.start == max(0, rows.start - margin)
    assert wide.stop == min(10, rows.stop + margin)
