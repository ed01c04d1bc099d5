"""A picture some times larger than it was drawn, in which parts that were drawn anew keep the detail they were drawn in.

The rest is enlarged by a plain filter while it is read, so a large picture takes no room. What is written from it, a
DeepZoom picture or a TIFF with levels, shows the parts sharper the nearer one comes. Knows no file, no finder and no
judge. Start reading at `open_deep_level`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.pixels import PixelStore
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.passes.focus_part import lay_back, make_mask

# So many px of the picture around what is enlarged: the filter reaches no farther.
_MARGIN_PX = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class DeepPart:
    """Hold a part as it was drawn: its crop `frame` and what changes in it, px of the picture, and uint8 [h, w, 3]."""

    frame: PixelBox
    core: PixelBox
    drawn: NDArray[np.uint8]
    oval: bool = False

    def measure_gain(self) -> float:
        """Return how many times finer the part was drawn than the picture is."""
        return self.drawn.shape[1] / self.frame.width


@dataclass(frozen=True, eq=False)
class _Patch:
    box: PixelBox
    laid: NDArray[np.uint8]
    inside: NDArray[np.bool_]


class DeepLevel:
    """Show a picture `times` larger, with patches of finer detail over it. A leaf; nothing is written to."""

    def __init__(self, below: PixelStore, times: int) -> None:
        """Take the picture and the whole factor."""
        assert times >= 1, "a level below is no deeper one"
        self._below, self._times = below, times
        self._patches = list[_Patch]()
        self.size = PixelSize(below.size.width * times, below.size.height * times)

    def add(self, part: DeepPart) -> None:
        """Lay a part over what is there, its edge soft and its colours matched as in the picture itself."""
        frame, core = (_enlarge(box, self._times) for box in (part.frame, part.core))
        size = (frame.width, frame.height)
        drawn = np.asarray(Image.fromarray(part.drawn).resize(size, Image.Resampling.LANCZOS))
        share = make_mask(frame, core, oval=part.oval)
        side = max(core.width, core.height)
        self._patches.append(_Patch(frame, lay_back(self.read(frame), drawn, share, side), share > 0.0))

    def read(self, box: PixelBox) -> NDArray[np.uint8]:
        """Return a copy of a box of the large picture."""
        found = self._enlarge_below(box)
        for patch in self._patches:
            part = patch.box.find_overlap(box)
            if part is not None:
                here, there = part.shift(-box.left, -box.top), part.shift(-patch.box.left, -patch.box.top)
                inside = patch.inside[there.slices_hw]
                found[here.slices_hw][inside] = patch.laid[there.slices_hw][inside]
        return found

    def write(self, box: PixelBox, values: NDArray[np.uint8]) -> None:
        """Nobody writes to a level that is only looked at."""
        raise AssertionError(f"a deep level is read: {box}, {values.shape}")

    def flush(self) -> None:
        """Nothing is held that could be lost."""

    def close(self) -> None:
        """Let go of the picture."""
        self._below.close()

    def _enlarge_below(self, box: PixelBox) -> NDArray[np.uint8]:
        """Return a box of the enlarged picture; the same pixels, however the picture is cut into boxes."""
        times = self._times
        inner = PixelBox(box.left // times, box.top // times, -(-box.right // times), -(-box.bottom // times))
        outer = inner.grow(_MARGIN_PX).clip(self._below.size)
        values = Image.fromarray(self._below.read(outer))
        large = np.asarray(values.resize((outer.width * times, outer.height * times), Image.Resampling.LANCZOS))
        return large[box.shift(-outer.left * times, -outer.top * times).slices_hw].copy()


def open_deep_level(pixels: PixelStore, parts: Sequence[DeepPart], times: int) -> DeepLevel:
    """Return a picture so many times larger, with parts in the order in which they were drawn."""
    level = DeepLevel(pixels, times)
    for part in parts:
        level.add(part)
    return level


def _enlarge(box: PixelBox, times: int) -> PixelBox:
    return PixelBox(box.left * times, box.top * times, box.right * times, box.bottom * times)
