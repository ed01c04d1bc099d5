"""Build the networks of `mini`, and of what is shaped like it, from classes of our own.

Knows which configurations these classes serve. Start reading at `is_small`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.models.files.vocabularies import read_folder, read_padding
from sfumato.models.fill import fill_network
from sfumato.models.hardware.fast_unet import speed_up
from sfumato.models.hardware.policy import fit_policy
from sfumato.models.small import autoencoder, text, unet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from sfumato.models.hardware.policy import Policy

    State = dict[str, Tensor]


def is_small(configs: Mapping[str, Any], vae: Mapping[str, Any]) -> bool:
    """Tell whether all networks of a checkpoint are of the kinds that are built here."""
    return unet.fits(configs["unet"]) and text.fits(configs["text_encoder"]) and autoencoder.fits(vae)


def build_small_unet(config: dict[str, Any], state: State, policy: Policy) -> unet.Unet:
    """Build the denoiser with the attention, layout and place of `policy`.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    network = fill_network(lambda: unet.Unet(config), state, "UNet")
    network = network.to(device=policy.device, memory_format=policy.memory_format)
    speed_up(network, fit_policy(policy, sum(tensor.nbytes for tensor in state.values())))
    return network


def build_small_vae(config: dict[str, Any], state: State, policy: Policy) -> autoencoder.TinyAutoencoder:
    """Build the autoencoder.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    network = fill_network(lambda: autoencoder.TinyAutoencoder(config), state, "autoencoder")
    return network.to(device=policy.device, memory_format=policy.memory_format)


def build_small_text(config: dict[str, Any], state: State, policy: Policy) -> text.ClipText:
    """Build the text encoder.

    Raises:
        ModelError: configuration and weights do not belong together.
    """
    # Some files carry a projection that nothing here reads.
    state = {name: tensor for name, tensor in state.items() if not name.startswith("text_projection")}
    return fill_network(lambda: text.ClipText(config), state, "text encoder").to(device=policy.device)


def load_words(folder: Path) -> text.ClipWords:
    """Load the tokenizer of a diffusers folder.

    Raises:
        ModelError: there is none, or it lacks a token.
        UnsafeFileError: a file is too large or malformed.
    """
    vocabulary, merges = read_folder(folder)
    return text.ClipWords(vocabulary, merges, read_padding(folder))
