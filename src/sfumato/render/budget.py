"""What a render may cost and what its parts cost: bytes and seconds, as values.

Pure arithmetic over sizes; measures nothing and knows no request. The constants come from the
measurements in docs/log.md. Start reading at `Budget`, then `Footprint`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from sfumato.models.autoencoder import TILE_CELLS

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize, PixelSize
    from sfumato.models.contract import ModelContract

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """State how long the parts of a render take on one device.

    One evaluation of the denoiser costs `call_s` plus `cell_s` per latent cell; a picture costs
    `decode_s` and `encode_s` per pixel. `basis` says whether that was measured or is a guess.
    """

    call_s: float
    cell_s: float
    decode_s: float
    encode_s: float
    basis: Literal["measured", "guess"] = "guess"

    def scaled(self, factor: float) -> CostModel:
        """Return the same model on a machine that takes `factor` times as long."""
        return replace(
            self,
            call_s=self.call_s * factor,
            cell_s=self.cell_s * factor,
            decode_s=self.decode_s * factor,
            encode_s=self.encode_s * factor,
            basis="measured",
        )

    def to_json(self) -> dict[str, float | str]:
        """Return the numbers as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limit a plan: bytes of memory on the device, bytes of disk, and what time the parts take."""

    memory_bytes: int
    cost: CostModel
    disk_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """State what one family of networks needs in memory, in bytes.

    `cell` is the peak of the denoiser per latent cell of one evaluation, `pixel` the peak of the
    autoencoder per pixel that it decodes at once.
    """

    cell: int
    pixel: int


# Python, torch and the tokenizers before any weight is loaded.
RUNTIME_BYTES = 650 * MIB
# Peak resident memory of one call minus the one before it, random weights, CPU.
FOOTPRINTS = {
    "mini": Footprint(cell=48 * 1024, pixel=600),
    "sd1": Footprint(cell=160 * 1024, pixel=3584),
    "sd2": Footprint(cell=160 * 1024, pixel=3584),
    "sdxl": Footprint(cell=140 * 1024, pixel=3584),
}
# A guess for a two-core CPU with bf16; replaced by what the last renders took (see workflows.pace).
GUESSES = {
    "mini": CostModel(call_s=0.012, cell_s=2.2e-5, decode_s=1.0e-6, encode_s=1.0e-6),
    "sd1": CostModel(call_s=0.05, cell_s=2.8e-4, decode_s=2.0e-5, encode_s=1.0e-5),
    "sd2": CostModel(call_s=0.05, cell_s=2.8e-4, decode_s=2.0e-5, encode_s=1.0e-5),
    "sdxl": CostModel(call_s=0.1, cell_s=4.5e-4, decode_s=2.0e-5, encode_s=1.0e-5),
}
# Latents of one canvas alive at once: state, prediction, two of history, noise, fused sum, and room.
LATENT_COPIES = 8
# Pixels of one canvas alive at once: sum (12), weight (4), a finished float copy (12), bytes in and out (6).
PIXEL_BYTES = 34


def denoise_bytes(contract: ModelContract, window: LatentSize, batch: int) -> int:
    """Estimate the peak of one denoiser call over `batch` evaluations of a window."""
    return FOOTPRINTS[contract.family].cell * window.area * batch


def autoencoder_bytes(contract: ModelContract, canvas: PixelSize) -> int:
    """Estimate the peak of encoding or decoding a canvas, in tiles when it is large."""
    tile = (TILE_CELLS * contract.factor) ** 2
    # A KL autoencoder normalises over the whole picture and is run whole.
    at_once = min(canvas.area, tile) if contract.autoencoder == "tiny" else canvas.area
    return FOOTPRINTS[contract.family].pixel * at_once


def canvas_bytes(contract: ModelContract, canvas: PixelSize) -> int:
    """Estimate what the canvas itself takes: latents and pixels, however small the windows are."""
    cells = canvas.area // contract.factor**2
    return cells * contract.latent_channels * 4 * LATENT_COPIES + canvas.area * PIXEL_BYTES


def disk_bytes(canvas: PixelSize) -> int:
    """Bound the picture and its report on disk: PNG of noise, and a page with two small pictures."""
    return canvas.area * 3 + 2 * MIB
