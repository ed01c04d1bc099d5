"""What a render may cost and what its parts cost: bytes and seconds, as values.

Pure arithmetic over sizes; measures nothing and knows no request. The constants come from the
measurements in docs/log.md. Start reading at `Budget`, then `Footprint`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from sfumato.models.autoencoder import TILE_CELLS, estimate_kl_bytes
from sfumato.models.kl_tiles import LEAST_BYTES, TiledCost, estimate_tiled
from sfumato.models.upscaler_shape import HALO_PX, TILE_PX

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize, PixelSize
    from sfumato.models.contract import ModelContract
    from sfumato.models.upscaler_shape import UpscalerShape

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
    """Limit a plan: bytes of memory on the device, bytes of disk, and what time the parts take.

    `free_bytes` is what the device has left now; a KL autoencoder takes at most `decode_share` of
    that, and a plan must not find out after the long part. `spill_bytes` is the disk free for what
    such an autoencoder cannot keep in memory. `packed_bytes` is what a second copy of the denoiser's
    weights takes where the device packs them; `upscaler` is the network that enlarges, where one does.
    """

    memory_bytes: int
    cost: CostModel
    disk_bytes: int | None = None
    free_bytes: int | None = None
    decode_share: float = 1.0
    packed_bytes: int = 0
    spill_bytes: int | None = None
    upscaler: UpscalerShape | None = None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """State what one family of networks needs in memory, in bytes.

    `cell` is the peak of the denoiser per latent cell of one evaluation, `tile_pixel` the peak of a
    tiny autoencoder per pixel of a tile.
    """

    cell: int
    tile_pixel: int = 600


# Python, torch and the libraries of networks before any weight is loaded: 838 MiB resident on Linux, and room for
# what oneDNN and the allocator keep.
RUNTIME_BYTES = 900 * MIB
# Peak resident memory of one call minus the one before it, random weights, CPU.
FOOTPRINTS = {
    "mini": Footprint(cell=48 * 1024),
    "sd1": Footprint(cell=160 * 1024),
    "sd2": Footprint(cell=160 * 1024),
    "sdxl": Footprint(cell=140 * 1024),
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
# Bytes per pixel of a canvas alive at once: float sum (12), weight (4), the enlarged picture (3), the finished one (6).
PIXEL_BYTES = 25
# The autoencoders of SD 1.x, 2.x and SDXL are alike.
KL_CHANNELS = (128, 256, 512, 512)
# An upscaler's network holds this many maps of its width at once: 2.8 measured for ESRGAN, 64 wide, x4, a tile of 256 px.
UPSCALER_MAPS = 3
# Bytes per pixel of a picture that a network enlarges (Pillow's 4, an array of 3, two float copies of 12) and of what it
# becomes (a tensor of 3, its rows in order 3, Pillow's 4).
ENLARGED_FROM_BYTES, ENLARGED_TO_BYTES = 31, 10


def standing_bytes(contract: ModelContract, budget: Budget, canvas: PixelSize) -> int:
    """Estimate what stays in memory all the time: the program, the weights, the canvas."""
    upscaler = budget.upscaler.parameters * 4 if budget.upscaler else 0
    return RUNTIME_BYTES + contract.weights_bytes + upscaler + budget.packed_bytes + canvas_bytes(contract, canvas)


def denoise_bytes(contract: ModelContract, window: LatentSize, batch: int) -> int:
    """Estimate the peak of one denoiser call over `batch` evaluations of a window."""
    return FOOTPRINTS[contract.family].cell * window.area * batch


def enlarge_bytes(upscaler: UpscalerShape | None, picture: PixelSize, wanted: float) -> int:
    """Estimate the peak of enlarging a picture at least `wanted` times; resampling alone takes no more than a canvas.

    A network has a scale of its own, so what it makes may be far larger than the canvas it is shrunk to.
    """
    if upscaler is None or upscaler.scale < 2:
        return 0
    area, factor = picture.area, float(upscaler.scale)
    while factor < wanted:
        area, factor = area * upscaler.scale**2, factor * upscaler.scale
    tile = min(area, (TILE_PX + 2 * HALO_PX) ** 2) * upscaler.widest_scale**2
    grown = area * (ENLARGED_FROM_BYTES + ENLARGED_TO_BYTES * upscaler.scale**2)
    return grown + tile * upscaler.channels * 4 * UPSCALER_MAPS


def autoencoder_room(contract: ModelContract, budget: Budget, canvas: PixelSize) -> int:
    """Return the most that the autoencoder may take beside what stands; below zero where nothing is left."""
    standing = standing_bytes(contract, budget, canvas)
    left = budget.memory_bytes - standing
    if budget.free_bytes is None:
        return left
    return min(left, int((budget.free_bytes - standing) * budget.decode_share))


def autoencoder_bytes(contract: ModelContract, decoded: PixelSize, room_bytes: int) -> int:
    """Estimate the peak of encoding or decoding a picture where `room_bytes` are left for it.

    A KL autoencoder is run whole where that fits, else in tiles, which take what there is and a
    minimum that may be more.
    """
    if contract.autoencoder == "tiny":
        return FOOTPRINTS[contract.family].tile_pixel * min(decoded.area, (TILE_CELLS * contract.factor) ** 2)
    whole = _whole_bytes(contract, decoded)
    return whole if whole <= room_bytes else _tiled_cost(contract, decoded, room_bytes).memory_bytes


def spill_bytes(contract: ModelContract, decoded: PixelSize, room_bytes: int) -> int:
    """Bound what a KL autoencoder keeps on disk meanwhile; nothing where memory holds it."""
    if contract.autoencoder == "tiny" or _whole_bytes(contract, decoded) <= room_bytes:
        return 0
    return _tiled_cost(contract, decoded, room_bytes).disk_bytes


def _whole_bytes(contract: ModelContract, decoded: PixelSize) -> int:
    return estimate_kl_bytes(KL_CHANNELS, decoded.to_latent(contract.factor), torch.float32, factor=contract.factor)


def _tiled_cost(contract: ModelContract, decoded: PixelSize, room_bytes: int) -> TiledCost:
    size, factor = decoded.to_latent(contract.factor), contract.factor
    return estimate_tiled(KL_CHANNELS, size, torch.float32, max(room_bytes, LEAST_BYTES), factor=factor)


def canvas_bytes(contract: ModelContract, canvas: PixelSize) -> int:
    """Estimate what the canvas itself takes: latents and pixels, however small the windows are."""
    cells = canvas.area // contract.factor**2
    return cells * contract.latent_channels * 4 * LATENT_COPIES + canvas.area * PIXEL_BYTES


def disk_bytes(canvas: PixelSize) -> int:
    """Bound the picture and its report on disk: PNG of noise, and a page with two small pictures."""
    return canvas.area * 3 + 2 * MIB
