"""Latent consistency sampling: jump to the clean picture, add noise back, repeat.

For models distilled to predict x0 in one go (LCM, LCM-LoRA). Knows no name and no schedule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.nn.samplers.state import Denoise, Noise, SamplerState


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
