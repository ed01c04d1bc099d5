"""What a stage takes: seconds, bytes of memory and of disk, from sizes alone.

Pure arithmetic. Memory is an upper bound: a plan may exceed the peak of a render, never fall below it. Start reading
at `price_stage`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.models.autoencoder.estimate import (
    BAND_BYTES,
    LEAST_BYTES,
    STEP_PX,
    STRIP_CELLS,
    TILE_CELLS,
    estimate_kl_bytes,
    estimate_marks,
    estimate_tiled,
    runs_whole,
)
from sfumato.models.upscaler.detect_shape import HALO_PX, TILE_PX
from sfumato.render.cohesive.stages import MARGIN_CELLS, choose_band_cells
from sfumato.render.plan.budget import MIB
from sfumato.render.sampling.control_pictures import MOST_LAID_PX

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelSize
    from sfumato.models.contract import ModelContract
    from sfumato.models.upscaler.detect_shape import UpscalerShape
    from sfumato.render.plan.budget import RenderBudget
    from sfumato.render.plan.list_stages import StageUse
    from sfumato.render.stages import Stage

_FLOAT_BYTES, PIXEL_BYTES = 4, 3
# Numbers alive at once for each cell of each evaluation, where attention makes no matrix of all pairs. Peak resident
# memory of calls less what was held, random weights, CPU: SD 1.5 11 to 15 thousand in bf16, 16 in float32; SDXL 10 in
# bf16; mini 5.4.
_CELL_NUMBERS = {"mini": 5_600, "sd1": 16_000, "sd2": 16_000, "sdxl": 12_000}
# With control a call holds what the networks add to every layer, twice while two are summed: 2,000 numbers for each cell
# of SD 1.x each. The pictures of eight units on the canvas.
_CONTROLLED, _LAID_PIXEL_BYTES = 1.3, 24
# Bytes of a tiny autoencoder per pixel that it holds at once, each way.
_DECODE_PIXEL_BYTES, _ENCODE_PIXEL_BYTES = 1000, 800
# Rows that its layers keep for the next ones, as if all of them were rows of its largest map; a strip is at most so wide.
_KEPT_ROWS, _STRIP_PX = 6, STRIP_CELLS * 8
# What a strip computes beyond itself on each side. Above and below, most of the decoding is after most of it was cut off.
_STRIP_MARGIN_CELLS, _DECODE_ROWS_CELLS = 17, 2
# Latents of one canvas alive at once: state, prediction, two of history, noise, fused sum, and room.
_LATENT_COPIES = 8
# Bytes per pixel of a canvas in memory: on the device floats of a decoded picture and their sum, on the host weights of
# slices, the enlarged picture, the finished one.
_DEVICE_PIXEL_BYTES, _HOST_PIXEL_BYTES = 12, 13
# Canvases alive at once in the rows of a level that are updated, beside history.
_UPDATE_COPIES = 12
# A band of decoded pixels as floats, clamped, and as bytes; mapped files at once, and the pages of each.
_DECODE_COPIES, _MAPPED_BYTES = 2, 4 * MIB
# An upscaler's network holds this many maps of its width at once: 2.8 measured for ESRGAN, 64 wide, x4, a tile of 256 px.
_UPSCALER_MAPS = 3
# Bytes per pixel of a picture that a network enlarges, and of the enlarged one; finished tiles kept while boxes are read.
_ENLARGED_FROM_BYTES, _ENLARGED_TO_BYTES, _ENLARGED_KEPT_BYTES = 31, 10, 128 * MIB
# The page of a render: words, the picture twice at 1600 px a side at most, and its base and two details of 320 px a
# side. A pixel of a photograph takes a third of a byte there, of noise three times that.
_PAGE_BYTES, _PAGE_PX, _DETAIL_PX, _PAGE_PACKING = 16 * 1024, 1600, 320, 3


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Hold a stage with its costs, and what only the sum of all stages needs.

    `host_bytes` is the memory of the host beside a separate device. The autoencoder may take `autoencoder_bytes`; it
    lays `map_bytes` on disk beside the picture, or `spill_bytes` in TMPDIR. `room_bytes` has to be free so that its own
    check passes. `left_bytes` stays on disk when the stage is done.
    """

    stage: Stage
    host_bytes: int
    autoencoder_bytes: int
    spill_bytes: int
    map_bytes: int
    room_bytes: int
    left_bytes: int


def price_stage(use: StageUse, contract: ModelContract, budget: RenderBudget, halves: int) -> StageCost:
    """Return what a stage takes; `halves` counts the evaluations of one window."""
    device, host = _hold_canvas(use, contract)
    upscaler = budget.upscaler.parameters * _FLOAT_BYTES if budget.upscaler else 0
    standing = (
        budget.base_bytes
        + upscaler
        + budget.control_parameters * budget.number_bytes
        + (device if budget.separate else device + host)
    )
    room = budget.memory_bytes - standing
    if budget.free_bytes is not None:
        room = min(room, int((budget.free_bytes - standing) * budget.decode_share))
    coded, spill, maps = _find_coding(use, contract, budget, room)
    numbers = _CELL_NUMBERS[contract.family] * budget.number_bytes
    denoised = numbers * use.stage.windows[0].size.area * use.stage.window_batch * halves
    if budget.control_parameters:
        laid = min(use.stage.canvas.area, MOST_LAID_PX) if use.in_bands else use.stage.canvas.area
        denoised = round(denoised * _CONTROLLED) + laid * _LAID_PIXEL_BYTES
    # A device's allocator gives the autoencoder what the denoiser took. A heap keeps the blocks of a small network;
    # those of a large one go back to the system at once, and a KL autoencoder in tiles gives back the rest.
    keeps = contract.autoencoder == "tiny" and not budget.separate
    peak = denoised + coded if keeps else max(denoised, coded)
    read = 0 if budget.separate else use.read_bytes
    memory = standing + max(peak, read, _count_enlarging(use, budget.upscaler))
    marks = _count_marks(use, contract) if maps else 0
    stage = replace(
        use.stage,
        memory_bytes=memory,
        work_bytes=use.work_bytes + marks,
        seconds=_count_seconds(use, contract, budget),
    )
    return StageCost(
        stage=stage,
        host_bytes=budget.host_base_bytes + max(host, use.read_bytes) if budget.separate else 0,
        autoencoder_bytes=room,
        spill_bytes=spill,
        map_bytes=maps,
        room_bytes=memory if contract.autoencoder == "tiny" else round(standing + coded / budget.decode_share),
        left_bytes=use.left_bytes,
    )


def count_disk_bytes(canvas: PixelSize, *, pyramid: bool = False) -> int:
    """Estimate the picture and its page on disk: as a PNG of noise, which takes most, and the page of a photograph.

    The smaller levels of a pyramid add a quarter, and a quarter of that, and so on: a third in all.
    """
    picture = canvas.area * PIXEL_BYTES
    shown = 2 * min(canvas.area, _PAGE_PX**2) + 3 * min(canvas.area, _DETAIL_PX**2)
    return (-(-picture * 4 // 3) if pyramid else picture) + _PAGE_BYTES + shown // _PAGE_PACKING


def _hold_canvas(use: StageUse, contract: ModelContract) -> tuple[int, int]:
    """Return the bytes that a canvas takes of memory, on the device and on the host.

    A canvas in memory takes its latents and pixels. A canvas in bands takes, whatever its height: weighted sums over
    the rows of a window, twice where finished rows are handed on; the rows that become the next state; a band of
    decoded pixels; and pages of the mapped files.
    """
    canvas, window, channels = use.stage.canvas, use.stage.windows[0], contract.latent_channels
    cells = canvas.to_latent(contract.factor)
    if not use.in_bands:
        latents = cells.area * channels * _FLOAT_BYTES * _LATENT_COPIES
        return latents + canvas.area * _DEVICE_PIXEL_BYTES, canvas.area * _HOST_PIXEL_BYTES
    row = cells.width * _FLOAT_BYTES
    sums = row * min(window.height, cells.height) * 2 * (channels + 1)
    rows = min(choose_band_cells(cells.width) + 2 * MARGIN_CELLS, cells.height)
    updated = row * rows * channels * (_UPDATE_COPIES + 2 * (1 + use.history))
    band = min(BAND_BYTES, row * min(TILE_CELLS, cells.height) * contract.factor**2 * 3)
    if contract.autoencoder == "tiny":
        strip_px = min(canvas.width, STRIP_CELLS * contract.factor)
        band = min(band, max(STEP_PX, strip_px * contract.factor) * 3 * _FLOAT_BYTES)
    return sums + updated + _DECODE_COPIES * band, min(_MAPPED_BYTES, use.work_bytes) + band


def _find_coding(use: StageUse, contract: ModelContract, budget: RenderBudget, room: int) -> tuple[int, int, int]:
    """Return what the autoencoder takes: memory, disk in TMPDIR, and disk for maps beside the picture.

    A tiny autoencoder works on so many pixels at once. A KL one runs whole where that is little and fits, else in
    tiles: all maps go beside a picture in bands where there is room for them, and then memory holds a tile; if not,
    memory holds what it can. The minimum may be more than the room.
    """
    if contract.autoencoder == "tiny":
        held = min(use.coded.area, STEP_PX + _KEPT_ROWS * min(use.coded.width, _STRIP_PX))
        return held * (_ENCODE_PIXEL_BYTES if not use.decodes else _DECODE_PIXEL_BYTES), 0, 0
    channels, cells, factor = contract.autoencoder_channels, use.coded.to_latent(contract.factor), contract.factor
    whole = estimate_kl_bytes(channels, cells, _FLOAT_BYTES, factor=factor)
    if runs_whole(whole, room, separate=budget.separate):
        return whole, 0, 0
    least = estimate_tiled(channels, cells, _FLOAT_BYTES, LEAST_BYTES, factor=factor)
    tiled = estimate_tiled(channels, cells, _FLOAT_BYTES, max(room, LEAST_BYTES), factor=factor)
    beside = None if budget.disk_bytes is None else budget.disk_bytes - use.work_bytes - _count_marks(use, contract)
    if use.in_bands and not budget.separate and (beside is None or least.disk_bytes <= beside):
        return least.memory_bytes, tiled.disk_bytes, least.disk_bytes
    return tiled.memory_bytes, tiled.disk_bytes, 0


def _count_marks(use: StageUse, contract: ModelContract) -> int:
    """Count the disk for what says in the journal how far a KL autoencoder is."""
    cells = use.coded.to_latent(contract.factor)
    return estimate_marks(contract.autoencoder_channels, cells, _FLOAT_BYTES, factor=contract.factor)


def _count_enlarging(use: StageUse, upscaler: UpscalerShape | None) -> int:
    """Return the peak of a network that enlarges the picture below; resampling takes no more than a canvas.

    A network has a scale of its own, so its result may be far larger than the canvas it is shrunk to; in bands, only
    the tiles of some rows of it are kept.
    """
    if upscaler is None or upscaler.scale < 2 or use.below is None:
        return 0
    left, right = (0.0, use.below.width) if use.stage.taken is None else (use.stage.taken[0], use.stage.taken[2])
    wanted, area, factor = use.stage.canvas.width / (right - left), use.below.area, float(upscaler.scale)
    while factor < wanted:
        area, factor = area * upscaler.scale**2, factor * upscaler.scale
    tile = min(area, (TILE_PX + 2 * HALO_PX) ** 2) * upscaler.widest_scale**2
    grown = area * (_ENLARGED_FROM_BYTES + _ENLARGED_TO_BYTES * upscaler.scale**2)
    kept = min(grown, _ENLARGED_KEPT_BYTES) if use.in_bands else grown
    return kept + tile * upscaler.channels * _FLOAT_BYTES * _UPSCALER_MAPS


def _count_seconds(use: StageUse, contract: ModelContract, budget: RenderBudget) -> float:
    """Return what a stage takes: calls of the denoiser, with control networks by their size, then the autoencoder.

    Strips of a tiny autoencoder compute their margins as well; in a KL one every cell reads every other.
    """
    cost, cells = budget.cost, use.stage.windows[0].size.area
    networks = 1.0 + budget.control_parameters / max(1, contract.denoiser_parameters or budget.control_parameters)
    drawn = (use.calls * cost.call_s + use.stage.evaluations * cells * cost.cell_s) * networks
    tiny, factor = contract.autoencoder == "tiny", contract.factor
    margin, rows = (_STRIP_MARGIN_CELLS, _DECODE_ROWS_CELLS) if tiny else (0, 0)
    encoded = _grow(use.coded.width, factor, margin) * _grow(use.coded.height, factor, margin)
    decoded = _grow(use.coded.width, factor, margin) * _grow(use.coded.height, factor, rows)
    pairs = 0 if tiny else use.coded.to_latent(factor).area ** 2
    return (
        drawn
        + use.encodes * (encoded * cost.encode_s + pairs * cost.attend_s)
        + use.decodes * (decoded * cost.decode_s + pairs * cost.attend_s)
    )


def _grow(side_px: int, factor: int, margin_cells: int) -> int:
    """Return the length of all strips of a side with their margins, which end at the edge of the picture."""
    inner = -(-side_px // (STRIP_CELLS * factor)) - 1
    return side_px + 2 * min(margin_cells * factor, side_px) * inner
