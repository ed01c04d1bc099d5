"""The value a sampler passes from step to step, and the step itself.

A `SamplerState` is all there is between two steps: written out and read back, the rest of the
picture comes out the same to the bit. Knows no particular solver. Start reading at `SamplerState`,
then `Sampler.step`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32
    from torch import Tensor


class Denoise(Protocol):
    """Predict the clean latents x0 of the whole canvas, guidance included."""

    def __call__(self, x: Float[Tensor, "..."], sigma: float, /) -> Float[Tensor, "..."]:
        """Return x0 for x = x0 + sigma * n; shaped like x."""
        ...


class Noise(Protocol):
    """Return unit normal noise shaped like x for a step and a part of it (0, or 1 for a midpoint)."""

    def __call__(self, step: int, substep: int, /) -> Float[Tensor, "..."]:
        """Return the same noise whenever the same step and substep are asked."""
        ...


@dataclass(frozen=True, eq=False)
class SamplerState:
    """Hold a picture between two steps.

    `x` = x0 + sigma * n in sigma space. `index` counts finished steps. `stages` is how often a full
    step asks the denoiser. `x0` is the last clean prediction, for previews. `history` is what a
    multistep solver remembers, newest first; its meaning belongs to the solver.
    """

    x: Float[Tensor, "..."]
    sigmas: tuple[float, ...]
    index: int = 0
    stages: int = 1
    x0: Float[Tensor, "..."] | None = None
    history: tuple[Float[Tensor, "..."], ...] = ()

    @property
    def steps(self) -> int:
        """Count all steps, finished ones included."""
        return len(self.sigmas) - 1

    @property
    def done(self) -> bool:
        """Tell whether no step is left."""
        return self.index >= self.steps

    @property
    def sigma(self) -> float:
        """Return the noise level of `x` now."""
        return self.sigmas[self.index]

    @property
    def sigma_next(self) -> float:
        """Return the noise level after the next step."""
        return self.sigmas[self.index + 1]

    @property
    def evaluations(self) -> int:
        """Count the model calls of the next step: 0 when done."""
        if self.done:
            return 0
        return _count(self.stages, self.sigma_next)

    def advance(self, x: Tensor, x0: Tensor, history: tuple[Tensor, ...] = ()) -> SamplerState:
        """Return the state one step later."""
        return replace(self, x=x, x0=x0, history=history, index=self.index + 1)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything as named tensors, the form that safetensors stores."""
        import torch

        tensors = {
            "x": self.x,
            "sigmas": torch.tensor(self.sigmas, dtype=torch.float64),
            "counters": torch.tensor([self.index, self.stages, len(self.history)]),
        }
        if self.x0 is not None:
            tensors["x0"] = self.x0
        tensors.update({f"history.{place}": past for place, past in enumerate(self.history)})
        # Storage refuses tensors that share memory, and x0 is often the newest of the history.
        return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> SamplerState:
        """Rebuild the state that `to_tensors` wrote.

        Raises:
            RequestError: a tensor is missing or does not fit the others.
        """
        try:
            index, stages, depth = (int(value) for value in tensors["counters"])
            sigmas = tuple(tensors["sigmas"].double().tolist())
            history = tuple(tensors[f"history.{place}"] for place in range(depth))
            x = tensors["x"]
        except (KeyError, ValueError) as error:
            raise RequestError("a sampler state is incomplete", got=sorted(tensors)) from error
        if not 0 <= index < len(sigmas) or any(past.shape != x.shape for past in history):
            raise RequestError("the parts of a sampler state do not fit together", got=(index, len(sigmas)))
        return cls(x, _check_sigmas(sigmas), index, stages, tensors.get("x0"), history)


Advance = Callable[[SamplerState, Denoise, Noise], SamplerState]


@dataclass(frozen=True)
class Sampler:
    """Name a solver and run it. A leaf; solvers are the functions in the modules beside this one.

    `label` is the name A1111 uses. `schedule` is the schedule its name asked for ("DPM++ 2M
    Karras"), else None; `preferred` the one that A1111's "Automatic" means for it. `stochastic`
    tells whether it asks for noise.
    """

    label: str
    solver: Advance
    stages: int = 1
    stochastic: bool = False
    preferred: str = "model"
    schedule: str | None = None

    def start(self, x: Float[Tensor, "..."], sigmas: Float32[np.ndarray, " n"] | Sequence[float]) -> SamplerState:
        """Return the state before the first step; x already holds noise of level sigmas[0].

        Raises:
            RequestError: sigmas do not fall strictly, or are not finite, or fewer than two.
        """
        levels = tuple(float(sigma) for sigma in sigmas)
        return SamplerState(x=x, sigmas=_check_sigmas(levels), stages=self.stages)

    def step(self, state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
        """Return the state one step later; the given one stays as it was.

        Raises:
            RequestError: no step is left, or the state was started by another kind of sampler.
        """
        if state.done:
            raise RequestError("no step is left to take", got=f"step {state.index} of {state.steps}")
        if state.stages != self.stages:
            raise RequestError(f"the state does not belong to {self.label}", got=f"{state.stages} stages")
        return self.solver(state, denoise, noise)

    def count_evaluations(self, sigmas: Float32[np.ndarray, " n"] | Sequence[float]) -> int:
        """Count the model calls of a whole run along `sigmas`."""
        return sum(_count(self.stages, float(sigma)) for sigma in sigmas[1:])


def run_sampler(sampler: Sampler, state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
    """Take all steps that are left."""
    while not state.done:
        state = sampler.step(state, denoise, noise)
    return state


def _count(stages: int, sigma_next: float) -> int:
    # A midpoint or an end point at sigma 0 adds nothing: the clean prediction is already the answer.
    return stages if sigma_next > 0 else 1


def _check_sigmas(sigmas: tuple[float, ...]) -> tuple[float, ...]:
    falling = all(high > low for high, low in itertools.pairwise(sigmas))
    finite = all(math.isfinite(sigma) and sigma >= 0 for sigma in sigmas)
    if len(sigmas) < 2 or not falling or not finite:
        raise RequestError("sigmas have to fall from step to step, stay finite, and be two at least", got=sigmas)
    return sigmas
