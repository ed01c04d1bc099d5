"""Which device, number type, memory layout and attention a model runs with.

Knows the hardware and nothing of checkpoints or pictures. Start reading at `choose_policy`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from sfumato.core.errors import ModelError, RequestError

Attention = Literal["sdpa", "plain"]

# A decode may use this share of what is free now: the rest is for the caches of the allocator.
FREE_SHARE_CPU = 0.5
FREE_SHARE_CUDA = 0.8

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how a model is kept and run; values only, so it can be stored with a measurement.

    `attention` is "sdpa" (torch's fused kernel) or "plain" (matmul and softmax).
    `pair_batch` evaluates both halves of guidance in one forward pass.
    """

    device: torch.device
    unet_dtype: torch.dtype
    text_dtype: torch.dtype
    vae_dtype: torch.dtype
    memory_format: torch.memory_format = torch.contiguous_format
    attention: Attention = "sdpa"
    pair_batch: bool = True


def choose_policy(device: str = "auto", dtype: str = "auto") -> Policy:
    """Choose how to run on this machine; `auto` measures nothing that takes over a second.

    Raises:
        RequestError: an unknown device or dtype name.
        ModelError: the device is not there.
    """
    place = _choose_device(device)
    if dtype != "auto":
        return _plain_policy(place, _read_dtype(dtype))
    if place.type == "cuda":
        return _plain_policy(place, _best_cuda_dtype(place))
    if place.type == "mps":
        return _plain_policy(place, torch.float16)
    return _plain_policy(place, torch.bfloat16 if has_fast_bf16() else torch.float32)


def has_fast_bf16() -> bool:
    """Tell whether this CPU has instructions for bf16 products (avx512_bf16, AMX, or Arm's)."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def measure_free_bytes(device: torch.device) -> int:
    """Return the bytes free on a device now, before any share is taken off."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return kib * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _plain_policy(place: torch.device, dtype: torch.dtype) -> Policy:
    # fp16 overflows in the decoders of SDXL and some SD 1.x, and the 8 bits of bf16 show as bands in a sky.
    # The text encoder runs once a picture: nothing is won by rounding it on a CPU.
    text = torch.float32 if place.type == "cpu" else dtype
    layout = torch.channels_last if place.type == "cuda" or dtype != torch.float32 else torch.contiguous_format
    return Policy(place, unet_dtype=dtype, text_dtype=text, vae_dtype=torch.float32, memory_format=layout)


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(name)
    except RuntimeError as error:
        raise RequestError("unknown device", got=name, do="Use auto, cpu, cuda or cuda:N.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is visible to torch", got=name, do="Use --device cpu, or check `sfumato doctor`.")
    return place


def _read_dtype(name: str) -> torch.dtype:
    if name not in _DTYPES:
        raise RequestError("unknown number type", got=name, do=f"Use auto, {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def _best_cuda_dtype(place: torch.device) -> torch.dtype:
    # Before Ampere (8.0) bf16 is emulated and slower than fp32.
    major, _ = torch.cuda.get_device_capability(place)
    return torch.bfloat16 if major >= 8 else torch.float16
