"""Attention on a CPU in blocks of queries whose scores stay in the cache.

Knows tensors only: no network, no weights, no hardware. torch's fused CPU kernel reaches about a
seventh of the matmul rate at the head width of SD 1.5 (40); a score matrix of all queries leaves
the cache. Blocks of scores, a bare exponential and row sums taken by the matmul itself reach half.
Start reading at `attend_blocked`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# 256 queries x 4096 keys: 2 MiB of bf16, which two cores' second-level caches hold; measured best of
# 64 to 1024 queries. Fewer leave cores waiting for each other, more go to memory.
SCORES_AT_ONCE = 1 << 20
# exp(60) * 4096 keys is 5e29: far inside the range of bf16 and float32 (3e38) in either direction.
LARGEST_SCORE = 60.0
_LOG2_E = math.log2(math.e)


def attend_blocked(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Return softmax(query key^T * scale) value, heads joined: [B, N, H * D].

    query [B, H, N, D], key and value [B, H, L, D]; any strides; bf16 or float32; no gradient.
    Rounding is that of scores and weights kept in the input's number type. A sample's result does
    not depend on its companions in the batch.
    """
    batch, heads, rows, width = query.shape
    joined = query.new_empty(batch, rows, heads, width)
    plain = _bound_scores(query, key, scale) < LARGEST_SCORE
    group = max(1, min(heads, SCORES_AT_ONCE // (rows * key.shape[2])))
    for sample in range(batch):
        summing = functional.pad(value[sample], (0, 1), value=1.0)
        for head in range(0, heads, group):
            some = slice(head, head + group)
            _attend_heads(
                query[sample, some],
                key[sample, some].transpose(1, 2),
                summing[some],
                joined[sample, :, some].transpose(0, 1),
                scale=scale,
                bounded=bool(plain[sample, some].all()),
            )
    return joined.view(batch, rows, heads * width)


def _bound_scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Bound |score| per sample and head [B, H] by |q||k| (Cauchy and Schwarz); NaN stays NaN."""
    longest = [side.square().sum(-1, dtype=torch.float32).amax(-1) for side in (query, key)]
    return (longest[0] * longest[1]).sqrt() * abs(scale)


def _attend_heads(query: Tensor, key_t: Tensor, summing: Tensor, out: Tensor, *, scale: float, bounded: bool) -> None:
    # `summing` is the value with a column of ones: the product's last column is the sum of weights.
    if query.shape[0] == 1:
        # The product of plain matrices reads any stride; the batched one would copy the keys for each block.
        query, key_t, summing, out = query[0], key_t[0], summing[0], out[0]
    multiply_scaled, multiply = (torch.addmm, torch.mm) if query.ndim == 2 else (torch.baddbmm, torch.bmm)
    none = query.new_zeros(1)
    rows = max(1, SCORES_AT_ONCE * query.shape[-2] // (query[..., 0].numel() * key_t.shape[-1]))
    factor = scale * _LOG2_E if bounded else scale
    for start in range(0, query.shape[-2], rows):
        block = (..., slice(start, start + rows), slice(None))
        scores = multiply_scaled(none, query[block], key_t, beta=0, alpha=factor)
        # Without a large score nothing can overflow, so the maximum of each row need not be found.
        weights = scores.exp2_() if bounded else torch.softmax(scores, dim=-1)
        mixed = multiply(weights, summing)
        torch.div(mixed[..., :-1], mixed[..., -1:], out=out[block])
