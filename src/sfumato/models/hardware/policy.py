"""Which device, number type, memory layout and attention a model runs with.

Decides from what is detected and measured, never from a chip's name; knows nothing of checkpoints
or pictures. Imports torch only where a GPU may be, or nothing was measured yet. Start reading at `choose_policy`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.memory import read_memory
from sfumato.core.request_parts.arithmetic import ATTENTIONS, NUMBER_TYPES, Arithmetic
from sfumato.core.settings import load_settings
from sfumato.models.hardware.detect import detect_hardware, may_have_gpu
from sfumato.models.hardware.rates import Rates, read_rates, write_rates

if TYPE_CHECKING:
    import torch

NumberType = Literal["fp32", "fp16", "bf16"]
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

# What torch calls a number type, and its bytes.
_TORCH_NAMES: dict[str, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_NUMBER_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how a model is kept and run; names only, so it can be stored with a measurement and made without torch.

    `device_name` is what torch calls it ("cuda:1"), the next three are number types of the networks. `attention` is
    "sdpa" (torch's fused kernel), "plain" (matmul and softmax) or "blocked" (ours, for CPUs). `packed` keeps a second
    copy of the weights in the order the matmul reads them. `pair_batch` evaluates both halves of guidance in one
    forward pass.
    """

    device_name: str
    unet: NumberType
    text: NumberType
    vae: NumberType
    channels_last: bool = False
    attention: Attention = "sdpa"
    packed: bool = False
    pair_batch: bool = True

    @property
    def device_kind(self) -> str:
        """Return cpu, cuda or mps."""
        return self.device_name.partition(":")[0]

    @property
    def unet_bytes(self) -> int:
        """Return the bytes of one number of the denoiser."""
        return _NUMBER_BYTES[self.unet]

    @property
    def vae_bytes(self) -> int:
        """Return the bytes of one number of the autoencoder."""
        return _NUMBER_BYTES[self.vae]

    @property
    def arithmetic(self) -> Arithmetic:
        """Return what of it changes the last bits of a picture."""
        return Arithmetic(number_type=self.unet, attention=self.attention, packed=self.packed)

    @property
    def device(self) -> torch.device:
        """Return the device as torch knows it."""
        import torch

        return torch.device(self.device_name)

    @property
    def unet_dtype(self) -> torch.dtype:
        """Return the number type of the denoiser."""
        return _to_dtype(self.unet)

    @property
    def text_dtype(self) -> torch.dtype:
        """Return the number type of the text encoder."""
        return _to_dtype(self.text)

    @property
    def vae_dtype(self) -> torch.dtype:
        """Return the number type of the autoencoder."""
        return _to_dtype(self.vae)

    @property
    def memory_format(self) -> torch.memory_format:
        """Return the order in which the denoiser's tensors lie."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    def to_json(self) -> dict[str, str | bool]:
        """Return the policy as JSON values, with the words of torch."""
        dtypes = {f"{part}_dtype": _TORCH_NAMES[getattr(self, part)] for part in ("unet", "text", "vae")}
        layout = "channels_last" if self.channels_last else "contiguous_format"
        words: dict[str, str | bool] = {"device": self.device_name, **dtypes, "memory_format": layout}
        return words | {"attention": self.attention, "packed": self.packed, "pair_batch": self.pair_batch}


def choose_policy(device: str | None = None, dtype: str | None = None, arithmetic: Arithmetic | None = None) -> Policy:
    """Choose how to run on this machine; None is what the settings say, the `arithmetic` of a stored request is obeyed.

    The CPU is measured once per machine, for less than a second; later processes read the answer.

    Raises:
        RequestError: an unknown device or dtype name.
        ModelError: the device is not there.
    """
    settings = load_settings()
    place, dtype = _choose_device(device or settings.device), dtype or settings.dtype
    kind = place.partition(":")[0]
    if arithmetic is not None:
        policy = _plain_policy(place, _read_number_type(arithmetic.number_type))
        if kind != "cpu":
            return policy
        return replace(policy, attention=_read_attention(arithmetic.attention), packed=arithmetic.packed)
    if kind == "cpu":
        return choose_cpu_policy(find_rates(), dtype)
    if dtype != "auto":
        return _plain_policy(place, _read_number_type(dtype))
    return _plain_policy(place, _best_cuda_type(place) if kind == "cuda" else "fp16")


@lru_cache(maxsize=4)
def find_rates(folder: Path | None = None) -> Rates:
    """Return the rates of this machine: remembered, or measured now and remembered.

    The memory is a file in `folder` (default: the user's cache folder) for each combination of instruction sets,
    settings of threads and torch.
    """
    known = read_rates(folder)
    if known is not None:
        return known
    before = None if "torch" in sys.modules else _measure_held()
    from sfumato.models.hardware.throughput import measure_rates
    from sfumato.models.hardware.torch_settings import apply_runtime

    apply_runtime(load_settings().threads)
    grown = 0 if before is None else _measure_held() - before
    rates = replace(measure_rates(), import_bytes=grown)
    write_rates(rates, folder)
    return rates


def count_threads() -> int:
    """Return how many threads torch works with: as it says where it is imported, else as it said when it was measured."""
    if "torch" not in sys.modules:
        return find_rates().threads
    import torch

    from sfumato.models.hardware.torch_settings import apply_runtime

    apply_runtime(load_settings().threads)
    return torch.get_num_threads()


def choose_cpu_policy(rates: Rates, dtype: str = "auto") -> Policy:
    """Choose how a CPU with these rates runs a model.

    Raises:
        RequestError: an unknown dtype name.
    """
    short = rates.bf16_tflops > BF16_GAIN * rates.fp32_tflops
    chosen = _read_number_type(dtype) if dtype != "auto" else "bf16" if short else "fp32"
    blocked = chosen == "bf16" and 0 < rates.blocked_attention_ms < rates.fused_attention_ms
    rate = rates.bf16_tflops if chosen == "bf16" else rates.fp32_tflops
    return replace(
        _plain_policy("cpu", chosen),
        attention="blocked" if blocked else "sdpa",
        packed=chosen != "fp16" and rates.packed_tflops > PACKED_LOSS * rate,
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
    weights_bytes = parameters * policy.unet_bytes
    return weights_bytes if fit_policy(policy, weights_bytes).packed else 0


def measure_free_bytes(device: torch.device | str) -> int:
    """Return the bytes free on a device now, before any share is taken off."""
    if str(device).startswith("cuda"):
        import torch

        # What torch's allocator keeps for the next tensor is free for it.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return kib * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _measure_held() -> int:
    return read_memory("VmRSS") if Path("/proc/self/status").is_file() else 0


def _plain_policy(place: str, chosen: NumberType) -> Policy:
    # fp16 overflows in the decoders of SDXL and some SD 1.x, and the 8 bits of bf16 show as bands in a sky.
    # The text encoder runs once a picture: nothing is won by rounding it on a CPU.
    is_cpu = place == "cpu"
    return Policy(
        place,
        unet=chosen,
        text="fp32" if is_cpu else chosen,
        vae="fp32",
        channels_last=place.startswith("cuda") or chosen != "fp32",
    )


def _choose_device(name: str) -> str:
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(name)
    except RuntimeError as error:
        raise RequestError("unknown device", got=name, do="Use auto, cpu, cuda or cuda:N.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "no CUDA device is visible to torch", got=name, do="Use `device` cpu, or check `sfumato doctor`."
        )
    return str(place)


def _read_number_type(name: str) -> NumberType:
    if name not in NUMBER_TYPES:
        raise RequestError("unknown number type", got=name, do=f"Use auto, {', '.join(NUMBER_TYPES)}.")
    return name


def _read_attention(name: str) -> Attention:
    assert name in ATTENTIONS, "a request checks its own"
    return name


def _best_cuda_type(place: str) -> NumberType:
    import torch

    # Before Ampere (8.0) bf16 is emulated and slower than fp32.
    major, _ = torch.cuda.get_device_capability(place)
    return "bf16" if major >= 8 else "fp16"


def _to_dtype(name: NumberType) -> torch.dtype:
    import torch

    return getattr(torch, _TORCH_NAMES[name])
