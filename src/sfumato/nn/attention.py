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

# 512 queries x 4096 keys: 4 MiB of bf16, which stay in the caches of two cores; measured best of 128 to 1024
# queries (155, 134, 109 and 114 ms). Fewer leave cores waiting for each other, more go to memory.
SCORES_AT_ONCE = 1 << 21
# Heads with fewer scores than this in all go in one batched product, which starts less and copies more.
SCORES_TOGETHER = 1 << 20
# Columns of the value are filled up to whole vectors: 48 are 5 % faster than 41.
_VECTOR = 16
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
    group = heads if heads * rows * key.shape[2] <= SCORES_TOGETHER else 1
    for sample in range(batch):
        for head in range(0, heads, group):
            some = slice(head, head + group)
            _attend_heads(
                query[sample, some],
                key[sample, some].transpose(1, 2),
                _add_ones(value[sample, some]),
                joined[sample, :, some].transpose(0, 1),
                scale=scale,
                bounded=bool(plain[sample, some].all()),
            )
    return joined.view(batch, rows, heads * width)


def _add_ones(value: Tensor) -> Tensor:
    """Add a column of ones, so that a product with weights ends in their sum, and zeros up to a whole vector."""
    width = value.shape[-1]
    filled = functional.pad(value, (0, _VECTOR - width % _VECTOR))
    filled[..., width] = 1.0
    return filled


def _bound_scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Bound |score| per sample and head [B, H] by |q||k| (Cauchy and Schwarz); NaN stays NaN."""
    longest = [side.square().sum(-1, dtype=torch.float32).amax(-1) for side in (query, key)]
    return (longest[0] * longest[1]).sqrt() * abs(scale)


def _attend_heads(query: Tensor, key_t: Tensor, summing: Tensor, out: Tensor, *, scale: float, bounded: bool) -> None:
    width = query.shape[-1]
    if query.shape[0] == 1:
        # The product of plain matrices reads any stride; the batched one would copy the keys for each block.
        query, key_t, summing, out = query[0], key_t[0], summing[0], out[0]
    multiply_scaled, multiply = (torch.addmm, torch.mm) if query.ndim == 2 else (torch.baddbmm, torch.bmm)
    every = query.shape[-2]
    rows = max(1, min(every, SCORES_AT_ONCE // (query[..., 0, 0].numel() * key_t.shape[-1])))
    # Made once for all blocks: fresh pages for each cost a tenth of the time.
    scores_room = query.new_empty(*query.shape[:-2], rows, key_t.shape[-1])
    mixed_room = query.new_empty(*query.shape[:-2], rows, summing.shape[-1])
    none, factor = query.new_zeros(1), scale * _LOG2_E if bounded else scale
    for start in range(0, every, rows):
        block = (..., slice(start, start + rows), slice(None))
        room = (..., slice(0, min(rows, every - start)), slice(None))
        scores = multiply_scaled(none, query[block], key_t, beta=0, alpha=factor, out=scores_room[room])
        # Without a large score nothing can overflow, so the maximum of each row need not be found.
        weights = scores.exp2_() if bounded else torch.softmax(scores, dim=-1)
        mixed = multiply(weights, summing, out=mixed_room[room])
        torch.div(mixed[..., :width], mixed[..., width : width + 1], out=out[block])
