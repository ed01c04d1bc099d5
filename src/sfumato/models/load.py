"""Open a checkpoint: gate, layout, weights, networks, contract.

Knows the order of these steps and nothing of their insides. Start reading at `load_model`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.models.contract import LatentModel, ModelContract
from sfumato.models.device import choose_policy
from sfumato.models.gate import check_checkpoint
from sfumato.models.gate_configs import check_component
from sfumato.models.layouts import find_layout, load_configs, load_family_configs, packaged_name
from sfumato.models.networks import build_text, build_unet, build_vae
from sfumato.models.text import DEPTHS, PromptEncoder
from sfumato.models.text_tower import TextTower
from sfumato.models.tokenizers import load_clip_tokenizer, load_folder_tokenizer
from sfumato.models.vae_file import VaeSource, open_vae
from sfumato.models.weights import read_component, read_part
from sfumato.nn.schedules import NoiseSchedule

if TYPE_CHECKING:
    from sfumato.models.contract import Family, Prediction
    from sfumato.models.device import Policy
    from sfumato.models.gate import CheckedCheckpoint

MINI = "mini"
TEXT_PARTS = ("text_encoder", "text_encoder_2")
# An epsilon model repeats its input at the noisiest step (correlation near 1); a v model gives
# minus the picture, which has nothing to do with it (near 0).
ECHO_CORRELATION = 0.5


def load_model(
    ref: str | Path,
    *,
    vae: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    prediction: Prediction | None = None,
) -> LatentModel:
    """Open `mini`, a diffusers folder or a single safetensors file.

    `vae` replaces the autoencoder with that of a file or folder; `prediction` overrides what the
    checkpoint says of itself.

    Raises:
        UnsafeFileError: the gate refuses a file.
        ModelError: it is no checkpoint that can be opened, or is damaged.
        RequestError: an unknown device or dtype.
    """
    policy = choose_policy(device, dtype)
    checked = check_checkpoint(find_checkpoint(ref))
    swap = None if vae is None else open_vae(vae)
    if checked.layout == "folder":
        return _load_folder(checked, policy, swap, prediction)
    return _load_file(checked, policy, swap, prediction)


def find_checkpoint(ref: str | Path) -> Path:
    """Return the path a reference means: the packaged folder for `mini`, else the path itself.

    Raises:
        ModelError: `mini` is not in this installation.
    """
    if str(ref) != MINI:
        return Path(ref).expanduser()
    path = Path(str(resources.files("sfumato"))) / "data" / MINI
    if not path.is_dir():
        raise ModelError("the embedded model is missing from this installation", got=str(path), do="Reinstall sfumato.")
    return path


def _load_folder(
    checked: CheckedCheckpoint, policy: Policy, swap: VaeSource | None, prediction: Prediction | None
) -> LatentModel:
    configs, headers = checked.configs, checked.headers
    missing = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"} - set(checked.components)
    if missing:
        raise ModelError("the folder lacks parts that every picture needs", got=sorted(missing))
    texts = [part for part in TEXT_PARTS if part in configs]
    encoders = tuple(
        build_text(configs[part], read_component(headers[part], part, policy.text_dtype), policy) for part in texts
    )
    tokenizers = tuple(load_folder_tokenizer(checked.path / part.replace("text_encoder", "tokenizer")) for part in texts)
    unet = build_unet(configs["unet"], read_component(headers["unet"], "unet", policy.unet_dtype), policy)
    own = VaeSource({"_class_name": configs["index"]["vae"][1]} | configs["vae"], headers["vae"], prefix=None)
    contract = _write_contract(checked, configs, family=_find_family(configs, tokenizers), vae=swap or own)
    return _finish(contract, policy, (unet, swap or own, encoders, tokenizers), prediction or contract.prediction)


def _load_file(
    checked: CheckedCheckpoint, policy: Policy, swap: VaeSource | None, prediction: Prediction | None
) -> LatentModel:
    (header,) = checked.headers["file"]
    layout = find_layout(header)
    configs = load_configs(layout, {name: entry.shape for name, entry in header.tensors.items()})
    for part, config in configs.items():
        check_component(checked.path, part, config)
    texts = [part for part in TEXT_PARTS if part in load_family_configs(packaged_name(layout.family, None))]
    missing = [part for part in texts if part not in layout.parts]
    if missing:
        raise ModelError("the file holds no text encoder", got=missing, do="Use a full checkpoint, not a bare UNet.")
    if swap is None and "vae" not in layout.parts:
        raise ModelError("the file holds no autoencoder", got=str(checked.path), do="Give one with --vae FILE.")

    def read(part: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return read_part(header, part, layout.parts[part], configs[part], dtype)

    encoders = tuple(build_text(configs[part], read(part, policy.text_dtype), policy) for part in texts)
    open_clip = {"sd1": (False,), "sd2": (True,), "sdxl": (False, True)}[layout.family]
    tokenizers = tuple(load_clip_tokenizer(open_clip=kind) for kind in open_clip)
    unet = build_unet(configs["unet"], read("unet", policy.unet_dtype), policy)
    own = VaeSource(configs.get("vae", {}), (header,), prefix=layout.parts.get("vae"))
    index = load_family_configs(packaged_name(layout.family, None))["index"]
    contract = _write_contract(checked, configs | {"index": index}, family=layout.family, vae=swap or own)
    known = prediction or layout.prediction
    return _finish(contract, policy, (unet, swap or own, encoders, tokenizers), known)


def _write_contract(
    checked: CheckedCheckpoint, configs: dict[str, dict[str, Any]], *, family: Family, vae: VaeSource
) -> ModelContract:
    unet, text = configs["unet"], configs["text_encoder"]
    _check_unet(unet)
    side = int(unet.get("sample_size") or 64) * vae.factor
    pooled = configs["text_encoder_2"].get("projection_dim", 0) if family == "sdxl" else 0
    return ModelContract(
        family=family,
        name=MINI if family == "mini" else checked.path.stem,
        native=PixelSize(side, side),
        prediction=configs["scheduler"].get("prediction_type", "epsilon"),
        schedule=_read_schedule(configs["scheduler"]),
        text_width=int(unet["cross_attention_dim"]),
        weights_bytes=checked.weights_bytes,
        pooled_width=int(pooled),
        text_layer="penultimate" if family == "sdxl" else "last",
        tokens=int(text.get("max_position_embeddings", 77)),
        factor=vae.factor,
        latent_channels=int(unet.get("in_channels", 4)),
        scaling=vae.scaling,
        shift=vae.shift,
        autoencoder=vae.kind,
        zero_empty=bool(configs["index"].get("force_zeros_for_empty_prompt", False)),
    )


def _finish(
    contract: ModelContract, policy: Policy, parts: tuple[Any, VaeSource, Any, Any], prediction: Prediction | None
) -> LatentModel:
    unet, vae, encoders, tokenizers = parts
    depth = DEPTHS[contract.family]
    towers = [TextTower(words, encoder, depth=depth) for words, encoder in zip(tokenizers, encoders, strict=True)]
    for tower in towers:
        _check_vocabulary(tower)
    model = LatentModel(
        contract=contract,
        policy=policy,
        unet=unet,
        vae=build_vae(vae.config, vae.read(policy.vae_dtype), policy),
        text_encoders=encoders,
        tokenizers=tokenizers,
        text=PromptEncoder(towers, zero_empty=contract.zero_empty),
    )
    model.settle_prediction(prediction or probe_prediction(model))
    return model


@torch.inference_mode()
def probe_prediction(model: LatentModel) -> Prediction:
    """Find out from the network itself whether it predicts epsilon or v.

    One forward pass on pure noise at the last timestep; for SD 2.x files, whose names and shapes
    are the same for both. Source: v at zero signal is -x0, epsilon is the input (Salimans and Ho 2022).
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


def _find_family(configs: dict[str, dict[str, Any]], tokenizers: tuple[Any, ...]) -> Family:
    unet = configs["unet"]
    if unet.get("addition_embed_type") == "text_time":
        return "sdxl"
    # Every SD 1.x and 2.x has the vocabulary of CLIP; a smaller one is ours.
    if len(tokenizers[0]) < 49408:
        return "mini"
    return "sd2" if unet.get("use_linear_projection") else "sd1"


def _check_unet(unet: dict[str, Any]) -> None:
    if unet.get("in_channels", 4) != 4 or unet.get("out_channels", 4) != 4:
        raise ModelError("the UNet is no text-to-image UNet of four channels", got=unet.get("in_channels"))
    if unet.get("addition_embed_type") not in (None, "text_time") or unet.get("class_embed_type") is not None:
        raise ModelError("the UNet takes a condition that is not known here", got=unet.get("addition_embed_type"))


def _read_schedule(config: dict[str, Any]) -> NoiseSchedule:
    if config.get("trained_betas") is not None:
        raise ModelError("a schedule of listed betas is not read", do="Use a scaled-linear or linear schedule.")
    if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction", "sample"):
        raise ModelError("unknown prediction type", got=config["prediction_type"])
    return NoiseSchedule.from_betas(
        config.get("beta_start", 0.0001),
        config.get("beta_end", 0.02),
        config.get("beta_schedule", "linear"),
        config.get("num_train_timesteps", 1000),
        zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
    )


def _check_vocabulary(tower: TextTower) -> None:
    rows = tower.embedding.weight.shape[0]
    if len(tower.tokenizer) > rows:
        raise ModelError("the tokenizer knows more words than its encoder", got=(len(tower.tokenizer), rows))
