"""Read checked weight files into state dicts with the names that the networks use.

Knows names, number types and files; builds no network. Start reading at `read_component`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.files import detect_layout
from sfumato.models.files.rename_keys import UnetShape, find_name, name_open_clip, name_unet, name_vae

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from torch import Tensor

    from sfumato.models.files.header import Header
    from sfumato.models.files.rename_keys import Pairs

READABLE = frozenset({"F32", "F16", "BF16", "F64", "F8_E4M3", "F8_E5M2"})
# Buffers and heads that old files carry and no network here has.
SKIPPED = re.compile(r"(.*\.)?(position_ids|logit_scale|attn_mask)$|loss\..*|model_ema\..*")
# Names of the autoencoder's attention before diffusers 0.18.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(r"(.*mid_block\.attentions\.0)\.(query|key|value|proj_attn)\.(weight|bias)")


def read_component(headers: Iterable[Header], component: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Read one component of a diffusers folder.

    Raises:
        ModelError: a number type that is not read.
        UnsafeFileError: a weight is NaN or infinite, or the file changed since it was checked.
    """
    state: dict[str, Tensor] = {}
    for header in headers:
        for name, tensor in read_tensors(header, dtype):
            state[_modern_name(name)] = tensor
    if component == "vae":
        _flatten_attention(state)
    if component.startswith("text"):
        return _below_text_model(state)
    return state


def read_part(
    header: Header, component: str, prefix: str, config: dict[str, Any], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Read one part of a single file in the original layout, under diffusers' names.

    Raises: as `read_component`; also ModelError for names that do not belong there.
    """
    old = {
        name[len(prefix) :]: tensor
        for name, tensor in read_tensors(header, dtype, keep=lambda name: name.startswith(prefix))
    }
    if component == "unet":
        return rename_tensors(old, name_unet(read_unet_shape(config)))
    if component == "vae":
        return read_vae_names(old, config)
    if prefix in (detect_layout.SD2_TEXT, detect_layout.SDXL_TEXT_2):
        return _open_clip(old, config)
    return _below_text_model(old)


def read_vae_names(old: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Give a KL autoencoder's tensors diffusers' names, whichever they have."""
    if any(name.startswith("encoder.down.") for name in old):
        old = rename_tensors(old, name_vae(len(config["block_out_channels"]), config["layers_per_block"]))
    state = {_modern_name(name): tensor for name, tensor in old.items()}
    _flatten_attention(state)
    return state


def read_tensors(
    header: Header, dtype: torch.dtype, *, keep: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checked file in `dtype`, in memory of their own, finite.

    One tensor at a time: the peak above the result is one tensor.
    """
    header.check_unchanged()
    with safe_open(header.path, framework="pt", device="cpu") as file:
        for name, entry in header.tensors.items():
            if SKIPPED.fullmatch(name) or not keep(name):
                continue
            if entry.dtype not in READABLE:
                raise ModelError(
                    f"weights of type {entry.dtype} are not read", got=name, do="Use fp32, fp16, bf16 or fp8."
                )
            # A copy even when nothing is converted: a mapped file that is overwritten would crash us.
            tensor = file.get_tensor(name).to(dtype, copy=True)
            _check_finite(header, name, tensor)
            yield name, tensor


def _check_finite(header: Header, name: str, tensor: Tensor) -> None:
    if tensor.numel() == 0:
        return
    low, high = tensor.aminmax()
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise UnsafeFileError(
            f"{header.path} is refused: a weight is not a number or infinite as {tensor.dtype}",
            got=name,
            do="Get the file again; if it is sound in fp32, load it with `dtype` fp32 or bf16.",
        )


def read_unet_shape(config: dict[str, Any]) -> UnetShape:
    """Return the shape that the names of a UNet, or of a control network, follow."""
    depths = tuple(int(kind.startswith("CrossAttn")) for kind in config["down_block_types"])
    return UnetShape(config["layers_per_block"], depths, config.get("addition_embed_type") == "text_time")


def rename_tensors(old: dict[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Give tensors other names.

    Raises:
        ModelError: a name belongs to no layer of the pairs.
    """
    named = {name: find_name(name, pairs) for name in old}
    unknown = [name for name, new in named.items() if new is None]
    if unknown:
        raise ModelError(
            "tensors with names that belong to no known layer", got=unknown[:5], do="Is it a text-to-image checkpoint?"
        )
    return {new: old[name] for name, new in named.items() if new is not None}


def _open_clip(old: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    layers = config["num_hidden_layers"]
    pairs = name_open_clip(layers)
    state: dict[str, Tensor] = {}
    for name, tensor in old.items():
        block = re.match(r"transformer\.resblocks\.(\d+)\.(?:attn\.in_proj_(weight|bias))?", name)
        if block and int(block[1]) >= layers:
            continue  # SD 2.x files hold the last layer too, which nothing reads.
        if block and block[2]:
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                state[f"encoder.layers.{block[1]}.self_attn.{letter}_proj.{block[2]}"] = third.contiguous()
        elif name == "text_projection":
            state["text_projection.weight"] = tensor.T.contiguous()
        else:
            state |= rename_tensors({name: tensor}, pairs)
    return state


def _below_text_model(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # Files before and after transformers 5 differ in this prefix; ours is the short form.
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def _modern_name(name: str) -> str:
    match = _OLD_NAME.fullmatch(name)
    return f"{match[1]}.{_OLD_ATTENTION[match[2]]}.{match[3]}" if match else name


def _flatten_attention(state: dict[str, Tensor]) -> None:
    # The original stores these projections as 1x1 convolutions.
    for name, tensor in state.items():
        if ".attentions." in name and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
            state[name] = tensor.flatten(1)
