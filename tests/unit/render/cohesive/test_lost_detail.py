"""A part that is gone is found and comes back; an edge that became sharp, a moved part and a faint lattice are left alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.render.cohesive.finish import hold_base
from sfumato.render.cohesive.lost_detail import find_lost_detail

SIDE, SCALE = 48, 4
DOT = (20, 30)


def draw(dot=DOT, *, colour=(230, 210, 200), side=SIDE, scale=1, edge=None):
    """Draw a dot, 3 px of the base wide, on a dark ground with a lighter half from `edge` on."""
    y, x = (np.mgrid[0 : side * scale, 0 : side * scale] + 0.5) / scale
    levels = np.full((side * scale, side * scale, 3), 70.0)
    if edge is not None:
        levels[x >= edge] = 200.0
    if dot is not None:
        share = np.clip(2.0 - np.hypot(x - dot[0] - 0.5, y - dot[1] - 0.5), 0, 1)[..., None]
        levels += share * (np.array(colour) - levels)
    return levels


def to_tensor(levels):
    return torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)


def find(wanted, shown):
    return find_lost_detail(to_tensor(wanted), to_tensor(shown))[0].numpy()


def test_what_is_there_is_not_lost():
    assert find(draw(), draw()).max() == 0.0
    assert find(draw((20, 30)), draw((21, 30))).max() < 0.5


@pytest.mark.parametrize("colour", [(230, 210, 200), (20, 20, 20), (110, 40, 40)])
def test_a_part_that_is_gone_is_lost_where_it_was_and_nowhere_else(colour):
    lost = find(draw(colour=colour), draw(None))
    x, y = DOT
    assert lost[y, x] > 0.9
    assert lost[y, x + 16 :].max() == 0.0


def test_an_edge_that_became_sharper_has_lost_nothing():
    sharp, soft = draw(None, edge=24), draw(None, edge=24)
    soft[:, 23], soft[:, 24] = 110.0, 160.0
    assert find(soft, sharp).max() == 0.0


def test_a_lattice_that_nobody_sees_is_not_given_back():
    faint = draw(None)
    faint[:, ::2] += 3.0
    assert find(faint, draw(None)).max() == 0.0


def test_a_lost_part_comes_back_and_the_rest_stays_to_the_byte():
    base = Image.fromarray(draw().round().astype(np.uint8))
    grown = draw(None, scale=SCALE).round().astype(np.uint8)
    size = PixelSize(SIDE * SCALE, SIDE * SCALE)
    stores = [MemoryPixels(size, grown.copy()) for _ in range(2)]
    hold_base(stores[0], base, None)
    hold_base(stores[1], base, None, parts=False)
    held, left = (store.read(size.box).astype(int) for store in stores)
    x, y = (SCALE * side + SCALE // 2 for side in DOT)
    assert held[y, x].mean() > 190
    assert left[y, x].mean() < 100
    assert np.array_equal(held[:, x + 64 :], left[:, x + 64 :])
