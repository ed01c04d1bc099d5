"""Tell what a checkpoint is from names and shapes alone, and describe its networks.

Knows the original single-file layout of SD 1.x, 2.x and SDXL; reads no weights. The numbers of
each network (channels, layers) are taken from the shapes, so cut-down copies work too; the rest
comes from `sfumato/data/configs`. Start reading at `find_layout`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from sfumato.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfumato.models.files.header import Header

    Shapes = Mapping[str, tuple[int, ...]]

UNET = "model.diffusion_model."
VAE = "first_stage_model."
SD1_TEXT = "cond_stage_model.transformer."
SD2_TEXT = "cond_stage_model.model."
SDXL_TEXT = "conditioner.embedders.0.transformer."
SDXL_TEXT_2 = "conditioner.embedders.1.model."

# Width of one attention head, the same in all CLIP text towers and in the UNets of SD 2.x and SDXL.
HEAD_WIDTH = 64

Family = Literal["sd1", "sd2", "sdxl"]
_NEW_VAE_NAMES = ("down_blocks", "resnets")
_SUPPORTED = "Sfumato opens SD 1.x, SD 2.x and SDXL text-to-image checkpoints."


@dataclass(frozen=True)
class CheckpointLayout:
    """Say what a single file is: family, where each part lies, and what its notes claim.

    `parts` maps a component to the prefix of its names, only for parts that are in the file.
    `prediction` is None where names and notes leave it open.
    """

    family: Family
    parts: dict[str, str]
    prediction: Literal["epsilon", "v_prediction"] | None
    zero_terminal_snr: bool = False


def find_layout(header: Header) -> CheckpointLayout:
    """Recognise a single-file checkpoint.

    Raises:
        ModelError: it is no checkpoint of a family that is supported; says what it looks like.
    """
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    _check_supported(header, shapes)
    family = _find_family(header, shapes)
    texts = {
        "sd1": {"text_encoder": SD1_TEXT},
        "sd2": {"text_encoder": SD2_TEXT},
        "sdxl": {"text_encoder": SDXL_TEXT, "text_encoder_2": SDXL_TEXT_2},
    }[family]
    wanted = {"unet": UNET, "vae": VAE, **texts}
    parts = {part: prefix for part, prefix in wanted.items() if any(name.startswith(prefix) for name in shapes)}
    return CheckpointLayout(family, parts, _find_prediction(header), "ztsnr" in shapes)


def _find_family(header: Header, shapes: Shapes) -> Family:
    widths = {
        name: shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight") and len(shape) == 2
    }
    if not any(name.startswith(UNET) for name in widths):
        raise ModelError("the file holds no UNet", got=_sketch(shapes), do=_SUPPORTED)
    if f"{UNET}label_emb.0.0.weight" in shapes:
        return "sdxl"
    # Transformers of SD 1.x project with 1x1 convolutions, those of SD 2.x with matrices.
    projections = [shape for name, shape in shapes.items() if name.startswith(UNET) and name.endswith("proj_in.weight")]
    flat = {len(shape) == 2 for shape in projections}
    if len(flat) != 1:
        raise ModelError("the UNet is of no known family", got=str(header.path), do=_SUPPORTED)
    return "sd2" if flat.pop() else "sd1"


def _check_supported(header: Header, shapes: Shapes) -> None:
    for prefix, what in (
        ("double_blocks.", "Flux"),
        ("model.diffusion_model.double_blocks.", "Flux"),
        ("model.diffusion_model.joint_blocks.", "Stable Diffusion 3"),
        ("control_model.", "a ControlNet"),
        ("conditioner.embedders.0.model.", "the SDXL refiner"),
        ("lora_unet_", "a LoRA"),
        ("lora_te", "a LoRA"),
        ("edm_mean", "a model with EDM latents"),
    ):
        if any(name.startswith(prefix) for name in shapes):
            do = "Attach it with `loras`." if "LoRA" in what else _SUPPORTED
            raise ModelError(f"this file is {what}, not a checkpoint that can be opened", got=str(header.path), do=do)
    first = shapes.get(f"{UNET}input_blocks.0.0.weight")
    if first is not None and (len(first) != 4 or first[1] != 4):
        what = {9: "an inpainting UNet", 8: "an editing UNet", 5: "a depth UNet"}.get(first[1], "no text-to-image UNet")
        raise ModelError(f"this file is {what} ({first[1]} input channels, not 4)", got=str(header.path), do=_SUPPORTED)


def _find_prediction(header: Header) -> Literal["epsilon", "v_prediction"] | None:
    notes = {key: header.metadata.get(f"modelspec.{key}", "").lower() for key in ("prediction_type", "architecture")}
    if "v_pred" in header.tensors or notes["prediction_type"] in ("v", "v_prediction"):
        return "v_prediction"
    if notes["prediction_type"] in ("eps", "epsilon"):
        return "epsilon"
    if "v2-768-v" in notes["architecture"]:
        return "v_prediction"
    if "v2-512" in notes["architecture"]:
        return "epsilon"
    return None


def load_configs(layout: CheckpointLayout, shapes: Shapes) -> dict[str, dict[str, Any]]:
    """Describe the networks of a single file as diffusers and transformers configurations.

    Raises:
        ModelError: the layers do not follow the pattern of the family.
    """
    try:
        return _load_configs(layout, shapes)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ModelError(
            "a tensor that every checkpoint has is missing or misshapen", got=str(error), do=_SUPPORTED
        ) from error


def _load_configs(layout: CheckpointLayout, shapes: Shapes) -> dict[str, dict[str, Any]]:
    base = load_family_configs(packaged_name(layout.family, layout.prediction))
    configs = {"unet": base["unet"] | describe_unet(_below(shapes, UNET), layout.family)}
    if "vae" in layout.parts:
        configs["vae"] = base["vae"] | describe_vae(_below(shapes, VAE))
    for part in ("text_encoder", "text_encoder_2"):
        if part in layout.parts:
            below = _below(shapes, layout.parts[part])
            open_clip = layout.parts[part] in (SD2_TEXT, SDXL_TEXT_2)
            described = _describe_open_clip(below) if open_clip else _describe_clip(below)
            # SD 2.x reads the layer before the last, so the last is not built.
            described["num_hidden_layers"] -= 1 if layout.family == "sd2" else 0
            configs[part] = base[part] | described
    scheduler = base["scheduler"] | {"prediction_type": layout.prediction or "epsilon"}
    configs["scheduler"] = scheduler | ({"rescale_betas_zero_snr": True} if layout.zero_terminal_snr else {})
    return configs


def packaged_name(family: Family, prediction: str | None) -> str:
    """Name the folder of packaged configurations for a family."""
    if family == "sd2":
        return "sd21" if prediction == "v_prediction" else "sd21-base"
    return {"sd1": "sd15", "sdxl": "sdxl"}[family]


def load_family_configs(name: str) -> dict[str, dict[str, Any]]:
    """Load the packaged configurations of `sd15`, `sd21`, `sd21-base` or `sdxl`, by component."""
    root = resources.files("sfumato") / "data" / "configs" / name
    configs = {"index": json.loads((root / "model_index.json").read_text())}
    for part in root.iterdir():
        if part.is_dir():
            file = "scheduler_config.json" if part.name == "scheduler" else "config.json"
            configs[part.name] = json.loads((part / file).read_text())
    return configs


def describe_unet(shapes: Shapes, family: Family) -> dict[str, Any]:
    """Describe a UNet of the original names, without a prefix; of a control network, which ends in the middle, too.

    Raises:
        ModelError: its blocks do not follow the pattern of their family.
    """
    channels: list[int] = []
    depths: list[int] = []
    resnets = [0]
    for block in range(1, 64):
        out = shapes.get(f"input_blocks.{block}.0.out_layers.3.weight")
        if out is not None:
            resnets[-1] += 1
            if resnets[-1] == 1:
                channels.append(out[0])
                depths.append(count_names(shapes, f"input_blocks.{block}.1.transformer_blocks."))
        elif f"input_blocks.{block}.0.op.weight" in shapes:
            resnets.append(0)
        else:
            break
    if not channels or len(set(resnets)) != 1:
        raise ModelError("the UNet's blocks do not follow the pattern of their family", got=resnets, do=_SUPPORTED)
    attention = [name for name in shapes if name.endswith("attn2.to_k.weight")]
    described: dict[str, Any] = {
        "block_out_channels": channels,
        "layers_per_block": resnets[0],
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "cross_attention_dim": shapes[attention[0]][1],
    }
    if family != "sd1":
        described["attention_head_dim"] = [max(1, width // HEAD_WIDTH) for width in channels]
    if family == "sdxl":
        middle = count_names(shapes, "middle_block.1.transformer_blocks.")
        described["transformer_layers_per_block"] = [depth or 1 for depth in depths[:-1]] + [middle]
        described["projection_class_embeddings_input_dim"] = shapes["label_emb.0.0.weight"][1]
    return described


def describe_vae(shapes: Shapes) -> dict[str, Any]:
    """Describe a KL autoencoder, original or diffusers' names, without a prefix.

    Raises:
        ModelError: it is another kind of network.
    """
    block, layer = ("down", "block") if any(name.startswith("encoder.down.") for name in shapes) else _NEW_VAE_NAMES
    levels = count_names(shapes, f"encoder.{block}.")
    widths = [shapes.get(f"encoder.{block}.{level}.{layer}.0.conv1.weight", (0,))[0] for level in range(levels)]
    if not levels or 0 in widths:
        raise ModelError("the autoencoder is of no known kind", got=_sketch(shapes), do="Use a KL autoencoder of SD.")
    return {
        "block_out_channels": widths,
        "layers_per_block": count_names(shapes, f"encoder.{block}.0.{layer}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _describe_clip(shapes: Shapes) -> dict[str, Any]:
    below = _below(shapes, "text_model.") or dict(shapes)
    vocabulary, width = below["embeddings.token_embedding.weight"]
    return {
        "hidden_size": width,
        "intermediate_size": below["encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count_names(below, "encoder.layers."),
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "projection_dim": width,
        "vocab_size": vocabulary,
    }


def _describe_open_clip(shapes: Shapes) -> dict[str, Any]:
    vocabulary, width = shapes["token_embedding.weight"]
    return {
        "hidden_size": width,
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": count_names(shapes, "transformer.resblocks."),
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "projection_dim": shapes.get("text_projection", (0, width))[1],
        "vocab_size": vocabulary,
    }


def _below(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def count_names(shapes: Shapes, prefix: str) -> int:
    """Count the different numbers that follow a prefix."""
    return len({name[len(prefix) :].partition(".")[0] for name in shapes if name.startswith(prefix)})


def _sketch(shapes: Shapes) -> str:
    return ", ".join(sorted({name.partition(".")[0] for name in shapes})[:6])
