"""Whether a network of the ESRGAN family may compute in bf16 here: only where that is faster and moves no pixel visibly.

Tries both on three small real pictures, once for each network and machine, and remembers the answer in the cache.
Knows no file of weights. Start reading at `choose_number_type`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from sfumato.core.errors import StorageError
from sfumato.core.files import find_cache_folder, write_atomic
from sfumato.models.hardware.policy import BF16_GAIN, find_rates
from sfumato.models.hardware.rates import name_machine
from sfumato.models.upscaler.compact import CompactNetwork, find_compact_shape
from sfumato.models.upscaler.grown_rows import to_pixels
from sfumato.models.upscaler.rrdb import RrdbNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from sfumato.models.upscaler.grown_rows import RowNetwork

NumberType = Literal["fp32", "bf16"]
DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Steps of 255 by which a pixel may differ; the rule of the project for a faster number type.
MOST_STEPS = 2
_CROP_PX = 48


def choose_number_type(state: Mapping[str, Tensor], sha256: str) -> NumberType:
    """Choose the number type of a network with this digest on this machine's CPU.

    Without fast bf16 the answer is fp32 and nothing is tried. A try takes about four seconds of a core with 16.7
    million parameters.
    """
    rates = find_rates()
    if rates.bf16_tflops <= BF16_GAIN * rates.fp32_tflops:
        return "fp32"
    path = find_cache_folder() / f"upscaler-{sha256[:16]}-{name_machine()}.json"
    steps = _read(path)
    if steps is None:
        steps = measure_steps(state)
        _write(path, steps)
    return "bf16" if steps <= MOST_STEPS else "fp32"


def make_row_network(state: Mapping[str, Tensor], dtype: torch.dtype) -> RowNetwork:
    """Return the network of a state dict that `upscaler.load_state` gave."""
    return CompactNetwork(state, dtype) if find_compact_shape(state) else RrdbNetwork(state, dtype)


def measure_steps(state: Mapping[str, Tensor]) -> int:
    """Return by how many steps of 255 a pixel differs at most between bf16 and fp32, on three real crops."""
    networks = [make_row_network(state, dtype) for dtype in (torch.float32, torch.bfloat16)]
    most = 0
    for crop in _list_crops():
        exact, short = (to_pixels(torch.cat(list(network.run([crop])), dim=2)).astype(np.int16) for network in networks)
        most = max(most, int(np.abs(exact - short).max()))
    return most


def _list_crops() -> list[Tensor]:
    """Return a face, a page of text and a cup, which scikit-image ships, as float32 [1, 3, 48, 48]."""
    from skimage import data

    face, page, cup = data.astronaut(), np.repeat(data.page()[..., None], 3, axis=2), data.coffee()
    places = [(face, 60, 180), (page, 60, 100), (cup, 100, 250)]
    crops = [pixels[top : top + _CROP_PX, left : left + _CROP_PX] for pixels, top, left in places]
    return [torch.tensor(np.array(crop)).permute(2, 0, 1)[None].float() / 255.0 for crop in crops]


def _read(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["steps"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, steps: int) -> None:
    text = json.dumps({"steps": steps}).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda stream: stream.write(text))
    except (OSError, StorageError):
        return
