"""Tell what a checkpoint is without reading its weights, so that planning costs nothing.

Knows headers and configurations; builds no network. What only the network itself can tell (which of
epsilon and v an SD 2.x file predicts) stays open here; see `sfumato.models.load`.
Start reading at `describe_checkpoint`; `load_contract` is the short way for a plan.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.models.contract import ModelContract, Prediction
from sfumato.models.files.detect_layout import (
    CheckpointLayout,
    find_layout,
    load_configs,
    load_family_configs,
    packaged_name,
)
from sfumato.models.files.gate import check_checkpoint
from sfumato.models.files.gate_configs import check_component
from sfumato.models.files.gate_json import LARGEST_CONFIG_BYTES
from sfumato.models.files.header import open_plain_file
from sfumato.models.files.library import find_model_file
from sfumato.models.files.vae_file import VaeSource, open_vae
from sfumato.models.files.vocabularies import count_folder_words
from sfumato.nn.schedules import NoiseSchedule

if TYPE_CHECKING:
    from sfumato.models.contract import Family
    from sfumato.models.files.gate import CheckedCheckpoint
    from sfumato.models.files.header import Header

MINI = "mini"
PREDICTIONS = get_args(Prediction)
PredictionSource = Literal["request", "checkpoint", "yaml", "family"]
TEXT_PARTS = ("text_encoder", "text_encoder_2")
# Every SD 1.x, 2.x and SDXL has the vocabulary of CLIP; a smaller one is ours.
CLIP_WORDS = 49408
# Found by eye and by `sfumato evaluate mini`: a small network overshoots at the guidance large ones need.
MINI_GUIDANCE, MINI_SLICE_STRENGTH = 4.0, 0.2
USUAL_GUIDANCE, USUAL_SLICE_STRENGTH = 7.0, 0.35
_FOLDER_NEEDS = frozenset({"unet", "vae", "text_encoder", "tokenizer", "scheduler"})


@dataclass(frozen=True)
class Description:
    """Hold all that headers and configurations say of a checked checkpoint.

    `prediction` is None where they leave it open, and `prediction_source` tells who says it: the request, the
    checkpoint, the `.yaml` beside it, or nobody, so that the usual one of its family is taken. `layout` is None
    for a diffusers folder.
    """

    checked: CheckedCheckpoint
    configs: dict[str, dict[str, Any]]
    vae: VaeSource
    contract: ModelContract
    prediction: Prediction | None
    prediction_source: PredictionSource = "checkpoint"
    layout: CheckpointLayout | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Name the text encoders in order."""
        return tuple(part for part in TEXT_PARTS if part in self.configs)


def load_contract(ref: str | Path, *, vae: str | Path | None = None, prediction: str | None = None) -> ModelContract:
    """Return the contract of `mini`, a diffusers folder or a single file, from its headers alone.

    `prediction` overrides what the checkpoint says of itself.

    Raises:
        UnsafeFileError: the gate refuses a file.
        ModelError: it is no checkpoint that can be opened.
    """
    return describe_checkpoint(ref, vae=vae, prediction=prediction).contract


def describe_checkpoint(
    ref: str | Path, *, vae: str | Path | None = None, prediction: str | None = None
) -> Description:
    """Check a checkpoint, and the autoencoder that replaces its own, and say what they are.

    `prediction` overrides what the checkpoint says of itself.

    Raises: as `load_contract`.
    """
    checked = check_checkpoint(find_checkpoint(ref))
    swap = None if vae is None else open_vae(vae)
    return describe_checked(checked, swap, name_prediction(prediction))


def name_prediction(said: str | None) -> Prediction | None:
    """Return the name that configurations use for a prediction type.

    Raises:
        RequestError: it is not one.
    """
    if said is None:
        return None
    if said not in (*PREDICTIONS, "v"):
        raise RequestError("a checkpoint predicts epsilon or v", got=said)
    return cast("Prediction", "v_prediction" if said == "v" else said)


def describe_checked(checked: CheckedCheckpoint, swap: VaeSource | None, prediction: Prediction | None) -> Description:
    """Say what a checked checkpoint is.

    Raises:
        ModelError: it is no checkpoint that can be opened.
    """
    if checked.layout == "folder":
        return _describe_folder(checked, swap, prediction)
    return _describe_file(checked, swap, prediction)


def find_checkpoint(ref: str | Path) -> Path:
    """Return the path a reference means: the packaged folder for `mini`, else a path or a short name.

    Raises:
        ModelError: there is no such checkpoint, or `mini` is not in this installation.
        RequestError: several files of the folder of models have the name.
    """
    if str(ref) != MINI:
        return find_model_file("checkpoint", ref)
    path = Path(str(resources.files("sfumato"))) / "data" / MINI
    if not path.is_dir():
        raise ModelError("the embedded model is missing from this installation", got=str(path), do="Reinstall sfumato.")
    return path


def _describe_folder(checked: CheckedCheckpoint, swap: VaeSource | None, prediction: Prediction | None) -> Description:
    configs = checked.configs
    missing = sorted(_FOLDER_NEEDS - set(checked.components))
    if missing:
        raise ModelError("the folder lacks parts that every picture needs", got=missing)
    own = VaeSource({"_class_name": configs["index"]["vae"][1]} | configs["vae"], checked.headers["vae"], prefix=None)
    family = _find_family(configs, count_folder_words(checked.path / "tokenizer"))
    _check_texts(configs, family)
    said = prediction or configs["scheduler"].get("prediction_type", "epsilon")
    contract = _write_contract(checked, configs, family, swap or own)
    headers = tuple(header for part in checked.headers.values() for header in part)
    contract = replace(
        contract, denoiser_parameters=_count_parameters(checked.headers["unet"]), parameters=_count_parameters(headers)
    )
    source = "request" if prediction else "checkpoint"
    return Description(checked, configs, swap or own, replace(contract, prediction=said), said, source)


def _describe_file(checked: CheckedCheckpoint, swap: VaeSource | None, prediction: Prediction | None) -> Description:
    (header,) = checked.headers["file"]
    layout = find_layout(header)
    said, source = _find_prediction(checked.path, layout, prediction)
    layout = replace(layout, prediction=said)
    configs = load_configs(layout, {name: entry.shape for name, entry in header.tensors.items()})
    for part, config in configs.items():
        check_component(checked.path, part, config)
    packaged = load_family_configs(packaged_name(layout.family, None))
    _check_texts(configs, layout.family)
    if swap is None and "vae" not in layout.parts:
        raise ModelError("the file holds no autoencoder", got=str(checked.path), do="Give one with --vae FILE.")
    own = swap or VaeSource(configs["vae"], (header,), prefix=layout.parts["vae"])
    contract = _write_contract(checked, configs | {"index": packaged["index"]}, layout.family, own)
    denoiser = _count_parameters((header,), layout.parts["unet"])
    contract = replace(contract, denoiser_parameters=denoiser, parameters=_count_parameters((header,)))
    return Description(checked, configs, own, contract, layout.prediction, source, layout)


def _find_prediction(
    path: Path, layout: CheckpointLayout, asked: Prediction | None
) -> tuple[Prediction | None, PredictionSource]:
    """Ask the request, the file, the `.yaml` beside it and the family, in this order."""
    if asked:
        return asked, "request"
    if layout.prediction:
        return layout.prediction, "checkpoint"
    beside = read_yaml_prediction(path)
    if beside:
        return beside, "yaml"
    # Files of SD 2.x exist in both kinds with the same names; the network itself is asked when it is loaded.
    return (None if layout.family == "sd2" else "epsilon"), "family"


def read_yaml_prediction(checkpoint: Path) -> Literal["epsilon", "v_prediction"] | None:
    """Read `parameterization` from the configuration that training programs put beside a single file.

    Only that line is looked for; the file is not parsed as YAML.

    Raises:
        UnsafeFileError: it is a link or no regular file.
    """
    path = next((path for suffix in (".yaml", ".yml") if (path := checkpoint.with_suffix(suffix)).is_file()), None)
    if path is None:
        return None
    with os.fdopen(open_plain_file(path), "rb") as file:
        text = file.read(LARGEST_CONFIG_BYTES).decode("utf-8", errors="replace")
    found = re.search(r"^[ \t]*parameterization[ \t]*:[ \t]*[\"']?(\w+)", text, re.MULTILINE)
    return {"v": "v_prediction", "eps": "epsilon", "epsilon": "epsilon"}.get(found[1]) if found else None  # pyright: ignore[reportReturnType]


def _write_contract(
    checked: CheckedCheckpoint, configs: dict[str, dict[str, Any]], family: Family, vae: VaeSource
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
        autoencoder_channels=_read_channels(vae.config),
        zero_empty=bool(configs["index"].get("force_zeros_for_empty_prompt", False)),
        guidance=MINI_GUIDANCE if family == "mini" else USUAL_GUIDANCE,
        slice_strength=MINI_SLICE_STRENGTH if family == "mini" else USUAL_SLICE_STRENGTH,
        # The world's crops are captioned so.
        detail_words="a detail of" if family == "mini" else "",
    )


def _read_channels(config: dict[str, Any]) -> tuple[int, ...]:
    """Return the widths of an autoencoder; those of SD's where the configuration does not say."""
    found = config.get("block_out_channels") or config.get("decoder_block_out_channels")
    return tuple(int(channels) for channels in found) if found else ModelContract.autoencoder_channels


def _count_parameters(headers: tuple[Header, ...], prefix: str = "") -> int:
    return sum(
        math.prod(entry.shape)
        for header in headers
        for name, entry in header.tensors.items()
        if name.startswith(prefix)
    )


def _find_family(configs: dict[str, dict[str, Any]], words: int) -> Family:
    unet = configs["unet"]
    if unet.get("addition_embed_type") == "text_time":
        return "sdxl"
    if words < CLIP_WORDS:
        return "mini"
    return "sd2" if unet.get("use_linear_projection") else "sd1"


def _check_texts(configs: dict[str, dict[str, Any]], family: Family) -> None:
    wanted = TEXT_PARTS if family == "sdxl" else TEXT_PARTS[:1]
    missing = [part for part in wanted if part not in configs]
    if missing:
        raise ModelError(
            "the checkpoint lacks a text encoder", got=missing, do="Use a full checkpoint, not a bare UNet or refiner."
        )


def _check_unet(unet: dict[str, Any]) -> None:
    if unet.get("in_channels", 4) != 4 or unet.get("out_channels", 4) != 4:
        raise ModelError("the UNet is no text-to-image UNet of four channels", got=unet.get("in_channels"))
    if unet.get("addition_embed_type") not in (None, "text_time") or unet.get("class_embed_type") is not None:
        raise ModelError("the UNet takes a condition that is not known here", got=unet.get("addition_embed_type"))
    if not isinstance(unet.get("cross_attention_dim"), int):
        raise ModelError("the UNet does not say how wide its text is", got=unet.get("cross_attention_dim"))


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
