"""The DPM-Solver++ family: 2M, 2M SDE, SDE.

All work in log signal-to-noise lam = -log sigma, where the linear part of the flow is solved
exactly and only x0 is approximated. Knows no name and no schedule. Start reading at `dpmpp_2m`.

Source: Lu et al. 2022, "DPM-Solver++"; the SDE forms in its appendix and in k-diffusion.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from sfumato.nn.samplers.euler import split_noise

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.nn.samplers.state import Advance, Denoise, Noise, SamplerState

# Where inside a step (in lam) the SDE solver asks the model a second time; the middle is the choice
# that makes the second prediction alone, without the first, second order.
_MIDPOINT = 0.5


def dpmpp_2m(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
    """Step with x0 extrapolated from this and the previous prediction: order 2, one model call.

    The first step has no past and the last one, to sigma 0, no finite length: both are order 1.

    Source: Lu et al. 2022, "DPM-Solver++", algorithm 2.
    """
    del noise
    x0 = denoise(state.x, state.sigma)
    if state.sigma_next == 0:
        return state.advance(x0, x0)
    target = x0
    if state.history:
        target = x0 + (x0 - state.history[0]) / (2 * _step_ratio(state))
    return state.advance(_blend(state.x, target, state.sigma_next / state.sigma), x0, (x0,))


def make_dpmpp_2m_sde(eta: float, solver: Literal["midpoint", "heun"] = "midpoint") -> Advance:
    """Return the two-step solver of the reverse SDE; eta 0 leaves the flow without noise.

    "midpoint" and "heun" are two second-order rules for the change of x0 over the step.

    Source: Lu et al. 2022, "DPM-Solver++", section 5 (SDE-DPM-Solver++(2M)).
    """

    def dpmpp_2m_sde(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
        x0 = denoise(state.x, state.sigma)
        if state.sigma_next == 0:
            return state.advance(x0, x0)
        length = math.log(state.sigma / state.sigma_next)
        reach = length * (1 + eta)
        x = state.x * math.exp(-reach) - x0 * math.expm1(-reach)
        if state.history:
            share = -math.expm1(-reach) / 2 if solver == "midpoint" else 1 + math.expm1(-reach) / reach
            x = x + share / _step_ratio(state) * (x0 - state.history[0])
        if eta > 0:
            x = x + state.sigma_next * math.sqrt(-math.expm1(-2 * eta * length)) * noise(state.index, 0)
        return state.advance(x, x0, (x0,))

    return dpmpp_2m_sde


def make_dpmpp_sde(eta: float) -> Advance:
    """Return the single-step SDE solver with a midpoint: order 2, two model calls.

    The noise of the whole step holds that of its first half, as one Brownian path would; the two
    parts are weighed by their lengths in sigma.

    Source: Lu et al. 2022, "DPM-Solver++", algorithm 1, made ancestral as in k-diffusion.
    """

    def dpmpp_sde(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
        x0 = denoise(state.x, state.sigma)
        if state.sigma_next == 0:
            return state.advance(x0, x0)
        middle = state.sigma ** (1 - _MIDPOINT) * state.sigma_next**_MIDPOINT
        first = noise(state.index, 0) if eta > 0 else None
        trial = _ancestral(state, x0, middle, eta, first)
        x0_middle = denoise(trial, middle)
        weight = 1 / (2 * _MIDPOINT)
        target = x0_middle if weight == 1 else (1 - weight) * x0 + weight * x0_middle
        whole = _join(state, middle, first, noise)
        return state.advance(_ancestral(state, target, state.sigma_next, eta, whole), x0)

    return dpmpp_sde


def _blend(x: Tensor, x0: Tensor, ratio: float) -> Tensor:
    """Solve the linear part exactly: x shrinks by sigma_next / sigma, x0 takes the rest."""
    return x0 + (x - x0) * ratio


def _step_ratio(state: SamplerState) -> float:
    """Return the length of the previous step in lam over that of this one."""
    before = state.sigmas[state.index - 1]
    return math.log(before / state.sigma) / math.log(state.sigma / state.sigma_next)


def _ancestral(state: SamplerState, x0: Tensor, sigma: float, eta: float, noise: Tensor | None) -> Tensor:
    down, up = split_noise(state.sigma, sigma, eta)
    x = _blend(state.x, x0, down / state.sigma)
    return x if noise is None else x + up * noise


def _join(state: SamplerState, middle: float, first: Tensor | None, noise: Noise) -> Tensor | None:
    if first is None:
        return None
    whole = state.sigma - state.sigma_next
    early, late = (state.sigma - middle) / whole, (middle - state.sigma_next) / whole
    return first * math.sqrt(early) + noise(state.index, 1) * math.sqrt(late)
