"""What control networks add to the inside of a UNet, and how they are opened for that.

Knows diffusers' `ControlNetModel` by its arguments; no request, window or file name. Start reading at `sum_residuals`.

Source: Zhang, Rao and Agrawala 2023, "Adding Conditional Control to Text-to-Image Diffusion Models", section 3.2; layers
by depth: the authors' guess mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sfumato.core.request_parts.control import CONTROL, PROMPT
from sfumato.models.control.control_file import open_control

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from jaxtyping import Float
    from torch import Tensor

    from sfumato.models.hardware.policy import Policy

# From the deepest layer up, each counts so much less where the prompt leads; the guess mode of the authors.
LAYER_DECAY = 0.825


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlInput:
    """Hold what one unit adds to one call: a network, its picture [B, 3, H, W] in 0 to 1, a weight and who leads."""

    network: Any
    picture: Float[Tensor, "batch 3 height width"]
    weight: float
    mode: str


def load_control(ref: str, policy: Policy) -> Any:
    """Open a control network, diffusers' `ControlNetModel`, with the number type, attention and place of a policy.

    Its weights are never packed: a second copy of them would be used in few steps.

    Raises: as `control_file.open_control`; also ModelError where configuration and weights do not belong together.
    """
    from diffusers.models.controlnets.controlnet import ControlNetModel

    from sfumato.models.fill import fill_network
    from sfumato.models.hardware.fast_unet import speed_up
    from sfumato.models.networks import from_config

    source = open_control(ref)
    state = source.read(policy.unet_dtype)
    network = fill_network(lambda: from_config(ControlNetModel, source.config), state, "control network")
    network = network.to(device=policy.device, memory_format=policy.memory_format)
    speed_up(network, replace(policy, packed=False))
    return network


def sum_residuals(
    controls: Sequence[ControlInput],
    sample: Float[Tensor, "rows channels h w"],
    times: Tensor,
    words: Mapping[str, Any],
    *,
    prompts: int,
) -> dict[str, Any]:
    """Return the arguments by which a UNet takes what control networks add; nothing without any.

    `sample`, `times` and `words` are what the UNet gets. The first `prompts` rows belong to prompts, the others to what
    guidance points away from; a unit that leads adds nothing to these.
    """
    if not controls:
        return {}
    total: list[Tensor] = []
    for one in controls:
        found = _ask(one, sample, times, words, prompts)
        total = [old + new for old, new in zip(total, found, strict=True)] if total else found
    *down, middle = total
    return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}


def _ask(
    one: ControlInput, sample: Tensor, times: Tensor, words: Mapping[str, Any], prompts: int
) -> list[Float[Tensor, "rows width h w"]]:
    """Return what one network adds to every layer, from the first to the middle."""
    import torch

    dtype: torch.dtype = one.network.dtype
    picture = one.picture.to(sample.device, dtype).repeat(len(sample) // len(one.picture), 1, 1, 1)
    added = words["added_cond_kwargs"]
    down, middle = one.network(
        sample.to(dtype),
        times,
        words["encoder_hidden_states"].to(dtype),
        picture,
        added_cond_kwargs=None if added is None else {name: value.to(dtype) for name, value in added.items()},
        return_dict=False,
    )
    layers = [*down, middle]
    weights = [one.weight * LAYER_DECAY**depth if one.mode == PROMPT else one.weight for depth in range(len(layers))]
    rows = torch.ones(len(sample), 1, 1, 1, dtype=dtype, device=sample.device)
    if one.mode == CONTROL:
        rows[prompts:] = 0.0
    return [(layer * (weight * rows)).to(sample.dtype) for layer, weight in zip(layers, weights[::-1], strict=True)]
