"""How fast this machine multiplies and attends: the numbers that a policy is decided from.

Measures for a fraction of a second; `policy.find_rates` remembers the answer per machine, so that every process
decides alike. Knows no model and decides nothing. Start reading at `measure_rates`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from sfumato.models.hardware.prepacked import can_pack, multiply_packed, pack_matrix
from sfumato.models.hardware.rates import Rates
from sfumato.nn.attention import attend_blocked

_ROUNDS = 5
# A product of 512 x 512 is 0.27 GFLOP: 0.3 ms where bf16 has instructions, a quarter second where it is emulated.
_SMALL, _LARGE = 512, 1024
# Tokens and head width of SD 1.5 one level below the finest: the fused kernel takes 8 ms of it on two cores.
_ATTENTION_SHAPE = (1, 4, 1024, 80)


@torch.inference_mode()
def measure_rates(rounds: int = _ROUNDS) -> Rates:
    """Measure the CPU of this machine; about 0.3 s on two cores."""
    exact, short = (_time_matmul(_SMALL, dtype, rounds) for dtype in (torch.float32, torch.bfloat16))
    worthwhile = short > exact / 2
    fused, blocked = _time_attention(rounds) if worthwhile else (0.0, 0.0)
    return Rates(
        fp32_tflops=max(exact, _time_matmul(_LARGE, torch.float32, rounds)),
        bf16_tflops=max(short, _time_matmul(_LARGE, torch.bfloat16, rounds)) if worthwhile else short,
        packed_tflops=_time_packed(rounds, torch.bfloat16 if worthwhile else torch.float32),
        fused_attention_ms=fused,
        blocked_attention_ms=blocked,
        threads=torch.get_num_threads(),
    )


def time_best(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Time calls in turns and return the best seconds of each; the first turn is not counted."""
    best = [float("inf")] * len(calls)
    for turn in range(rounds + 1):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if turn:
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def _time_matmul(side: int, dtype: torch.dtype, rounds: int) -> float:
    a = torch.ones(side, side, dtype=dtype)
    return 2 * side**3 / time_best([lambda: a @ a], rounds)[0] / 1e12


def _time_packed(rounds: int, dtype: torch.dtype) -> float:
    """Measure the linear layer with packed weights, or 0 where packing fails or gives other results."""
    if not can_pack():
        return 0.0
    x, weight = torch.ones(_LARGE, _LARGE, dtype=dtype), torch.ones(_LARGE, _LARGE, dtype=dtype)
    try:
        packed = pack_matrix(weight)
        if not torch.equal(multiply_packed(x, packed, None), functional.linear(x, weight)):
            return 0.0
    except (RuntimeError, TypeError):
        # The operators are torch's own and carry no promise: another version may call them otherwise.
        return 0.0
    return 2 * _LARGE**3 / time_best([lambda: multiply_packed(x, packed, None)], rounds)[0] / 1e12


def _time_attention(rounds: int) -> tuple[float, float]:
    q = torch.ones(_ATTENTION_SHAPE, dtype=torch.bfloat16)
    scale = _ATTENTION_SHAPE[-1] ** -0.5
    calls = [
        lambda: functional.scaled_dot_product_attention(q, q, q),
        lambda: attend_blocked(q, q, q, scale=scale),
    ]
    fused, blocked = time_best(calls, rounds)
    return 1e3 * fused, 1e3 * blocked
