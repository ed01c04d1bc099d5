"""Noise that depends on where it is, not on when it was asked for.

Each value is a pure function of (seed, stage, step, substep, y, x, channel), so tile order, batch
size and resuming cannot change a picture, and the noise of a box is a cut from that of the canvas.
Knows no sampler and no canvas size. Start reading at `normal_noise`; `philox` is the generator.

The integers are the same everywhere. The normals pass through float64 log, cos and sin and are
rounded once to float32: the same on one build of numpy, and within one float32 step elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt32
    from torch import Tensor

    from sfumato.core.geometry import LatentBox
    from sfumato.nn.samplers.state import Noise

# Salmon et al. 2011, table 2 and section 4.3: multipliers found by their search, and key increments
# from the golden ratio and the square root of 3 minus 1.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF

# One counter yields four words, hence four normals: channels are served in blocks of four.
_LANES = 4
# The fourth counter word holds stage, substep and channel block, in these many bits.
_STAGE_BITS, _SUBSTEP_BITS, _BLOCK_BITS = 16, 4, 12
# Steps count up from 0; the noise a picture starts from takes the last number there is.
START_STEP = 2**32 - 1
# Cells worked on at once: their temporaries stay in a core's cache, which measured a third faster than
# bands of 2^18 cells, and the loop's own cost is still below a hundredth.
_BAND_CELLS = 1 << 14


def normal_noise(
    seed: int,
    stage: int,
    step: int,
    box: LatentBox,
    channels: int = 4,
    device: torch.device | str = "cpu",
    *,
    substep: int = 0,
) -> Float[Tensor, "c h w"]:
    """Return the unit normal noise of a box of cells, float32 [channels, height, width].

    Use `START_STEP` for the noise that a picture starts from, and the sampler's own step and
    substep after that. `stage` keeps the passes of one picture apart (base, refinement, focus).

    Raises:
        RequestError: a number is negative or too large, or the box leaves the canvas to the left or top.

    Cost: about 100 ns a cell of four channels on one core; memory of the answer plus 2 MB.

    Source: Salmon et al. 2011 (Philox4x32-10); Box and Muller 1958.
    """
    _check("the seed", seed, 2**64)
    _check("the step", step, 2**32)
    fourth = _pack(stage, substep)
    _check("the number of channels", channels, (1 << _BLOCK_BITS) * _LANES)
    if box.left < 0 or box.top < 0:
        raise RequestError("noise has no cells left of or above the canvas", got=(box.left, box.top))
    noise = np.empty((channels, box.height, box.width), np.float32)
    rows = max(1, _BAND_CELLS // box.width)
    for block in range(0, channels, _LANES):
        for top in range(0, box.height, rows):
            bottom = min(top + rows, box.height)
            words = _words(seed, (step, fourth | block // _LANES), box, top, bottom)
            lanes = _to_normal(words)[: channels - block]
            noise[block : block + _LANES, top:bottom] = lanes
    return torch.from_numpy(noise).to(device)


def make_step_noise(
    seed: int, stage: int, box: LatentBox, channels: int = 4, device: torch.device | str = "cpu"
) -> Noise:
    """Return the source of noise that a sampler asks, shaped [1, channels, height, width]."""

    def noise(step: int, substep: int, /) -> Tensor:
        return normal_noise(seed, stage, step, box, channels, device, substep=substep)[None]

    return noise


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[UInt32[np.ndarray, "..."], ...]:
    """Return four random words for each counter (numbers or arrays of them, below 2^32).

    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", section 4.3.
    """
    # Products need 64 bits; words are kept in uint64 to save a conversion a round.
    a, b, c, d = (np.asarray(word, np.uint64) for word in counter)
    first, second = key
    for _ in range(_ROUNDS):
        low, high = a * np.uint64(_MULTIPLIERS[0]), c * np.uint64(_MULTIPLIERS[1])
        a, b, c, d = (
            (high >> np.uint64(32)) ^ b ^ np.uint64(first),
            high & np.uint64(_WORD),
            (low >> np.uint64(32)) ^ d ^ np.uint64(second),
            low & np.uint64(_WORD),
        )
        first, second = (first + _KEY_STEPS[0]) & _WORD, (second + _KEY_STEPS[1]) & _WORD
    return tuple(word.astype(np.uint32) for word in (a, b, c, d))


def _words(seed: int, words: tuple[int, int], box: LatentBox, top: int, bottom: int) -> tuple[Any, ...]:
    across = np.arange(box.left, box.right, dtype=np.uint64)[None, :]
    down = np.arange(box.top + top, box.top + bottom, dtype=np.uint64)[:, None]
    return philox((across, down, *words), (seed & _WORD, seed >> 32))


def _to_normal(words: tuple[Any, ...]) -> Float[np.ndarray, "4 h w"]:
    """Turn words in pairs into normals: the radius from one, the angle from the other."""
    normals = np.empty((_LANES, *words[0].shape), np.float32)
    for pair in (0, 2):
        # Half a step keeps the logarithm away from 0; the largest normal is then 6.8.
        radius = np.sqrt(-2.0 * np.log((words[pair] + 0.5) * 2.0**-32))
        angle = (words[pair + 1] + 0.5) * (2.0**-32 * 2.0 * np.pi)
        normals[pair] = radius * np.cos(angle)
        normals[pair + 1] = radius * np.sin(angle)
    return normals


def _pack(stage: int, substep: int) -> int:
    _check("the stage", stage, 1 << _STAGE_BITS)
    _check("the substep", substep, 1 << _SUBSTEP_BITS)
    return stage << (_SUBSTEP_BITS + _BLOCK_BITS) | substep << _BLOCK_BITS


def _check(what: str, value: int, limit: int) -> None:
    if not 0 <= value < limit:
        raise RequestError(f"{what} lies between 0 and {limit - 1}", got=value)
