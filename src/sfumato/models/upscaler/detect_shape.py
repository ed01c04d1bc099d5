"""Tell an upscaler of the ESRGAN family from its header alone: its scale, its width, what it takes.

Knows names and shapes; opens no network, so that a plan answers soon. `upscaler` runs what this
describes. Start reading at `find_upscaler`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.models.files.header import Header

# Tiles bound the memory of a network. Around each lies what the network reads, this much at most: the largest compact
# one reads 34 px; ESRGAN's 349 would be twenty times the work, and what lies farther off moves no 8-bit step.
TILE_PX = 192
HALO_PX = 40
# Places of tiles and halos are multiples of this: Real-ESRGAN folds squares of up to 4 px into channels.
FOLD_PX = 8
# Wrappers that trainers leave around the names.
_WRAPPERS = ("params_ema.", "params.", "module.")
# Every enlargement by 2 has one convolution: `upconv1` in ESRGAN, `conv_up1` in Real-ESRGAN.
_UP = re.compile(r"(?:upconv|conv_up)\d+\.weight")
# The first ESRGAN numbered its layers; behind the trunk come the enlargements and two more convolutions.
_NUMBERED = re.compile(r"model\.(\d+)\.weight")
_LAYERS_BEHIND = 2
# What a file is taken for that is no ESRGAN but may be another network that spandrel knows.
USUAL_SCALE, USUAL_CHANNELS = 4, 64


@dataclass(frozen=True, kw_only=True)
class UpscalerShape:
    """State what an upscaling network is: its family, the enlargement of one pass, its width and size."""

    architecture: str
    scale: int
    channels: int
    parameters: int

    @property
    def widest_scale(self) -> int:
        """Return at what enlargement the network holds all its channels: a compact one enlarges in its last layer."""
        return 1 if self.architecture == "Compact" else self.scale


def find_upscaler(header: Header) -> UpscalerShape | None:
    """Describe the upscaler of a file, or return None where the names are of no known one."""
    shapes = {_unwrap(name): entry.shape for name, entry in header.tensors.items()}
    known = _read_esrgan(shapes) or _read_compact(shapes)
    if known is None:
        return None
    architecture, scale, channels = known
    return UpscalerShape(architecture=architecture, scale=scale, channels=channels, parameters=_count(header))


def describe_upscaler(header: Header) -> UpscalerShape:
    """Describe the upscaler of a file; one of another family is taken for a usual one."""
    usual = UpscalerShape(architecture="unknown", scale=USUAL_SCALE, channels=USUAL_CHANNELS, parameters=_count(header))
    return find_upscaler(header) or usual


def _read_esrgan(shapes: dict[str, tuple[int, ...]]) -> tuple[str, int, int] | None:
    """Return (name, scale, channels) for the three namings of ESRGAN."""
    if any(".sub." in name and ".RDB1." in name for name in shapes):
        layers = [int(match[1]) for match in map(_NUMBERED.fullmatch, shapes) if match]
        first, ups = "model.0.weight", len([layer for layer in layers if layer > 0]) - _LAYERS_BEHIND
    elif any(re.match(r"(RRDB_trunk|body)\.0\.(RDB|rdb)1\.", name) for name in shapes):
        first, ups = "conv_first.weight", len([name for name in shapes if _UP.fullmatch(name)])
    else:
        return None
    if first not in shapes or len(shapes[first]) != 4 or ups < 0:
        return None
    channels, seen = shapes[first][:2]
    # Real-ESRGAN folds pixels into channels to run a x4 network at x2 or x1: 12 or 48 channels come in for 3.
    folded = math.isqrt(max(1, seen // 3))
    return "ESRGAN", max(1, 2**ups // folded), channels


def _read_compact(shapes: dict[str, tuple[int, ...]]) -> tuple[str, int, int] | None:
    """Return (name, scale, channels) for the compact networks of Real-ESRGAN: convolutions in a row."""
    layers = {int(match[1]): name for name in shapes if (match := re.fullmatch(r"body\.(\d+)\.weight", name))}
    if not layers or len(layers) < 3 or any(not name.startswith("body.") for name in shapes):
        return None
    first, last = shapes[layers[min(layers)]], shapes[layers[max(layers)]]
    if len(first) != 4 or len(last) != 4 or first[1] != 3 or last[0] % 3:
        return None
    return "Compact", math.isqrt(last[0] // 3), first[0]


def _unwrap(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _count(header: Header) -> int:
    return sum(math.prod(entry.shape) for entry in header.tensors.values())
