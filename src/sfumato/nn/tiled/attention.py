"""Self-attention over a whole feature map with one head, exact, without a matrix of all pairs.

Reads the map in blocks for the queries and in blocks for the keys, so memory does not grow with the
map; time does, with the square of its pixels. Start reading at `attend_block`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfumato.nn.tiled.layers import Attend

# Keys of one block: enough for a matmul to be busy, few enough that the scores stay small.
KEY_BLOCK = 1024


def attend_block(layer: Attend, queries: Tensor, blocks: Iterable[Tensor]) -> Tensor:
    """Attend from some pixels [n, C] to all pixels, which come in blocks [m, C]; float32, returns [n, C].

    With q = Wq x + bq and k = Wk y + bk, q . k = (Wk' q) . y + q . bk: the last term is the same
    for every y, so softmax does not see it, and Wk' q is scored against y itself. The weights of a
    softmax add up to one, so the values, too, are mixed before Wv. Keys and values are never made.
    """
    asked = F.linear(queries, layer.query.weight.float(), layer.query.bias.float()) * queries.shape[-1] ** -0.5
    mixed = mix_by_score(asked @ layer.key.weight.float(), blocks)
    values = F.linear(mixed, layer.value.weight.float(), layer.value.bias.float())
    return F.linear(values, layer.out.weight.float(), layer.out.bias.float())


def mix_by_score(queries: Tensor, blocks: Iterable[Tensor]) -> Tensor:
    """Return softmax(q . y) over all y, times y, for each query [n, C]; keeps only a running sum.

    Source: Milakov and Gimelshein 2018, Online normalizer calculation for softmax, algorithm 3.
    """
    highest = queries.new_full((len(queries), 1), -torch.inf)
    total, mixed = torch.zeros_like(highest), torch.zeros_like(queries)
    for block in blocks:
        scores = queries @ block.T
        top = torch.maximum(highest, scores.amax(1, keepdim=True))
        shrink = (highest - top).exp_()
        scores.sub_(top).exp_()
        total = total.mul_(shrink).add_(scores.sum(1, keepdim=True))
        mixed = torch.addmm(mixed.mul_(shrink), scores, block)
        highest = top
    return mixed.div_(total)


def query_block(channels: int, work_bytes: int) -> int:
    """Return how many queries can be asked at once in so much memory, at least one."""
    numbers = work_bytes // torch.float32.itemsize - 3 * KEY_BLOCK * channels
    return max(1, numbers // (2 * KEY_BLOCK + 5 * channels))
