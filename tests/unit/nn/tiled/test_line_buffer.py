"""Layers down strips: equal to the whole, every row computed once, few rows held."""

from __future__ import annotations

import pytest
import torch

from sfumato.nn.tiled import Conv, Ends, Extent, Fork, Join, Local, Mark, Notes, Pace, Upsample, run_rows
from sfumato.nn.tiled.regions import Region, Span, cut_grid

CPU = torch.device("cpu")
TOLERANCE = 1e-5


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def conv(into, out, seed, **more):
    return Conv(draw(out, into, 3, 3, seed=seed) / 5, draw(out, seed=seed + 1), before=1, after=1, **more)


def bend():
    return Local(compute=torch.relu, radius=0, channels=4)


def make_layers(*, up):
    block = [Fork(), conv(4, 4, 2), bend(), conv(4, 4, 4), Join(), bend()]
    middle = [Upsample(), conv(4, 4, 6)] if up else [conv(4, 4, 6, stride=2)]
    return [conv(2, 4, 0), *block, *middle, *block, conv(4, 3, 8)]


def run_whole(layers, x):
    aside = []
    for layer in layers:
        if isinstance(layer, Fork):
            aside.append(x)
        elif isinstance(layer, Join):
            x = x + aside.pop()
        elif isinstance(layer, Conv):
            x = torch.conv2d(x, layer.weight, layer.bias, layer.stride, 1)
        elif isinstance(layer, Upsample):
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        else:
            x = torch.relu(x)
    return x


def run_strips(layers, x, strips, pace, notes=None):
    """Return the rows that came out joined, their regions, and the rows of the input that were read."""
    parts, regions, read = [], [], []

    def look(region):
        read.append(region)
        return x[(..., slice(region.rows.start, region.rows.stop), slice(region.columns.start, region.columns.stop))]

    def put(region, rows):
        regions.append(region)
        parts.append(rows)

    ends = Ends(read=look, write=put, dtype=torch.float32, device=CPU)
    run_rows(layers, Extent(2, *x.shape[-2:]), ends, strips, pace, notes=notes)
    return torch.cat(parts, dim=2) if parts else None, regions, read


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(
    ("read_rows", "grain", "strip"), [(1, 1, 100), (2, 2, 100), (3, 1, 7), (5, 4, 8), (100, 1, 100)]
)
def test_rows_equal_the_whole(up, read_rows, grain, strip):
    layers, x = make_layers(up=up), draw(1, 2, 22, 10, seed=9)
    whole = run_whole(layers, x)
    area = Region(Span(0, whole.shape[2]), Span(0, whole.shape[3]))
    pace = Pace(read_rows=read_rows, grain=grain)
    found, regions, _ = run_strips(layers, x, cut_grid(area, strip, area.columns.length), pace)
    assert torch.allclose(found, whole, atol=TOLERANCE, rtol=TOLERANCE)
    assert all(region.rows.start % min(grain, strip) == 0 for region in regions)


@pytest.mark.parametrize("up", [True, False])
def test_a_part_equals_that_part_of_the_whole(up):
    layers, x = make_layers(up=up), draw(1, 2, 22, 18, seed=9)
    whole = run_whole(layers, x)
    part = Region(Span(3, whole.shape[2] - 2), Span(2, whole.shape[3] - 4))
    found, _, _ = run_strips(layers, x, [part], Pace(read_rows=2))
    assert torch.allclose(found, whole[:, :, 3:-2, 2:-4], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("up", [True, False])
def test_a_strip_reads_each_row_once_and_hands_out_no_more_than_it_reads(up):
    layers, x = make_layers(up=up), draw(1, 2, 64, 8, seed=9)
    height = 128 if up else 32
    _, regions, read = run_strips(layers, x, [Region(Span(0, height), Span(0, 16 if up else 4))], Pace(read_rows=4))
    assert [row for region in read for row in range(region.rows.start, region.rows.stop)] == list(range(64))
    assert max(region.rows.length for region in regions) <= 4 * height // 64


def test_a_later_run_goes_on_after_the_strips_that_are_marked():
    layers, x, marks = make_layers(up=False), draw(1, 2, 32, 8, seed=9), []
    strips = [Region(Span(top, top + 4), Span(0, 4)) for top in range(0, 16, 4)]
    whole, _, _ = run_strips(layers, x, strips, Pace(read_rows=2), Notes(mark=None, note=marks.append))
    assert [mark.tiles for mark in marks] == [1, 2, 3, 4]
    rest, regions, _ = run_strips(layers, x, strips, Pace(read_rows=2), Notes(mark=Mark(tiles=3), note=marks.append))
    assert regions[0].rows.start == 12
    assert torch.equal(rest, whole[:, :, 12:])
