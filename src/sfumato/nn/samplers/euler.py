"""First and second order solvers of the probability flow in sigma: Euler, Euler a, Heun, DDIM.

dx/dsigma = (x - x0) / sigma. Knows no name and no schedule. Start reading at `euler`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.nn.samplers.state import Advance, Denoise, Noise, SamplerState


def lcm(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
    """Step to x0 plus fresh noise of the next level; without noise after the last step.

    The paper's boundary weight c_skip is left out: at timestep 19, the least that a 50-step
    distillation ever asks for, it is 7e-6.

    Source: Song et al. 2023, "Consistency Models", algorithm 1; Luo et al. 2023, "Latent
    Consistency Models", algorithm 3.
    """
    x0 = denoise(state.x, state.sigma)
    if state.sigma_next == 0:
        return state.advance(x0, x0)
    return state.advance(x0 + state.sigma_next * noise(state.index, 0), x0)


def split_noise(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Split a step into the level to step down to and the noise to add back.

    Returns (down, up) with down^2 + up^2 = sigma_next^2; eta 0 adds nothing, eta 1 is ancestral.

    Source: Song et al. 2021 (DDIM), eq. 16, written for sigma = sqrt((1 - a) / a).
    """
    up = min(sigma_next, eta * sigma_next * math.sqrt(sigma**2 - sigma_next**2) / sigma)
    return math.sqrt(sigma_next**2 - up**2), up


def euler(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
    """Step along the slope at the start of the interval: order 1.

    Source: Karras et al. 2022, algorithm 2 without churn and correction.
    """
    del noise
    x0 = denoise(state.x, state.sigma)
    return state.advance(_along(state, x0, state.sigma_next), x0)


def heun(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
    """Step along the mean of the slopes at both ends: order 2, two model calls.

    The last step, to sigma 0, is an Euler step: there is no slope at 0.

    Source: Karras et al. 2022, algorithm 2 without churn.
    """
    del noise
    sigma, sigma_next = state.sigma, state.sigma_next
    x0 = denoise(state.x, sigma)
    trial = _along(state, x0, sigma_next)
    if sigma_next == 0:
        return state.advance(trial, x0)
    slope = (state.x - x0) / sigma
    slope_next = (trial - denoise(trial, sigma_next)) / sigma_next
    return state.advance(state.x + (sigma_next - sigma) * (slope + slope_next) / 2, x0)


def make_ancestral(eta: float) -> Advance:
    """Return Euler steps that overshoot and add fresh noise back (Euler a; DDIM for any eta).

    DDIM with noise eta and Euler a with the same eta are one formula in sigma space: both go to
    x0 + down * (x - x0) / sigma + up * n. They differ in name, usual eta and usual schedule.

    Source: Song et al. 2021 (DDIM), eq. 12 divided by sqrt(a_next).
    """

    def ancestral(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
        x0 = denoise(state.x, state.sigma)
        down, up = split_noise(state.sigma, state.sigma_next, eta)
        x = _along(state, x0, down)
        return state.advance(x + up * noise(state.index, 0) if up > 0 else x, x0)

    return ancestral


def _along(state: SamplerState, x0: Tensor, sigma: float) -> Tensor:
    """Move to `sigma` on the straight line through x and its clean prediction."""
    if sigma == 0:
        return x0
    return x0 + (state.x - x0) * (sigma / state.sigma)
