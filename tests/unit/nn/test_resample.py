"""Parts of a resampled canvas are cut from the whole, and what passes by in bands shrinks as the whole does."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from sfumato.nn.bands import enlarge
from sfumato.nn.resample import Axis, Shrinking, enlarge_part

SMALL = torch.randn(4, 9, 13, generator=torch.Generator().manual_seed(2))


def test_rows_are_cut_from_the_whole_enlargement():
    whole = enlarge(SMALL[None], (31, 40))[0]
    for rows in (slice(0, 5), slice(5, 22), slice(22, 31)):
        # Near the edge torch leaves taps out where this repeats the outermost cell.
        inner = [row - rows.start for row in range(rows.start, rows.stop) if 8 <= row < 23]
        found = enlarge_part(SMALL, (31, 40), rows, slice(0, 40))
        if inner:
            torch.testing.assert_close(found[:, inner, 8:-8], whole[:, rows][:, inner, 8:-8], atol=1e-5, rtol=0)


def test_enlarged_parts_do_not_depend_on_the_cut():
    whole = enlarge_part(SMALL, (31, 40), slice(0, 31), slice(0, 40))
    torch.testing.assert_close(enlarge_part(SMALL, (31, 40), slice(7, 19), slice(3, 8)), whole[:, 7:19, 3:8])


@pytest.mark.parametrize("small", [(8, 16), (7, 11), (1, 1)])
def test_bands_add_up_to_the_mean_of_areas(small):
    canvas = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(3))
    shrinking = Shrinking((32, 48), small, canvas)
    for rows in (slice(0, 10), slice(10, 11), slice(11, 32)):
        shrinking.add(rows, canvas[:, rows])
    if 32 % small[0] == 0 and 48 % small[1] == 0:
        torch.testing.assert_close(shrinking.finish(), F.interpolate(canvas[None], size=small, mode="area")[0])
    torch.testing.assert_close(shrinking.finish().mean(), canvas.mean(), atol=1e-5, rtol=1e-4)
    in_squares = Shrinking((32, 48), small, canvas)
    for rows, columns in product((slice(0, 10), slice(10, 32)), (slice(0, 7), slice(7, 48))):
        in_squares.add(rows, canvas[:, rows, columns], columns)
    torch.testing.assert_close(in_squares.finish(), shrinking.finish())


def test_straight_lines_never_leave_the_range():
    _, weights = Axis(5, 40, 0.5, 4.0).linear(0, 40)
    assert weights.min() >= 0.0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(40))
