"""Where the time of one small forward pass goes: convolutions, products, norms, the rest, and waiting.

Knows torch's operator names; nothing of models. Start reading at `profile_shares`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.profiler import ProfilerActivity, profile

# The first pattern found in an operator's name decides; attention kernels are products.
_KINDS = (
    ("convolution", ("convolution", "conv2d")),
    ("matmul", ("addmm", "baddbmm", "::mm", "bmm", "linear_pointwise", "scaled_dot_product", "::linear")),
    ("norm", ("group_norm", "layer_norm", "batch_norm")),
    ("softmax and functions", ("softmax", "silu", "gelu", "exp", "sigmoid")),
    ("copies", ("copy_", "clone", "contiguous", "::cat", "::to", "_to_copy")),
)
_REST = "elementwise and shapes"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShares:
    """Fractions of the time inside operators, and how many operators a pass starts."""

    shares: dict[str, float]
    operators: int
    milliseconds: float

    @property
    def us_per_operator(self) -> float:
        """Wall time over operators: near 5 to 10 a pass is bound by starting work, not by doing it."""
        return 1e3 * self.milliseconds / max(1, self.operators)

    @property
    def bound_by(self) -> str:
        """The kind that takes most."""
        return max(self.shares, key=lambda kind: self.shares[kind])


def profile_shares(call: Callable[[], Any]) -> KernelShares:
    """Profile one call after one that warms up; the wall time is that of an unprofiled call."""
    call()
    start = time.perf_counter()
    call()
    wall_ms = 1e3 * (time.perf_counter() - start)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call()
    spent: defaultdict[str, float] = defaultdict(float)
    operators = 0
    for event in record.key_averages():
        spent[_kind(event.key)] += event.self_cpu_time_total
        operators += event.count
    total = sum(spent.values()) or 1.0
    shares = {kind: part / total for kind, part in sorted(spent.items(), key=lambda pair: -pair[1])}
    return KernelShares(shares=shares, operators=operators, milliseconds=wall_ms)


def _kind(name: str) -> str:
    return next((kind for kind, parts in _KINDS if any(part in name for part in parts)), _REST)
