"""Samplers: pure functions that carry a picture from one sigma to the next.

`make_sampler` finds one by any of its names; `Sampler.start` and `Sampler.step` pass a
`SamplerState` value in and out. Knows no model: a denoiser and a source of noise are given.
Start reading in `state`, then `euler` (the shortest family), then `names`.
"""

from sfumato.nn.samplers.names import (
    SAMPLERS,
    choose_schedule,
    list_samplers,
    make_sampler,
)
from sfumato.nn.samplers.state import Denoise, Noise, Sampler, SamplerState, run_sampler

__all__ = [
    "SAMPLERS",
    "Denoise",
    "Noise",
    "Sampler",
    "SamplerState",
    "choose_schedule",
    "list_samplers",
    "make_sampler",
    "run_sampler",
]
