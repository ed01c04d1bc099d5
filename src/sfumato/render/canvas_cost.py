"""What a canvas costs: bytes of memory where it is held or goes through in bands, and of disk.

Pure arithmetic over sizes; knows no model's weights and no budget. Start reading at `Held`, then
`hold_whole` and `hold_bands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.models.autoencoder import BAND_BYTES, STEP_PX, STRIP_CELLS, TILE_CELLS
from sfumato.render.level_update import MARGIN_CELLS, choose_band_cells

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
# Two slots for every band of a file, so that a crash between two flushes harms nothing.
SLOTS = 2
# Bytes of a pixel in a file of pixels.
PIXEL_BYTES = 3


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
    files = min(MAPPED_FILES * MAPPED_BYTES, count_work_bytes(contract, canvas, history=history))
    return Held(device=sums + updated + DECODE_COPIES * band, host=files + band)


def count_work_bytes(contract: ModelContract, canvas: PixelSize, *, history: int = 2, trials: int = 0) -> int:
    """Bound what a level keeps on disk while it runs: its latents in files of two slots, and its pixels.

    While it is drawn: two states of x and `history`, the anchor, the predictions, and the `trials` of a
    sampler that asks more than once a step. While it is finished: one state and the anchor, and the pixels
    twice, as decoded and with what is held.
    """
    latents = SLOTS * canvas.to_latent(contract.factor).area * contract.latent_channels * _FLOAT_BYTES
    pixels = canvas.area * PIXEL_BYTES
    drawn = latents * (2 * (1 + history) + 1 + 1 + trials) + pixels
    return max(drawn, latents * (1 + history + 1) + 2 * pixels)


def count_disk_bytes(canvas: PixelSize) -> int:
    """Bound the picture and its report on disk: PNG of noise, and a page with two small pictures."""
    return canvas.area * PIXEL_BYTES + 2 * MIB
