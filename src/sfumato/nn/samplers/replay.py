"""A sampler's step where the denoiser has answered before: for canvases that pass by in bands.

Solvers work cell by cell, all but the denoiser, which needs the whole canvas. So a step is asked for
with the answers there are; either it is done, or it says which canvas has to be denoised next.
Knows no canvas. Start reading at `advance_known`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Float32
    from torch import Tensor

    from sfumato.nn.samplers.state import Noise, Sampler, SamplerState


@dataclass(frozen=True, eq=False)
class Question:
    """Hold what has to be denoised before the step can go on: `x` = x0 + sigma * n."""

    x: Float[Tensor, "..."]
    sigma: float


class _AsksError(Exception):
    """Carry a question out of a solver."""

    def __init__(self, question: Question) -> None:
        super().__init__("not an error")
        self.question = question


def advance_known(
    sampler: Sampler, state: SamplerState, answers: Sequence[Float[Tensor, "..."]], noise: Noise
) -> SamplerState | Question:
    """Take a step with the denoiser's answers so far, in the order it is asked; the last may be missing.

    Raises: as `Sampler.step`.
    """
    known = iter(answers)

    def denoise(x: Tensor, sigma: float, /) -> Tensor:
        answer = next(known, None)
        if answer is None:
            raise _AsksError(Question(x, sigma))
        return answer

    try:
        return sampler.step(state, denoise, noise)
    except _AsksError as asks:
        return asks.question


@dataclass(frozen=True)
class Course:
    """State what a run along some sigmas asks and keeps: per step the sigmas denoised at, and the depth of history."""

    asked: tuple[tuple[float, ...], ...]
    depths: tuple[int, ...]

    @property
    def deepest(self) -> int:
        """Return how many canvases of history there are at most."""
        return max(self.depths)


def plot_course(sampler: Sampler, sigmas: Float32[np.ndarray, " n"]) -> Course:
    """Walk along the sigmas with one number in place of a canvas; depths are those before each step and after the last."""
    # Solvers do arithmetic alone, which one number of numpy takes as well as a tensor, and a plan needs no torch.
    number: Any = np.zeros(1, np.float32)
    state = sampler.start(number, sigmas)
    asked, depths = list[tuple[float, ...]](), [0]

    def noise(_step: int, _substep: int, /) -> Tensor:
        return number

    while not state.done:
        here = list[float]()

        def denoise(x: Tensor, sigma: float, /, here: list[float] = here) -> Tensor:
            here.append(sigma)
            return 0.0 * x

        state = sampler.step(state, denoise, noise)
        asked.append(tuple(here))
        depths.append(len(state.history))
    return Course(tuple(asked), tuple(depths))
