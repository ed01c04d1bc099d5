"""`attend_blocked` equals attention whatever the block, the strides and the size of the scores."""

import pytest
import torch
from torch.nn import functional

from sfumato.nn import attention
from sfumato.nn.attention import attend_blocked

_SHAPES = [(2, 4, 96, 96, 40), (1, 2, 50, 77, 64), (3, 1, 7, 5, 16), (2, 8, 16, 16, 72)]


def _sides(shape: tuple[int, ...], dtype: torch.dtype, size: float = 1.0) -> list[torch.Tensor]:
    batch, heads, rows, keys, width = shape
    torch.manual_seed(sum(shape))
    # The layout that a linear layer leaves: heads inside the row.
    return [(size * torch.randn(batch, n, heads, width)).to(dtype).transpose(1, 2) for n in (rows, keys, keys)]


def _expect(sides: list[torch.Tensor], scale: float) -> torch.Tensor:
    exact = functional.scaled_dot_product_attention(*(side.double() for side in sides), scale=scale)
    return exact.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("block", [1 << 6, 1 << 10, 1 << 20])
def test_float32_is_exact(shape, block, monkeypatch):
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", block)
    sides = _sides(shape, torch.float32)
    assert torch.allclose(attend_blocked(*sides, scale=0.2).double(), _expect(sides, 0.2), atol=2e-6)


@pytest.mark.parametrize("shape", _SHAPES)
def test_bf16_errs_by_its_rounding(shape):
    sides = _sides(shape, torch.bfloat16)
    error = (attend_blocked(*sides, scale=0.15).double() - _expect(sides, 0.15)).abs()
    assert error.max() < 0.03
    assert error.mean() < 0.003


@pytest.mark.parametrize("size", [8.0, 60.0])
def test_large_scores_do_not_overflow(size):
    sides = _sides((1, 2, 40, 40, 32), torch.float32, size)
    sides[2] /= size
    found = attend_blocked(*sides, scale=32**-0.5)
    assert torch.isfinite(found).all()
    assert torch.allclose(found.double(), _expect(sides, 32**-0.5), atol=0.02)


def test_a_sample_does_not_depend_on_its_companions():
    sides = _sides((3, 2, 64, 64, 40), torch.bfloat16)
    sides[0][1] *= 200  # its scores need the maximum taken off; the others' do not
    alone = attend_blocked(*(side[2:] for side in sides), scale=0.15)
    assert torch.equal(attend_blocked(*sides, scale=0.15)[2:], alone)


def test_nothing_is_written_to_the_inputs():
    sides = _sides((1, 2, 30, 30, 16), torch.float32)
    before = [side.clone() for side in sides]
    attend_blocked(*sides, scale=0.25)
    assert all(torch.equal(side, copy) for side, copy in zip(sides, before, strict=True))


def test_nan_stays_nan():
    sides = _sides((1, 1, 8, 8, 16), torch.float32)
    sides[0][0, 0, 3] = float("nan")
    found = attend_blocked(*sides, scale=0.25)
    assert torch.isnan(found[0, 3]).all()
    assert torch.isfinite(found[0, :3]).all()
