"""Time one step of `mini`, where starting operators costs as much as doing them.

Knows how the compared runs are set up; prints nothing. Start reading at `measure_mini`.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.lab.bench.kernel_shares import KernelShares, profile_shares
from sfumato.models.hardware.fast_unet import speed_up
from sfumato.models.hardware.policy import Policy
from sfumato.models.load import find_checkpoint
from sfumato.models.mini import make_mini_unet

_SEED = 20260523
_TIMESTEP, _TOKENS = 500, 77
# A render runs one network step after step.
_STEPS_A_TURN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniTimes:
    """Milliseconds a step of `mini` by way of running, alone and guided, and what bounds ours."""

    weights: str
    parameters: int
    alone_ms: dict[str, float]
    guided_ms: dict[str, float]
    shares: KernelShares


@torch.inference_mode()
def measure_mini(policy: Policy, *, rounds: int = 5, unet: UNet2DConditionModel | None = None) -> MiniTimes:
    """Measure the denoiser of `mini` at its native size: batch 1 alone, batch 2 guided.

    Uses the packaged weights, or random ones of the same shape where none are packaged.
    """
    found, weights = (unet, "given") if unet is not None else _find_mini()
    own: Any = found.float().eval().requires_grad_(requires_grad=False)
    own.set_attn_processor(AttnProcessor2_0())
    ours = copy.deepcopy(own).to(dtype=policy.unet_dtype, memory_format=policy.memory_format)
    speed_up(ours, policy)
    networks = {
        "diffusers fp32": own,
        "diffusers bf16": copy.deepcopy(own).to(torch.bfloat16),
        "ours": ours,
    }
    return MiniTimes(
        weights=weights,
        parameters=sum(parameter.numel() for parameter in own.parameters()),
        alone_ms=_time_in_turns(networks, 1, rounds),
        guided_ms=_time_in_turns(networks, 2, rounds),
        shares=profile_shares(lambda: _step(ours, *_make_inputs(ours, 1))),
    )


def _find_mini() -> tuple[UNet2DConditionModel, str]:
    try:
        folder = find_checkpoint("mini") / "unet"
        unet = UNet2DConditionModel.from_pretrained(folder, local_files_only=True)
    except (ModelError, OSError):
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            return make_mini_unet(), "random, of mini's shape: no mini is packaged"
    return unet, "packaged"


def _time_in_turns(networks: dict[str, Any], batch: int, rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            inputs = _make_inputs(network, batch)
            # Not counted: it packs, and brings back the weights that another row pushed out of the cache.
            _step(network, *inputs)
            for _ in range(_STEPS_A_TURN):
                start = time.perf_counter()
                _step(network, *inputs)
                found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def _step(network: Any, x: Tensor, text: Tensor) -> Tensor:
    return network(x, _TIMESTEP, text).sample


def _make_inputs(network: Any, batch: int) -> tuple[Tensor, Tensor]:
    cells = network.config.sample_size
    x = torch.ones(batch, network.config.in_channels, cells, cells, dtype=network.dtype)
    return x, torch.ones(batch, _TOKENS, network.config.cross_attention_dim, dtype=network.dtype)
