"""A picture that a network has enlarged, computed tile by tile as parts of it are asked for.

Knows that a network reads around each pixel, and how to find out how far; no file and no final size.
Start reading at `GrownPicture`, then `measure_radius`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.upscaler.detect_shape import FOLD_PX
from sfumato.models.upscaler.grown_rows import to_pixels
from sfumato.nn.tiled import Extent, SourceSink, run_local
from sfumato.nn.tiled.regions import Region, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from sfumato.core.resampling import Pixels, ReadPixels
    from sfumato.nn.tiled import Local

# Finished tiles kept at most for the next row of boxes; those of a picture 16384 px wide take 38 MiB a row.
KEPT_BYTES = 128 * 2**20
_STRIP_ROWS = FOLD_PX


class GrownPicture:
    """Enlarge a picture by the scale of a network. A leaf.

    Tiles lie on a fixed grid and are the same whatever is asked for. As many rows of them as the tallest
    box touched are kept, up to `KEPT_BYTES`.
    """

    def __init__(self, layer: Local, tile: PixelSize, read: ReadPixels, source: PixelSize) -> None:
        """Take what gives any box of the source as uint8 [height, width, 3]; `tile` is the size of one, of the source."""
        self.size = PixelSize(source.width * layer.scale, source.height * layer.scale)
        self._layer, self._source, self._read_source = layer, source, read
        self._tile = PixelSize(tile.width * layer.scale, tile.height * layer.scale)
        self._kept: OrderedDict[PixelBox, Pixels] = OrderedDict()
        self._rows = 1

    def read(self, box: PixelBox) -> Pixels:
        """Return a box of the enlarged picture as uint8 [height, width, 3].

        Raises:
            ModelError: the network gave numbers that are no picture.
        """
        found = np.empty((*box.size.shape_hw, 3), np.uint8)
        for tile in self._list_tiles(box):
            part = tile.find_overlap(box)
            assert part is not None, "a tile that is listed touches the box"
            pixels = self._find_tile(tile)[part.shift(-tile.left, -tile.top).slices_hw]
            found[part.shift(-box.left, -box.top).slices_hw] = pixels
        return found

    def _list_tiles(self, box: PixelBox) -> Iterator[PixelBox]:
        high, wide = self._tile.shape_hw
        tops = range(box.top // high * high, box.bottom, high)
        self._rows = max(self._rows, len(tops))
        for top in tops:
            for left in range(box.left // wide * wide, box.right, wide):
                yield PixelBox(left, top, left + wide, top + high).clip(self.size)

    def _find_tile(self, tile: PixelBox) -> Pixels:
        if tile not in self._kept:
            self._kept[tile] = self._compute(tile)
            row = -(-self.size.width // self._tile.width)
            most = min(self._rows * row + 1, KEPT_BYTES // (3 * self._tile.area))
            while len(self._kept) > max(1, most):
                self._kept.popitem(last=False)
        self._kept.move_to_end(tile)
        return self._kept[tile]

    def _compute(self, tile: PixelBox) -> Pixels:
        done: list[Pixels] = []
        device = torch.device("cpu")
        ends = SourceSink(
            read=self._read_region, write=lambda _, x: done.append(to_pixels(x)), dtype=torch.float32, device=device
        )
        region = Region(Span(tile.top, tile.bottom), Span(tile.left, tile.right))
        run_local([self._layer], Extent(3, *self._source.shape_hw), ends, [region])
        return done[0]

    def _read_region(self, region: Region) -> Tensor:
        rows, columns = region.rows, region.columns
        pixels = self._read_source(PixelBox(columns.start, rows.start, columns.stop, rows.stop))
        return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255.0


def measure_radius(network: Callable[[Tensor], Tensor], scale: int, most_px: int) -> int | None:
    """Measure how many px of its input a network reads to each side of a pixel; None where it is `most_px` or more.

    A value that is no number marks everything that depends on it, whatever the weights. Exact for places on a
    grid of `FOLD_PX`, also where a network folds pixels into channels.
    """
    most = -(-most_px // FOLD_PX) * FOLD_PX
    strip = torch.zeros(1, 3, _STRIP_ROWS, 2 * most + FOLD_PX)
    strip[..., most : most + FOLD_PX] = float("nan")
    marked = network(strip).isnan().flatten(0, 2).any(0).nonzero()
    if not len(marked):
        return None
    first, last = int(marked.min()) // scale, int(marked.max()) // scale
    radius = max(most - first, last + 1 - most - FOLD_PX)
    return radius if radius < most_px else None
