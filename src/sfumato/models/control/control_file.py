"""Where a control network (ControlNet) comes from, and whether it fits a base model: from headers alone.

Opens diffusers folders, and single files with the names of the original code or of diffusers. Builds no network. Start
reading at `open_control`, then `check_control_fits`.

Source: Zhang, Rao and Agrawala 2023, "Adding Conditional Control to Text-to-Image Diffusion Models".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import ModelError
from sfumato.models.files.detect_layout import (
    HEAD_WIDTH,
    count_names,
    describe_unet,
    load_family_configs,
    packaged_name,
)
from sfumato.models.files.gate import check_folder_files, check_weights_file, find_weights
from sfumato.models.files.gate_configs import CONTROL, check_component
from sfumato.models.files.gate_json import read_config
from sfumato.models.files.library import find_model_file
from sfumato.models.files.rename_keys import name_control

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from sfumato.models.describe import CheckpointDescription
    from sfumato.models.files.detect_layout import Family, Shapes
    from sfumato.models.files.header import Header

PREFIX = "control_model."
_HINT, _NEW_HINT = "input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"
_DO = "Use a full ControlNet for SD 1.x, SD 2.x or SDXL."
# Networks that steer too, but by other means; the name that gives them away.
_OTHERS = {
    "lora_controlnet": "a Control-LoRA",
    "task_embedding": "a union of control networks",
    "adapter.body.0.in_conv.weight": "a T2I-Adapter",
    "body.0.in_conv.weight": "a T2I-Adapter",
}
_FAMILY_NAMES = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}


@dataclass(frozen=True)
class ControlSource:
    """Hold a checked control network: configuration, files, and the prefix of its names.

    `prefix` is None where the names are those of diffusers.
    """

    path: Path
    config: dict[str, Any]
    headers: tuple[Header, ...]
    prefix: str | None

    @property
    def parameters(self) -> int:
        """Count the weights."""
        tensors = ((name, entry) for header in self.headers for name, entry in header.tensors.items())
        return sum(math.prod(entry.shape) for name, entry in tensors if name.startswith(self.prefix or ""))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files of weights."""
        return tuple(header.path for header in self.headers)

    def read(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Read the weights under the names of diffusers.

        Raises: as `read_weights.read_component`.
        """
        from sfumato.models.files.read_weights import read_component, read_tensors, read_unet_shape, rename_tensors

        if self.prefix is None:
            return read_component(self.headers, CONTROL, dtype)
        prefix = self.prefix
        found = read_tensors(self.headers[0], dtype, keep=lambda name: name.startswith(prefix))
        hints = len(self.config["conditioning_embedding_out_channels"])
        pairs = name_control(read_unet_shape(self.config), hints)
        return rename_tensors({name[len(prefix) :]: tensor for name, tensor in found}, pairs)


def open_control(ref: str | Path) -> ControlSource:
    """Check a control network: a diffusers folder, a safetensors file of either naming, or its short name.

    Raises:
        UnsafeFileError: the gate refuses it.
        ModelError: it holds no control network that can be opened.
    """
    path = find_model_file("controlnet", ref)
    return _open_folder(path) if path.is_dir() else _open_file(path)


def check_control_fits(source: ControlSource, base: CheckpointDescription) -> None:
    """Check that a control network was made for networks of the shape of a base model.

    Raises:
        ModelError: it was not; says which number differs.
    """
    if base.contract.family == "mini":
        do = "Use a checkpoint of SD 1.x, SD 2.x or SDXL as `model`."
        raise ModelError("there is no control network for mini", got=source.path.name, do=do)
    unet = base.configs["unet"]
    for what, key, usual in (
        ("text width", "cross_attention_dim", None),
        ("channels", "block_out_channels", None),
        ("layers of a block", "layers_per_block", 2),
        ("size condition", "addition_embed_type", None),
    ):
        own, wanted = (_plain(config.get(key, usual)) for config in (source.config, unet))
        if own != wanted:
            got = f"{source.path.name}: {what} {own}; {base.contract.name}: {wanted}"
            do = f"Use a control network made for {_FAMILY_NAMES[base.contract.family]}."
            raise ModelError("the control network does not fit the model", got=got, do=do)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _open_folder(path: Path) -> ControlSource:
    check_folder_files(path)
    place = path / "config.json"
    if not place.is_file():
        raise ModelError("the folder holds no control network", got=str(path), do="It needs a config.json.")
    config = read_config(place)
    check_component(place, CONTROL, config)
    if config.get("_class_name") is None:
        raise ModelError("the configuration names no class", got=str(place))
    _check_kind(path, config)
    return ControlSource(path, config, find_weights(path, CONTROL), None)


def _check_kind(path: Path, config: dict[str, Any]) -> None:
    """Check that a configuration asks for no more than a picture, the words and the time.

    Raises:
        ModelError: it does.
    """
    usual = {"in_channels": 4, "conditioning_channels": 3, "global_pool_conditions": False}
    usual |= dict.fromkeys(("class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type"))
    for key, value in usual.items():
        if config.get(key, value) != value:
            raise ModelError("a control network of this kind is not opened", got=f"{path.name}: {key}", do=_DO)
    if config.get("addition_embed_type") not in (None, "text_time"):
        raise ModelError("a control network of this kind is not opened", got=config["addition_embed_type"], do=_DO)


def _open_file(path: Path) -> ControlSource:
    header = check_weights_file(path)
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    other = next((what for name, what in _OTHERS.items() if name in shapes or f"{PREFIX}{name}" in shapes), None)
    if other is not None:
        raise ModelError(f"this file is {other}, not a control network that can be opened", got=str(path), do=_DO)
    if f"{PREFIX}{_HINT}" in shapes:
        prefix = PREFIX
    elif _HINT in shapes:
        prefix = ""
    elif _NEW_HINT in shapes:
        prefix = None
    else:
        raise ModelError("the file holds no control network", got=str(path), do=_DO)
    below = {name[len(prefix or "") :]: shape for name, shape in shapes.items() if name.startswith(prefix or "")}
    try:
        config = _describe(below, is_new=prefix is None)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        what = "a tensor that every control network has is missing or misshapen"
        raise ModelError(what, got=str(error), do=_DO) from error
    check_component(path, CONTROL, config)
    _check_kind(path, config)
    return ControlSource(path, config, (header,), prefix)


def _describe(shapes: Shapes, *, is_new: bool) -> dict[str, Any]:
    """Describe a single file as a configuration of diffusers, from its names and shapes."""
    family = _find_family(shapes, is_new=is_new)
    described = _describe_new(shapes, family) if is_new else describe_unet(shapes, family)
    hint = "controlnet_cond_embedding.conv_in.weight" if is_new else _HINT
    channels = [shapes[hint][0]]
    count = count_names(shapes, "controlnet_cond_embedding.blocks." if is_new else "input_hint_block.")
    # Of the original layers every second is an activation, and the first and the last stand alone in diffusers.
    for pair in range((count if is_new else count - 2) // 2):
        name = f"controlnet_cond_embedding.blocks.{2 * pair + 1}" if is_new else f"input_hint_block.{4 * (pair + 1)}"
        channels.append(shapes[f"{name}.weight"][0])
    base = load_family_configs(packaged_name(family, "epsilon"))["unet"]
    more = {"conditioning_embedding_out_channels": channels, "conditioning_channels": shapes[hint][1]}
    return base | described | more | {"_class_name": "ControlNetModel"}


def _find_family(shapes: Shapes, *, is_new: bool) -> Family:
    if ("add_embedding.linear_1.weight" if is_new else "label_emb.0.0.weight") in shapes:
        return "sdxl"
    # Transformers of SD 1.x project with 1x1 convolutions, those of SD 2.x with matrices.
    flat = {len(shape) == 2 for name, shape in shapes.items() if name.endswith("proj_in.weight")}
    if len(flat) != 1:
        raise ValueError("no transformer, or two kinds of them")
    return "sd2" if flat.pop() else "sd1"


def _describe_new(shapes: Shapes, family: Family) -> dict[str, Any]:
    levels = range(count_names(shapes, "down_blocks."))
    channels = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels]
    depths = [count_names(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks.") for level in levels]
    attention = next(shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    described: dict[str, Any] = {
        "block_out_channels": channels,
        "layers_per_block": count_names(shapes, "down_blocks.0.resnets."),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "cross_attention_dim": attention[1],
    }
    if family != "sd1":
        described["attention_head_dim"] = [max(1, width // HEAD_WIDTH) for width in channels]
    if family == "sdxl":
        middle = count_names(shapes, "mid_block.attentions.0.transformer_blocks.")
        described["transformer_layers_per_block"] = [depth or 1 for depth in depths[:-1]] + [middle]
        described["projection_class_embeddings_input_dim"] = shapes["add_embedding.linear_1.weight"][1]
    return described
