"""Open a checkpoint: description, weights, networks, model.

Knows the order of these steps and nothing of their insides. Start reading at `load_model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.core.settings import load_settings
from sfumato.models.describe import describe_checked, describe_checkpoint, find_checkpoint, load_contract
from sfumato.models.files.read_weights import read_component, read_part
from sfumato.models.hardware.policy import choose_policy
from sfumato.models.hardware.torch_settings import apply_runtime
from sfumato.models.inspect import inspect_model
from sfumato.models.latent_model import LatentModel
from sfumato.models.small.build import build_small_text, build_small_unet, build_small_vae, is_small, load_words
from sfumato.models.text.clip import TextTower
from sfumato.models.text.encoder import DEPTHS, PromptEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from sfumato.core.request_parts.arithmetic import Arithmetic
    from sfumato.models.contract import Prediction
    from sfumato.models.describe import CheckpointDescription
    from sfumato.models.hardware.policy import Policy

__all__ = ["find_checkpoint", "inspect_model", "load_contract", "load_model", "probe_prediction"]

# An epsilon model repeats its input at the noisiest step (correlation near 1); a v model gives
# minus the picture, which has nothing to do with it (near 0).
ECHO_CORRELATION = 0.5
# Which text encoders of a family are OpenCLIP's and pad with another word.
OPEN_CLIP = {"sd1": (False,), "sd2": (True,), "sdxl": (False, True)}


def load_model(
    ref: str | Path,
    *,
    vae: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    prediction: str | None = None,
    arithmetic: Arithmetic | None = None,
) -> LatentModel:
    """Open `mini`, a diffusers folder or a single safetensors file.

    `vae` replaces the autoencoder with that of a file or folder; `prediction` overrides what the
    checkpoint says of itself. `device` and `dtype` are as the settings say where they are left out; the `arithmetic`
    of a stored request repeats its bytes.

    Raises:
        UnsafeFileError: the gate refuses a file.
        ModelError: it is no checkpoint that can be opened, or is damaged.
        RequestError: an unknown device or dtype.
    """
    policy = choose_policy(device, dtype, arithmetic)
    apply_runtime(load_settings().threads)
    said = describe_checkpoint(ref, vae=vae, prediction=prediction)
    model = _build(said, policy)
    if said.prediction is None:
        found = describe_checked(said.checked, said.vae if vae is not None else None, probe_prediction(model))
        model.contract = found.contract
    return model


def _build(said: CheckpointDescription, policy: Policy) -> LatentModel:
    if said.contract.family == "mini" and said.layout is None and is_small(said.configs, said.vae.config):
        build_text, build_unet, build_vae = build_small_text, build_small_unet, build_small_vae
        tokenizers: tuple[Any, ...] = (load_words(said.checked.path / "tokenizer"),)
    else:
        # Real checkpoints alone pay for diffusers and transformers, which take most of a cold start.
        from sfumato.models.networks import build_text, build_unet, build_vae

        tokenizers = _load_tokenizers(said)
    encoders = tuple(
        build_text(said.configs[part], read_weights(said, part, policy.text_dtype), policy) for part in said.texts
    )
    depth = DEPTHS[said.contract.family]
    towers = [TextTower(words, one, depth=depth) for words, one in zip(tokenizers, encoders, strict=True)]
    for tower in towers:
        _check_vocabulary(tower)
    unet = build_unet(said.configs["unet"], read_weights(said, "unet", policy.unet_dtype), policy)
    return LatentModel(
        contract=said.contract,
        policy=policy,
        unet=unet,
        vae=build_vae(said.vae.config, said.vae.read(policy.vae_dtype), policy),
        text_encoders=encoders,
        tokenizers=tokenizers,
        text=PromptEncoder(towers, zero_empty=said.contract.zero_empty),
    )


def read_weights(said: CheckpointDescription, part: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Read the weights of a UNet or text encoder under diffusers' names.

    Raises:
        UnsafeFileError: a weight is no number, or the file changed since it was checked.
        ModelError: a number type that is not read, or names that belong nowhere.
    """
    headers = said.checked.headers
    if said.layout is None:
        return read_component(headers[part], part, dtype)
    return read_part(headers["file"][0], part, said.layout.parts[part], said.configs[part], dtype)


def _load_tokenizers(said: CheckpointDescription) -> tuple[Any, ...]:
    from sfumato.models.text.tokenizers import load_clip_tokenizer, load_folder_tokenizer

    if said.layout is not None:
        return tuple(load_clip_tokenizer(open_clip=kind) for kind in OPEN_CLIP[said.layout.family])
    root = said.checked.path
    return tuple(load_folder_tokenizer(root / part.replace("text_encoder", "tokenizer")) for part in said.texts)


@torch.inference_mode()
def probe_prediction(model: LatentModel) -> Prediction:
    """Find out from the network itself whether it predicts epsilon or v.

    One forward pass on pure noise at the last timestep, for SD 2.x files, whose names and shapes are
    the same for both.

    Source: at zero signal epsilon is the input and v is -x0 (Salimans and Ho 2022, appendix D).
    """
    noise = torch.randn((1, model.contract.latent_channels, 16, 16), generator=torch.Generator().manual_seed(0))
    policy = model.policy
    hidden = torch.zeros((1, model.contract.tokens, model.contract.text_width))
    out = model.unet(
        noise.to(policy.device, policy.unet_dtype),
        torch.tensor([model.contract.schedule.steps - 1], device=policy.device),
        encoder_hidden_states=hidden.to(policy.device, policy.unet_dtype),
        return_dict=False,
    )[0]
    both = torch.stack([noise.flatten(), out.float().cpu().flatten()])
    return "epsilon" if float(torch.corrcoef(both)[0, 1]) > ECHO_CORRELATION else "v_prediction"


def _check_vocabulary(tower: TextTower) -> None:
    rows = tower.embedding.weight.shape[0]
    if len(tower.tokenizer) > rows:
        raise ModelError("the tokenizer knows more words than its encoder", got=(len(tower.tokenizer), rows))
