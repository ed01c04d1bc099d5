"""Sums that roll down a canvas hand on what sums over the whole canvas would."""

import pytest
import torch

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.windows import make_weights
from sfumato.render.cohesive.windows import Rolling

OVERLAP = 3
CHANNELS = 5


def list_rows(canvas, side, stride):
    """Return windows in rows; the last row and column lie at the rim."""

    def list_starts(length):
        starts = [*range(0, length - side, stride), length - side]
        return sorted(set(starts))

    return [
        [LatentBox(left, top, left + side, top + side) for left in list_starts(canvas.width)]
        for top in list_starts(canvas.height)
    ]


def fuse_whole(canvas, rows, values):
    sums, weight = torch.zeros(CHANNELS, *canvas.shape_hw), torch.zeros(canvas.shape_hw)
    for box in (box for row in rows for box in row):
        weights = make_weights(box, canvas, OVERLAP)
        part = (..., slice(box.top, box.bottom), slice(box.left, box.right))
        sums[part] += values[box] * weights
        weight[part] += weights
    return sums / weight.clamp_min(1e-12)


def fuse_rolling(canvas, rows, values, skipped=()):
    rolling = Rolling(0, torch.zeros(CHANNELS, 8, canvas.width), torch.zeros(8, canvas.width))
    found = []
    for number, row in enumerate(rows):
        rolling.roll(row[0].top)
        for box in row:
            if box not in skipped:
                rolling.add(box, values[box], make_weights(box, canvas, OVERLAP))
        end = rows[number + 1][0].top if number + 1 < len(rows) else canvas.height
        found.append(rolling.take(slice(row[0].top, end)))
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("size", [(8, 8), (20, 8), (8, 21), (19, 33)])
@pytest.mark.parametrize("stride", [1, 5, 8])
def test_rolling_sums_are_the_sums_of_the_whole(size, stride):
    canvas = LatentSize(*size)
    rows = list_rows(canvas, 8, stride)
    generator = torch.Generator().manual_seed(3)
    values = {box: torch.randn(CHANNELS, 8, 8, generator=generator) for row in rows for box in row}
    assert torch.equal(fuse_rolling(canvas, rows, values), fuse_whole(canvas, rows, values))


def test_equal_windows_fuse_to_themselves():
    canvas = LatentSize(20, 30)
    rows = list_rows(canvas, 8, 5)
    values = {box: torch.full((CHANNELS, 8, 8), 2.5) for row in rows for box in row}
    assert torch.allclose(fuse_rolling(canvas, rows, values), torch.full((CHANNELS, 30, 20), 2.5))


def test_where_no_window_has_been_there_is_nothing():
    canvas = LatentSize(16, 24)
    rows = list_rows(canvas, 8, 8)
    values = {box: torch.ones(CHANNELS, 8, 8) for row in rows for box in row}
    found = fuse_rolling(canvas, rows, values, skipped=[LatentBox(8, 8, 16, 16)])
    assert not found[:, 8:16, 8:].any()
    assert torch.allclose(found[:, :8], torch.ones(CHANNELS, 8, 16))
    assert torch.allclose(found[:, 16:], torch.ones(CHANNELS, 8, 16))


def test_rolling_past_everything_leaves_nothing():
    rolling = Rolling(0, torch.ones(CHANNELS, 8, 4), torch.ones(8, 4))
    rolling.roll(3)
    assert rolling.top == 3
    assert (rolling.weight[:5] == 1).all()
    assert not rolling.weight[5:].any()
    rolling.roll(50)
    assert not rolling.sums.any()
    assert not rolling.weight.any()
