"""Build the networks from checked configurations and give them their weights.

Knows diffusers' and transformers' classes; no file is opened here. Networks are built empty (on
torch's "meta" device) and take the tensors over as they are, so memory holds the weights once.
Start reading at `build_unet`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sfumato.models.fill import fill_network
from sfumato.models.hardware.fast_unet import speed_up
from sfumato.models.hardware.policy import fit_policy

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.hardware.policy import Policy

    State = dict[str, Tensor]

_AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
_TEXT_FIELDS = frozenset(
    {
        "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
        "max_position_embeddings", "hidden_act", "layer_norm_eps", "bos_token_id", "eos_token_id", "pad_token_id",
    }
)  # fmt: skip


def build_unet(config: dict[str, Any], state: State, policy: Policy) -> UNet2DConditionModel:
    """Build the denoiser with the attention, layout and place of `policy`.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    unet = fill_network(lambda: make_unet(config), state, "UNet")
    unet = unet.to(device=policy.device, memory_format=policy.memory_format)
    speed_up(unet, fit_policy(policy, sum(tensor.nbytes for tensor in state.values())))
    return unet


def build_vae(config: dict[str, Any], state: State, policy: Policy) -> AutoencoderKL | AutoencoderTiny:
    """Build the autoencoder.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    kind = _AUTOENCODERS[config["_class_name"]]
    vae = fill_network(lambda: from_config(kind, config), state, "autoencoder")
    return vae.to(device=policy.device, memory_format=policy.memory_format)


def build_text(config: dict[str, Any], state: State, policy: Policy) -> CLIPTextModel | CLIPTextModelWithProjection:
    """Build one text encoder, with a projection where its configuration asks for one.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    if _is_projected(config):
        state = {name if name.startswith("text_projection") else f"text_model.{name}": t for name, t in state.items()}
    else:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("text_projection")}
    encoder = fill_network(lambda: make_text(config), state, "text encoder")
    return encoder.to(device=policy.device)


def make_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """Make the denoiser of a configuration, with random weights."""
    return from_config(UNet2DConditionModel, config)


def make_text(config: dict[str, Any]) -> CLIPTextModel | CLIPTextModelWithProjection:
    """Make the text encoder of a configuration, with random weights."""
    chosen = CLIPTextConfig(**{key: value for key, value in config.items() if key in _TEXT_FIELDS})
    # The only way in that opens no file.
    chosen._attn_implementation = "sdpa"  # noqa: SLF001
    return (CLIPTextModelWithProjection if _is_projected(config) else CLIPTextModel)(chosen)


def _is_projected(config: dict[str, Any]) -> bool:
    return "CLIPTextModelWithProjection" in (config.get("architectures") or [])


def from_config(kind: Any, config: dict[str, Any]) -> Any:
    """Make a network of diffusers from what it knows of a configuration, with random weights."""
    known = inspect.signature(kind.__init__).parameters
    return kind(**{key: value for key, value in config.items() if key in known})
