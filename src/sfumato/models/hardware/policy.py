"""Which device, number type, memory layout and attention a model runs with.

Decides from what is detected and measured, never from a chip's name; knows nothing of checkpoints
or pictures. Start reading at `choose_policy`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.settings import load_settings
from sfumato.models.hardware.detect import detect_hardware
from sfumato.models.hardware.throughput import Rates, find_rates
from sfumato.models.hardware.torch_settings import apply_runtime

Attention = Literal["sdpa", "plain", "blocked"]

# A decode may use this share of what is free now: the rest is for the caches of the allocator.
FREE_SHARE_CPU = 0.5
FREE_SHARE_CUDA = 0.8

# Half the bytes and three digits less: bf16 has to earn that by more than noise.
BF16_GAIN = 1.2
# In a UNet packing wins more than in one square product (no reordering of large weights), so a draw counts as won.
PACKED_LOSS = 0.9

# The denoiser and its packed copy leave the other half to the text encoder, the decoder and the picture.
PACKED_SHARE = 0.5

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how a model is kept and run; values only, so it can be stored with a measurement.

    `attention` is "sdpa" (torch's fused kernel), "plain" (matmul and softmax) or "blocked" (ours, for
    CPUs). `packed` keeps a second copy of the weights in the order the matmul reads them.
    `pair_batch` evaluates both halves of guidance in one forward pass.
    """

    device: torch.device
    unet_dtype: torch.dtype
    text_dtype: torch.dtype
    vae_dtype: torch.dtype
    memory_format: torch.memory_format = torch.contiguous_format
    attention: Attention = "sdpa"
    packed: bool = False
    pair_batch: bool = True

    def to_json(self) -> dict[str, str | bool]:
        """Return the policy as JSON values."""
        names = ("device", "unet_dtype", "text_dtype", "vae_dtype", "memory_format")
        words: dict[str, str | bool] = {name: str(getattr(self, name)).removeprefix("torch.") for name in names}
        return words | {"attention": self.attention, "packed": self.packed, "pair_batch": self.pair_batch}


def choose_policy(device: str = "auto", dtype: str = "auto") -> Policy:
    """Choose how to run on this machine, and apply the settings of the process that go with it.

    The CPU is measured once per machine, for less than a second; later processes read the answer.

    Raises:
        RequestError: an unknown device or dtype name.
        ModelError: the device is not there.
    """
    place = _choose_device(device)
    apply_runtime(load_settings().threads)
    if place.type == "cpu":
        return choose_cpu_policy(find_rates(), dtype)
    if dtype != "auto":
        return _plain_policy(place, _read_dtype(dtype))
    if place.type == "cuda":
        return _plain_policy(place, _best_cuda_dtype(place))
    return _plain_policy(place, torch.float16)


def choose_cpu_policy(rates: Rates, dtype: str = "auto") -> Policy:
    """Choose how a CPU with these rates runs a model.

    Raises:
        RequestError: an unknown dtype name.
    """
    short = rates.bf16_tflops > BF16_GAIN * rates.fp32_tflops
    chosen = _read_dtype(dtype) if dtype != "auto" else torch.bfloat16 if short else torch.float32
    blocked = chosen == torch.bfloat16 and 0 < rates.blocked_attention_ms < rates.fused_attention_ms
    rate = rates.bf16_tflops if chosen == torch.bfloat16 else rates.fp32_tflops
    return replace(
        _plain_policy(torch.device("cpu"), chosen),
        attention="blocked" if blocked else "sdpa",
        packed=chosen != torch.float16 and rates.packed_tflops > PACKED_LOSS * rate,
    )


def fit_policy(policy: Policy, weights_bytes: int, memory_bytes: int | None = None) -> Policy:
    """Return the policy for a denoiser of this size: packed only where two copies take half the memory at most.

    Looks at the memory of the machine and not at what is free, so that a request gives the same bytes
    whatever else is running.
    """
    have = detect_hardware().memory_bytes if memory_bytes is None else memory_bytes
    return replace(policy, packed=policy.packed and 2 * weights_bytes <= have * PACKED_SHARE)


def count_packed_bytes(policy: Policy, parameters: int) -> int:
    """Return what the packed copy of a denoiser with so many parameters takes under a policy."""
    weights_bytes = parameters * policy.unet_dtype.itemsize
    return weights_bytes if fit_policy(policy, weights_bytes).packed else 0


def measure_free_bytes(device: torch.device) -> int:
    """Return the bytes free on a device now, before any share is taken off."""
    if device.type == "cuda":
        # What torch's allocator keeps for the next tensor is free for it.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
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
        raise ModelError(
            "no CUDA device is visible to torch", got=name, do="Use `device` cpu, or check `sfumato doctor`."
        )
    return place


def _read_dtype(name: str) -> torch.dtype:
    if name not in _DTYPES:
        raise RequestError("unknown number type", got=name, do=f"Use auto, {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def _best_cuda_dtype(place: torch.device) -> torch.dtype:
    # Before Ampere (8.0) bf16 is emulated and slower than fp32.
    major, _ = torch.cuda.get_device_capability(place)
    return torch.bfloat16 if major >= 8 else torch.float16
