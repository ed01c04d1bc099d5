"""Forward and backward on several single-threaded lanes, or on one GPU.

Two lanes of one thread each beat one lane of two threads by three to six times on a shared CPU:
OpenMP's threads wait for each other after every small kernel, lanes only once a step. Each lane
holds a copy of the float32 weights in the number type that is fastest here. It knows no optimiser. Start reading at `Lanes.run`.
"""

from __future__ import annotations

import copy
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


Result = TypeVar("Result")


class Lanes:
    """Hold the working copies of the networks and sum their gradients. A leaf."""

    def __init__(self, networks: nn.ModuleDict, *, count: int, dtype: torch.dtype) -> None:
        """Copy the networks once per lane; training mode is kept."""
        self.count = count
        self.masters: list[Tensor] = [p for p in networks.parameters() if p.requires_grad]
        self.names = [n for n, p in networks.named_parameters() if p.requires_grad]
        self.replicas = [copy.deepcopy(networks).to(dtype) for _ in range(count)]
        self.weights: list[list[Tensor]] = [[p for p in r.parameters() if p.requires_grad] for r in self.replicas]
        if torch.cuda.is_available():
            for network in self.replicas[0].values():
                network.compile()
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) if count > 1 else None

    def run(
        self, work: Callable[[int, nn.ModuleDict], dict[str, Tensor]]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Run `work(lane, networks)` on every lane and backward through its "loss".

        Returns the mean of each named value and the mean gradient by parameter name, float32.
        """

        def run_lane(lane: int) -> dict[str, float]:
            with torch.no_grad():
                torch._foreach_copy_(self.weights[lane], self.masters)
            values = work(lane, self.replicas[lane])
            values["loss"].backward()
            return {name: float(value.detach()) for name, value in values.items()}

        results = self._map(run_lane)
        means = {name: sum(r[name] for r in results) / self.count for name in results[0]}
        shares = self._map(self._collect)
        return means, {name: gradient for share in shares for name, gradient in share.items()}

    def _map(self, work: Callable[[int], Result]) -> list[Result]:
        """Do `work(lane)` for every lane, at the same time where there are several."""
        return list((self._pool.map if self._pool else map)(work, range(self.count)))

    @torch.no_grad()
    def _collect(self, share: int) -> dict[str, Tensor]:
        """Sum the lanes' gradients of every `count`-th parameter."""
        gradients: dict[str, Tensor] = {}
        for index in range(share, len(self.names), self.count):
            total = torch.zeros_like(self.masters[index])
            # Lane order is fixed, so the rounding of the sum is too.
            for weights in self.weights:
                grad = weights[index].grad
                if grad is not None:
                    total.add_(grad, alpha=1 / self.count)
                weights[index].grad = None
            gradients[self.names[index]] = total
        return gradients


def count_lanes() -> int:
    """Return how many lanes fit here: one per CPU core we may use, one in all for a GPU."""
    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def choose_lanes(batch: int) -> tuple[torch.device, torch.dtype, int]:
    """Return where and how to train here: the GPU if there is one, else a lane per CPU core."""
    lanes = max(1, min(count_lanes(), batch))
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16, lanes
    return torch.device("cpu"), choose_cpu_dtype(), lanes


@cache
def choose_cpu_dtype() -> torch.dtype:
    """Return the number type in which convolutions are fastest on this processor: bfloat16 or float32. Takes 0.1 s.

    Processors of one name differ: bfloat16 took half the time of float32 on one with AVX-512, and 1.6 times as long on
    another.
    """
    times = {dtype: _time_convolution(dtype) for dtype in (torch.bfloat16, torch.float32)}
    # bfloat16 also halves the memory, so float32 has to be faster by more than chance.
    return torch.float32 if times[torch.float32] < 0.85 * times[torch.bfloat16] else torch.bfloat16


@torch.no_grad()
def _time_convolution(dtype: torch.dtype) -> float:
    """Return the least CPU time of several: other work on the machine only adds to it."""
    # Zeros, not a layer: its weights would be drawn from the generator whose state a checkpoint holds.
    pixels = torch.zeros(4, 160, 16, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weights = torch.zeros(160, 160, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    threads, best = torch.get_num_threads(), float("inf")
    torch.set_num_threads(1)
    try:
        for _ in range(12):
            began = time.thread_time()
            torch.nn.functional.conv2d(pixels, weights, padding=1)
            best = min(best, time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    return best
