"""A large picture beside the base it grew from, at the size of the base: how far they agree.

A result shows the largest centred part of its base that has its own aspect. Knows nothing of how it
grew. Start reading at `make_pair`, then `measure_consistency` and `measure_drift`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import deltaE_ciede2000

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import fit_box
from sfumato.critic.picture.colour import to_lab
from sfumato.critic.picture.picture_reader import PictureReader

Array = NDArray[np.float32]

# PSNR of two equal pictures is infinite; beyond this no eye and no median can tell.
MOST_DB = 60.0
OCTAVES = 3
# Small parts are looked for at so many times the size of the base.
FINE_SCALE = 2
# Drift is what is wider than a sixteenth of the short side.
DRIFT_CELLS = 16
# The side of the part of a result that is read at once, in px.
_PART_PX = 1 << 10


@dataclass(frozen=True, eq=False)
class Pair:
    """Hold a result reduced to the size of its base, and that base cropped alike: float32 [h, w, 3], levels 0-255.

    `box` is the part of the result (px, may lie between pixels) that both show; `scale` px of the
    result are one of the base.
    """

    shown: Array
    base: Array
    box: tuple[float, float, float, float]
    scale: float

    def swap(self) -> Pair:
        """Return the pair the other way round: what the base has and the result has not."""
        return Pair(self.base, self.shown, self.box, self.scale)


def make_pair(result: PictureReader, base: Image.Image) -> Pair:
    """Reduce a result by areas to the size of its base and crop the base to what the result shows.

    Raises:
        RequestError: the result is smaller than the base, or shows too little of it to compare.
    """
    scale = max(result.width / base.width, result.height / base.height)
    if scale < 1.0:
        got = f"result {result.width}x{result.height}, base {base.width}x{base.height}"
        raise RequestError("a result is compared with a smaller base", got=got)
    left, top = (base.width - result.width / scale) / 2, (base.height - result.height / scale) / 2
    # Only whole pixels of the base are compared; the rounding keeps 31.9999 from losing a column.
    first = (math.ceil(round(left, 6)), math.ceil(round(top, 6)))
    inner = (*first, math.floor(round(base.width - left, 6)), math.floor(round(base.height - top, 6)))
    size = (inner[2] - inner[0], inner[3] - inner[1])
    if min(size) < DRIFT_CELLS:
        raise RequestError("too little of the base is shown to compare", got=f"{size[0]}x{size[1]} px")
    box = (
        max(0.0, (inner[0] - left) * scale),
        max(0.0, (inner[1] - top) * scale),
        min(float(result.width), (inner[2] - left) * scale),
        min(float(result.height), (inner[3] - top) * scale),
    )
    cropped = base.convert("RGB").crop(inner)
    shown = np.empty((size[1], size[0], 3), np.float32)
    _reduce_parts(result, shown, box, None)
    return Pair(shown, np.asarray(cropped, np.float32), box, scale)


def make_fine_pair(result: PictureReader, base: Image.Image) -> Pair:
    """Reduce a result to twice the size of its base, where it has as many pixels, and enlarge the base alike.

    Raises: as `make_pair`.
    """
    if max(result.width / base.width, result.height / base.height) < FINE_SCALE:
        return make_pair(result, base)
    size = (base.width * FINE_SCALE, base.height * FINE_SCALE)
    return make_pair(result, base.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def renew_pair(pair: Pair, result: PictureReader, boxes: Sequence[PixelBox]) -> Pair:
    """Return the pair of a result that has changed in some boxes (px) since; as if it had been made anew."""
    shown = pair.shown.copy()
    _reduce_parts(result, shown, pair.box, boxes)
    return replace(pair, shown=shown)


def _reduce_parts(
    result: PictureReader, shown: Array, box: tuple[float, float, float, float], boxes: Sequence[PixelBox] | None
) -> None:
    """Reduce the part `box` of a result by areas, in parts as it may be larger than memory; only those under some boxes."""
    height, width = shown.shape[:2]
    across = _list_spans(width, (box[0], box[2]), result.width)
    for rows, above, below in _list_spans(height, (box[1], box[3]), result.height):
        for columns, before, behind in across:
            part = PixelBox(math.floor(before), math.floor(above), math.ceil(behind), math.ceil(below))
            if boxes is not None and not any(part.find_overlap(one) for one in boxes):
                continue
            read = result.crop((part.left, part.top, part.right, part.bottom)).convert("RGB")
            inner = (before - part.left, above - part.top, behind - part.left, below - part.top)
            size = (columns.stop - columns.start, rows.stop - rows.start)
            shown[rows, columns] = _average(read, size, inner)


def _average(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Array:
    """Return the mean of each of width x height equal cells of a part of an RGB picture, float32 [height, width, 3].

    Pillow's box filter takes or leaves whole pixels by their centres, so it is right only where cells are whole pixels.
    """
    paces = ((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])
    if all(side == round(side) for side in (*box, *paces)):
        return np.asarray(picture.resize(size, Image.Resampling.BOX, box=box), np.float32)
    down = _weigh_cells(size[1], (box[1], box[3]), picture.height)
    across = _weigh_cells(size[0], (box[0], box[2]), picture.width)
    values = np.asarray(picture, np.float32)
    rows = (down @ values.reshape(picture.height, -1)).reshape(size[1], picture.width, 3)
    return np.ascontiguousarray(np.einsum("ij,kjc->kic", across, rows, optimize=True), np.float32)


def _weigh_cells(cells: int, ends: tuple[float, float], side: int) -> Array:
    """Return the share that each pixel of a side has in each of some equal cells between two ends, [cells, side]."""
    marks = np.linspace(*ends, cells + 1)
    places = np.arange(side)
    shared = np.minimum(marks[1:, None], places + 1) - np.maximum(marks[:-1, None], places)
    return (np.maximum(shared, 0.0) / (marks[1:] - marks[:-1])[:, None]).astype(np.float32)


def _list_spans(cells: int, ends: tuple[float, float], side: int) -> list[tuple[slice, float, float]]:
    """Return spans of cells of a reduced side, each with where it begins and ends on a side of px."""
    pace = (ends[1] - ends[0]) / cells
    step = max(1, int(_PART_PX / pace))
    # The rounding keeps a border that lies between two pixels by less than float32 from reading one more.
    spans = [slice(first, min(first + step, cells)) for first in range(0, cells, step)]
    places = [min(float(side), round(ends[0] + at * pace, 6)) for at in (*(span.start for span in spans), cells)]
    return list(zip(spans, places, places[1:], strict=False))


def crop_base(base: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return what a result of a size (width, height) shows of its base, to the nearest pixel of the base."""
    box = fit_box(PixelSize(*base.size), PixelSize(*size))
    fitted = (max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1])))
    return base.convert("RGB").resize(fitted, Image.Resampling.BICUBIC, box=box)


@dataclass(frozen=True, slots=True)
class Consistency:
    """Hold the PSNR in dB of a reduced result against its base, whole and in octaves from the finest to the coarsest."""

    psnr_db: float
    octaves_db: tuple[float, ...]


def measure_consistency(pair: Pair) -> Consistency:
    """Measure how much of the base is still there."""
    rest = pair.shown - pair.base
    octaves = []
    for _ in range(OCTAVES):
        low = _halve(rest)
        fine = rest[: 2 * low.shape[0], : 2 * low.shape[1]] - low.repeat(2, axis=0).repeat(2, axis=1)
        octaves.append(_psnr(fine))
        rest = low
    return Consistency(_psnr(pair.shown - pair.base), (*octaves, _psnr(rest)))


@dataclass(frozen=True, slots=True)
class Drift:
    """Hold the CIEDE2000 distance of wide areas from the base: mean and 95th percentile."""

    mean: float
    p95: float


def measure_drift(pair: Pair) -> Drift:
    """Measure how colours of wide areas moved; what is small or new moves nothing here."""
    cells = [_reduce(to_lab(side)) for side in (pair.shown, pair.base)]
    # A new thing fills a cell and changes it; the median of the cells around leaves only what is wide.
    field = ndimage.median_filter(cells[0] - cells[1], size=(3, 3, 1), mode="nearest")
    distance = deltaE_ciede2000(cells[1], cells[1] + field)
    return Drift(float(distance.mean()), float(np.percentile(distance, 95)))


def _reduce(lab: Array) -> Array:
    height, width = lab.shape[:2]
    cell = max(1, min(height, width) // DRIFT_CELLS)
    cut = lab[: height // cell * cell, : width // cell * cell]
    return cut.reshape(height // cell, cell, width // cell, cell, 3).mean(axis=(1, 3))


def _halve(values: Array) -> Array:
    height, width = values.shape[0] // 2, values.shape[1] // 2
    return values[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))


def _psnr(rest: Array) -> float:
    error = float(np.square(rest, dtype=np.float64).mean())
    return MOST_DB if error == 0 else min(MOST_DB, 10.0 * float(np.log10(255.0**2 / error)))
