"""What a canvas costs: bytes of memory where it is held or goes through in bands, and of disk.

Pure arithmetic over sizes; knows no model's weights and no budget. Start reading at `Held`, then
`hold_whole` and `hold_bands`; for disk at `LevelFiles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.canvas.latent_file import LatentLayout
from sfumato.models.autoencoder.coder import BAND_BYTES, STEP_PX, STRIP_CELLS, TILE_CELLS
from sfumato.render.cohesive.update import MARGIN_CELLS, choose_band_cells

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize, PixelSize
    from sfumato.models.contract import ModelContract

MIB = 1024**2
_FLOAT_BYTES = 4
# Latents of one canvas alive at once: state, prediction, two of history, noise, fused sum, and room.
LATENT_COPIES = 8
# Bytes per pixel of a canvas alive at once on the device (floats of a decoded picture and their sum) and on the host
# (weights of slices, the enlarged picture, the finished one).
DEVICE_PIXEL_BYTES, HOST_PIXEL_BYTES = 12, 13
# Canvases alive at once in the rows that are updated, beside history: what was predicted, the anchor, the low band of
# the prediction, what is fine, what is held (3), the clean rows, noise and its counters (4), the packed result and
# what is written.
UPDATE_COPIES = 12
# A band of decoded pixels as floats, clamped, and as bytes.
DECODE_COPIES = 2
# Mapped files at once, and what each keeps resident at most.
MAPPED_FILES, MAPPED_BYTES = 4, MIB
# Bytes of a pixel in a file of pixels.
PIXEL_BYTES = 3
# Maps of the size of the base in cells that are kept of it: where each phrase is (prompts have fewer), and what is free.
_BASE_MAPS = 16
# Entries of the journal at once: of a level the old one and the new one, of a base also the last durable one.
_ENTRIES, _BASE_ENTRIES = 2, 3
# Whose the folder is, how its work began, and headers of archives.
_SMALL_BYTES = 32 * 1024
# The page of a render: words, the picture twice at 1600 px a side at most, and its base and two details of 320 px a side. A
# pixel of a photograph takes a third of a byte there, of noise three times that.
_PAGE_BYTES, _PAGE_PX, _DETAIL_PX, _PAGE_PACKING = 16 * 1024, 1600, 320, 3


@dataclass(frozen=True, kw_only=True)
class Held:
    """State the bytes that a canvas takes of memory, on the device and on the host; one memory takes the sum."""

    device: int
    host: int

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.device + self.host


def hold_whole(contract: ModelContract, canvas: PixelSize) -> Held:
    """Estimate what a canvas held in memory takes: latents and pixels, however small the windows are."""
    latents = canvas.to_latent(contract.factor).area * contract.latent_channels * _FLOAT_BYTES * LATENT_COPIES
    return Held(device=latents + canvas.area * DEVICE_PIXEL_BYTES, host=canvas.area * HOST_PIXEL_BYTES)


def hold_bands(contract: ModelContract, canvas: PixelSize, window: LatentSize, *, history: int = 2) -> Held:
    """Estimate what a canvas on disk takes of memory, whatever its height; little of it grows with its width.

    Weighted sums over the rows of a window, twice where finished rows are handed on; the rows that become
    the next state, with `history` predictions of the sampler; a band of decoded pixels; and pages of the
    mapped files.
    """
    cells, channels = canvas.to_latent(contract.factor), contract.latent_channels
    row = cells.width * _FLOAT_BYTES
    sums = row * min(window.height, cells.height) * 2 * (channels + 1)
    rows = choose_band_cells(cells.width) + 2 * MARGIN_CELLS
    updated = row * min(rows, cells.height) * channels * (UPDATE_COPIES + 2 * (1 + history))
    band = min(BAND_BYTES, row * min(TILE_CELLS, cells.height) * contract.factor**2 * 3)
    if contract.autoencoder == "tiny":
        strip_px = min(canvas.width, STRIP_CELLS * contract.factor)
        band = min(band, max(STEP_PX, strip_px * contract.factor) * 3 * _FLOAT_BYTES)
    files = min(MAPPED_FILES * MAPPED_BYTES, measure_files(contract, canvas, history=history).most)
    return Held(device=sums + updated + DECODE_COPIES * band, host=files + band)


@dataclass(frozen=True, kw_only=True)
class LevelFiles:
    """State what the files of a level take of disk while they are there, in bytes.

    `state` holds x and the sampler's history, `latents` one canvas (the anchor, the predictions), `trials` what a
    sampler asks that asks more than once a step, `pixels` the level as bytes.
    """

    state: int
    latents: int
    trials: int
    pixels: int

    @property
    def begun(self) -> int:
        """Return what there is while it is made from what it grows from: the anchor and the first state."""
        return self.state + self.latents

    @property
    def most(self) -> int:
        """Return the most there is: while it is drawn, or while its pixels are finished beside the decoded ones."""
        drawn = 2 * self.state + 2 * self.latents + self.trials
        return max(drawn, self.begun + 2 * self.pixels)

    @property
    def left(self) -> int:
        """Return what stays of a finished level: the last state, the anchor and the pixels."""
        return self.begun + self.pixels


def measure_files(contract: ModelContract, canvas: PixelSize, *, history: int = 2, trials: int = 0) -> LevelFiles:
    """Measure the files of a level with so many canvases of history, and of `trials`."""
    cells, channels = canvas.to_latent(contract.factor), contract.latent_channels
    state, latents = (LatentLayout(cells, channels * count).file_bytes for count in (1 + history, 1))
    asked = LatentLayout(cells, channels * trials).file_bytes if trials else 0
    return LevelFiles(state=state, latents=latents, trials=asked, pixels=canvas.area * PIXEL_BYTES)


def count_base_notes(contract: ModelContract, base: PixelSize) -> int:
    """Bound what is noted while a base is drawn: its state, where each word is, and the trials, in every entry."""
    cells = base.to_latent(contract.factor).area
    entry = cells * _FLOAT_BYTES * (contract.tokens + contract.latent_channels * LATENT_COPIES)
    return _BASE_ENTRIES * entry + _SMALL_BYTES


def count_level_notes(
    contract: ModelContract, base: PixelSize, canvas: PixelSize, window: LatentSize, levels: int
) -> int:
    """Bound what is kept beside the canvases of the last of so many levels.

    That is the base, every level as small as that for holding its colours, and the sums under a row of windows.
    """
    cells = base.to_latent(contract.factor).area
    kept = base.area * (PIXEL_BYTES + levels * 3 * _FLOAT_BYTES) + cells * _BASE_MAPS * _FLOAT_BYTES
    sums = canvas.to_latent(contract.factor).width * window.height * (contract.latent_channels + 1) * _FLOAT_BYTES
    return kept + _ENTRIES * sums + _SMALL_BYTES


def count_disk_bytes(canvas: PixelSize, *, pyramid: bool = False) -> int:
    """Estimate the picture and its page on disk: as a PNG of noise, which takes most, and what a page takes of a photograph.

    The smaller levels of a pyramid add a quarter, and a quarter of that, and so on: a third in all.
    """
    picture = canvas.area * PIXEL_BYTES
    shown = 2 * min(canvas.area, _PAGE_PX**2) + 3 * min(canvas.area, _DETAIL_PX**2)
    return (-(-picture * 4 // 3) if pyramid else picture) + _PAGE_BYTES + shown // _PAGE_PACKING
