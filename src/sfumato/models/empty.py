"""The networks of a checkpoint without their weights: shapes on torch's "meta" device, for arithmetic about memory.

Knows configurations; reads no weight. Start reading at `build_empty`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sfumato.models.describe import describe_checkpoint
from sfumato.models.fill import build_unfilled
from sfumato.models.small import text, unet
from sfumato.models.small.build import is_small

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sfumato.models.contract import ModelContract
    from sfumato.models.describe import CheckpointDescription


@dataclass(frozen=True, eq=False, kw_only=True)
class EmptyModel:
    """Hold networks whose tensors have shapes and no numbers; `vae_numbers` counts the autoencoder's weights."""

    contract: ModelContract
    unet: Any
    text_encoders: tuple[Any, ...]
    vae_numbers: int


def build_empty(ref: str | Path, *, number_type: str = "fp32") -> EmptyModel:
    """Build the networks of a checkpoint on the "meta" device, the UNet in a number type.

    Raises:
        UnsafeFileError: the gate refuses a file.
        ModelError: it is no checkpoint that can be opened.
    """
    said = describe_checkpoint(ref)
    networks = _build(said)
    encoders = tuple(networks[part] for part in said.texts)
    counted = sum(_count(network) for network in networks.values())
    denoiser = networks["unet"].to({"fp32": torch.float32, "bf16": torch.bfloat16}[number_type])
    return EmptyModel(
        contract=said.contract,
        unet=denoiser,
        text_encoders=encoders,
        vae_numbers=max(said.contract.parameters - counted, 0),
    )


def build_shapes(configs: Mapping[str, dict[str, Any]], texts: tuple[str, ...]) -> dict[str, Any]:
    """Build the UNet and the text encoders of diffusers' configurations, by part, on the "meta" device.

    Raises:
        ModelError: a configuration builds no network.
    """
    from sfumato.models.networks import make_text, make_unet

    built = {part: build_unfilled(lambda part=part: make_text(configs[part]), "text encoder") for part in texts}
    return {"unet": build_unfilled(lambda: make_unet(configs["unet"]), "UNet"), **built}


def _build(said: CheckpointDescription) -> dict[str, Any]:
    if said.contract.family == "mini" and said.layout is None and is_small(said.configs, said.vae.config):
        kinds = dict.fromkeys(said.texts, text.ClipText) | {"unet": unet.Unet}
        return {
            part: build_unfilled(lambda part=part, kind=kind: kind(said.configs[part]), part)
            for part, kind in kinds.items()
        }
    return build_shapes(said.configs, said.texts)


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
