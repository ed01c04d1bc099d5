"""What a render may cost and what its parts cost: bytes and seconds, as values.

Pure arithmetic over sizes; measures nothing and knows no request. The constants come from the
measurements in docs/log.md, and a probe of this machine replaces them (docs/plan_and_cost.md). Start
reading at `Budget`, then `Footprint` and `standing_bytes`; a canvas is in `canvas_cost`, the autoencoder's memory in
`coding_cost`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from sfumato.models.autoencoder.coder import STEP_PX, STRIP_CELLS
from sfumato.models.upscaler.detect_shape import HALO_PX, TILE_PX

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize, PixelSize
    from sfumato.models.contract import ModelContract
    from sfumato.models.upscaler.detect_shape import UpscalerShape
    from sfumato.render.plan.canvas_cost import Held

GIB = 1024**3
MIB = 1024**2

# Windows denoised in one call where memory allows. A smaller batch may change the last bits of a picture.
WINDOW_BATCH = 4
SMALLER_BATCHES = (WINDOW_BATCH, 2, 1)

Basis = Literal["probe", "measured", "guess"]


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """State how long the parts of a render take on one device.

    A call of the denoiser costs `call_s` plus `cell_s` per latent cell and evaluation in it; a picture
    costs `decode_s` and `encode_s` per pixel, and `save_s` to judge, write and report. In the middle of a KL
    autoencoder every latent cell looks at every one, which costs `attend_s` a pair. `open_s` is spent
    once a process, `start_s` before the first step. `basis` says where the numbers are from: a probe of
    this machine, what its last renders took, or a guess; `busy_frac` is the share of its processors that other
    work kept busy while it was probed.
    """

    call_s: float
    cell_s: float
    decode_s: float
    encode_s: float
    attend_s: float = 0.0
    save_s: float = 0.0
    start_s: float = 0.0
    open_s: float = 0.0
    basis: Basis = "guess"
    busy_frac: float = 0.0

    def scaled(self, factor: float) -> CostModel:
        """Return the same model at the pace of renders that took `factor` times as long; opening has its own."""
        return replace(
            self,
            call_s=self.call_s * factor,
            cell_s=self.cell_s * factor,
            decode_s=self.decode_s * factor,
            encode_s=self.encode_s * factor,
            attend_s=self.attend_s * factor,
            save_s=self.save_s * factor,
            start_s=self.start_s * factor,
            basis="measured",
            busy_frac=0.0,
        )

    def denoise_s(self, calls: int, evaluations: int, cells: int) -> float:
        """Return what so many calls take that evaluate windows of `cells` so many times in all."""
        return calls * self.call_s + evaluations * cells * self.cell_s

    def to_json(self) -> dict[str, float | str]:
        """Return the numbers as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limit a plan: bytes of memory on the device, bytes of disk, and what time the parts take.

    `free_bytes` is what the device has left now; a KL autoencoder takes at most `decode_share` of
    that, and a plan must not find out after the long part. `spill_bytes` is the disk free for what
    such an autoencoder cannot keep in memory, `spill_shared` where that is the disk of the picture; where
    `maps_beside`, that may lie beside a picture that is grown instead. `packed_bytes` is what a second copy of the denoiser's
    weights takes where the device packs them; `upscaler` is the network that enlarges, where one does. `pyramid` says
    that the file of the picture holds smaller ones too; `whole_bytes` is what a pixel takes of the host's memory while it
    is saved, where its format is not written in bands.

    `separate` says that the device has memory of its own; then `host_bytes` limits the host's, and
    `load_bytes` is what loading takes there for a moment. `window_batch` is the most windows denoised in
    one call. `weights_bytes` is what the weights take once loaded (None: as the files), `number_bytes` a number that
    the denoiser computes with. `footprint` and `loaded_bytes` (device, host) are what a probe measured; None takes the
    formula.
    """

    memory_bytes: int
    cost: CostModel
    disk_bytes: int | None = None
    free_bytes: int | None = None
    decode_share: float = 1.0
    packed_bytes: int = 0
    spill_bytes: int | None = None
    spill_shared: bool = False
    maps_beside: bool = False
    upscaler: UpscalerShape | None = None
    pyramid: bool = False
    whole_bytes: int = 0
    separate: bool = False
    host_bytes: int | None = None
    load_bytes: int = 0
    window_batch: int = WINDOW_BATCH
    weights_bytes: int | None = None
    number_bytes: int = 4
    footprint: Footprint | None = None
    loaded_bytes: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """State what one family of networks needs in memory, in bytes.

    A call of the denoiser peaks at `call` plus `cell` per latent cell of each evaluation in it; a tiny
    autoencoder at `tile` plus `decode_pixel` or `encode_pixel` per pixel that it holds, see `count_held_pixels`.
    """

    cell: int
    decode_pixel: int = 1000
    encode_pixel: int = 800
    call: int = 0
    tile: int = 0


# Python, torch and the libraries of networks before any weight is loaded: 838 MiB resident on Linux, and room for
# what oneDNN and the allocator keep.
RUNTIME_BYTES = 900 * MIB
# Numbers alive at once for each cell of each evaluation, where attention makes no matrix of all pairs. Peak resident memory
# of calls less what was held, random weights, CPU: SD 1.5 11 to 15 thousand in bf16, 16 in float32; SDXL 10 in bf16; mini
# 5.4 and 3.9. A probe replaces them.
_CELL_NUMBERS = {"mini": 5_600, "sd1": 16_000, "sd2": 16_000, "sdxl": 12_000}
# A guess for a two-core CPU with bf16; replaced by a probe or by what the last renders took (see workflows.pace).
_SD = CostModel(
    call_s=0.05, cell_s=2.8e-4, decode_s=2e-5, encode_s=1e-5, attend_s=1e-8, save_s=7e-7, start_s=2.0, open_s=12.0
)
GUESSES = {
    "mini": CostModel(call_s=0.012, cell_s=2.2e-5, decode_s=5e-7, encode_s=3e-7, save_s=7e-7, start_s=0.3, open_s=8.0),
    "sd1": _SD,
    "sd2": _SD,
    "sdxl": replace(_SD, call_s=0.1, cell_s=4.5e-4, start_s=5.0, open_s=20.0),
}
# What a strip of a tiny autoencoder is computed beyond itself on each side. Left and right all of its maps have all of the
# margin. Above and below, encoding, the deep layers need all of it at full resolution; decoding, most of the work is after
# most of it was cut off.
MARGIN_CELLS, DECODE_ROWS_CELLS = 17, 2
# A strip of it is at most so wide, at the factor of all known ones.
STRIP_PX = STRIP_CELLS * 8
# Rows that the layers of a tiny autoencoder keep for the next ones, as if all of them were rows of its largest map.
KEPT_ROWS = 6
# An upscaler's network holds this many maps of its width at once: 2.8 measured for ESRGAN, 64 wide, x4, a tile of 256 px.
UPSCALER_MAPS = 3
# Bytes per pixel of a picture that a network enlarges (Pillow's 4, an array of 3, two float copies of 12) and of what it
# becomes (a tensor of 3, its rows in order 3, Pillow's 4).
ENLARGED_FROM_BYTES, ENLARGED_TO_BYTES = 31, 10
# Finished tiles that are kept while boxes of an enlarged picture are asked for, in reading order.
ENLARGED_KEPT_BYTES = 128 * MIB


def standing_bytes(contract: ModelContract, budget: Budget, held: Held) -> int:
    """Estimate what stays in the device's memory all the time: the weights, the canvas and, on a CPU, the program."""
    upscaler = budget.upscaler.parameters * 4 if budget.upscaler else 0
    return _model_bytes(contract, budget) + upscaler + (held.device if budget.separate else held.total)


def host_bytes(budget: Budget, held: Held) -> int:
    """Estimate what the host holds beside a device with memory of its own; 0 where they share one."""
    if not budget.separate:
        return 0
    program = RUNTIME_BYTES if budget.loaded_bytes is None else budget.loaded_bytes[1]
    return program + max(budget.load_bytes, held.host)


def _model_bytes(contract: ModelContract, budget: Budget) -> int:
    if budget.loaded_bytes is not None:
        return budget.loaded_bytes[0]
    weights = contract.weights_bytes if budget.weights_bytes is None else budget.weights_bytes
    return weights + budget.packed_bytes + (0 if budget.separate else RUNTIME_BYTES)


def denoise_bytes(contract: ModelContract, budget: Budget, window: LatentSize, batch: int) -> int:
    """Estimate the peak of one denoiser call over `batch` evaluations of a window."""
    footprint = find_footprint(contract, budget)
    return footprint.call + footprint.cell * window.area * batch


def find_footprint(contract: ModelContract, budget: Budget) -> Footprint:
    """Return what the networks need: as probed here, else as measured for their family."""
    return budget.footprint or guess_footprint(contract, budget.number_bytes)


def guess_footprint(contract: ModelContract, number_bytes: int) -> Footprint:
    """Return what networks of a family need that compute in numbers of so many bytes."""
    return Footprint(cell=_CELL_NUMBERS[contract.family] * number_bytes)


def peak_bytes(contract: ModelContract, budget: Budget, denoise: int, code: int) -> int:
    """Join the peaks of denoiser and autoencoder, which run in turns.

    A device's allocator gives the second what the first took. A heap keeps the blocks of a small network;
    those of a large one go back to the system at once, and a KL autoencoder in tiles gives back the rest.
    """
    kept = contract.autoencoder == "tiny" and not budget.separate
    return denoise + code if kept else max(denoise, code)


def enlarge_bytes(upscaler: UpscalerShape | None, picture: PixelSize, wanted: float, *, streamed: bool = False) -> int:
    """Estimate the peak of enlarging a picture at least `wanted` times; resampling alone takes no more than a canvas.

    A network has a scale of its own, so what it makes may be far larger than the canvas it is shrunk to;
    `streamed`, only the tiles of some rows are kept of it.
    """
    if upscaler is None or upscaler.scale < 2:
        return 0
    area, factor = picture.area, float(upscaler.scale)
    while factor < wanted:
        area, factor = area * upscaler.scale**2, factor * upscaler.scale
    tile = min(area, (TILE_PX + 2 * HALO_PX) ** 2) * upscaler.widest_scale**2
    grown = area * (ENLARGED_FROM_BYTES + ENLARGED_TO_BYTES * upscaler.scale**2)
    if streamed:
        grown = min(grown, ENLARGED_KEPT_BYTES)
    return grown + tile * upscaler.channels * 4 * UPSCALER_MAPS


def autoencoder_room(contract: ModelContract, budget: Budget, held: Held) -> int:
    """Return the most that the autoencoder may take beside what stands; below zero where nothing is left."""
    standing = standing_bytes(contract, budget, held)
    left = budget.memory_bytes - standing
    if budget.free_bytes is None:
        return left
    return min(left, int((budget.free_bytes - standing) * budget.decode_share))


def coding_s(
    contract: ModelContract, cost: CostModel, picture: PixelSize, *, encodes: bool, decodes: bool = True
) -> float:
    """Return what encoding and decoding a picture take.

    Strips of a tiny autoencoder compute their margins as well; in a KL one every cell looks at every one, each way.
    """
    tiny = contract.autoencoder == "tiny"
    columns = MARGIN_CELLS if tiny else 0
    encoded = _grown_pixels(picture, contract.factor, columns, columns) if encodes else 0
    decoded = _grown_pixels(picture, contract.factor, columns, DECODE_ROWS_CELLS if tiny else 0) if decodes else 0
    attended = 0 if tiny else (encodes + decodes) * (picture.area // contract.factor**2) ** 2
    return encoded * cost.encode_s + decoded * cost.decode_s + attended * cost.attend_s


def _grown_pixels(picture: PixelSize, factor: int, columns_cells: int, rows_cells: int) -> int:
    """Count the pixels of all strips of a picture with their margins, which end at the picture's edge."""
    return _grown_side(picture.width, factor, columns_cells) * _grown_side(picture.height, factor, rows_cells)


def _grown_side(side_px: int, factor: int, margin_cells: int) -> int:
    inner = -(-side_px // (STRIP_CELLS * factor)) - 1
    return side_px + 2 * min(margin_cells * factor, side_px) * inner


def count_held_pixels(coded: PixelSize) -> int:
    """Count the pixels that a tiny autoencoder holds at once: those it works on, and rows kept for later."""
    return min(coded.area, STEP_PX + KEPT_ROWS * min(coded.width, STRIP_PX))
