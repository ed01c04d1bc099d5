"""The picture with its base beneath: one view to slide between them, and crops where they differ most.

Knows pictures and boxes; no model. Start reading at `View`, then `write_view` and `write_crops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.pixels import PixelStore, make_small
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import fit_box
from sfumato.workflows.report.frame import WIDEST_PICTURE_PX, write_figure, write_image

# A small picture is shown enlarged to this side, a large one reduced to what fits a screen.
LEAST_SHOWN_PX, WIDEST_SHOWN_PX, HIGHEST_SHOWN_PX = 720, 1040, 860
# Crops of a large picture are shown about pixel by pixel; those of a small one are this share of its shorter side.
CROP_PX, CROP_FRAC, CROP_ASPECT, CROPS = 360, 0.45, 4 / 3, 3
# Crops are looked for at so many places to a crop's side.
CROP_STEPS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """Hold a finished picture, the base it grew from (None without one), and the canvas that the base shows.

    `marks` are boxes of the picture, in px, that the self-check found. `is_photo` says that the base is a picture of
    the user, not a drawn one.
    """

    picture: PixelStore
    base: Image.Image | None
    canvas: PixelSize
    name: str
    marks: tuple[PixelBox, ...] = ()
    is_photo: bool = False

    @cached_property
    def shown(self) -> Image.Image:
        """Return the picture, reduced where it is large."""
        return make_small(self.picture, WIDEST_PICTURE_PX)

    @cached_property
    def enlarged(self) -> Image.Image | None:
        """Return the base, only enlarged, at the size of `shown`."""
        whole = self.picture.size.box
        return self.enlarge(whole, PixelSize(*self.shown.size)) if self.base else None

    def enlarge(self, box: PixelBox, size: PixelSize) -> Image.Image:
        """Return the part of the base that a box of the picture shows, by Lanczos, at a size in px."""
        assert self.base is not None, "only a base can be enlarged"
        left, top, right, bottom = fit_box(PixelSize(*self.base.size), self.canvas)
        across, down = (right - left) / self.canvas.width, (bottom - top) / self.canvas.height
        first = (left + box.left * across, top + box.top * down)
        part = (*first, min(right, first[0] + box.width * across), min(bottom, first[1] + box.height * down))
        return self.base.resize((size.width, size.height), Image.Resampling.LANCZOS, box=part)


def write_view(view: View) -> str:
    """Return the picture with its base under a slider, a link to the file, and switches that need no script."""
    size = _choose_shown_size(view.picture.size)
    result = write_image(view.shown, "The result", size=size)
    word = "Your picture enlarged" if view.is_photo else "Base enlarged"
    # A name with a colon would be read as the scheme of an address.
    link = f'<a href="./{quote(view.name, errors="replace")}">Open {escape(view.name)}</a>'
    caption = f"<figcaption>{link}, {view.picture.size.width} × {view.picture.size.height} px</figcaption>"
    inputs, labels, layers = [], [], [result]
    if view.enlarged is not None:
        choices = (("result", "Result", 0), ("half", "Half and half", 50), ("base", word, 100))
        for key, said, percent in choices:
            checked = " checked" if key == "result" else ""
            inputs.append(f"<input class=see type=radio name=see id=see-{key} value={percent}{checked}>")
            labels.append(f"<label for=see-{key}>{said}</label>")
        layers.append(write_image(view.enlarged, word, size=size, name="over"))
        layers.append(
            '<input class=slide type=range min=0 max=100 value=0 hidden aria-label="Share of the width that shows the base">'
        )
        layers.append("<span class=edge></span>")
    if view.marks:
        inputs.append("<input class=see type=checkbox id=see-marks>")
        labels.append("<label for=see-marks>Mark added things</label>")
        layers.append(_draw_marks(view.picture.size, view.marks))
    views = f"<div class=views>{''.join(labels)}</div>" if labels else ""
    return f"<figure class=hero>{''.join(inputs)}<div class=stage>{''.join(layers)}</div>{views}{caption}</figure>"


def _choose_shown_size(size: PixelSize) -> PixelSize:
    scale = max(1.0, LEAST_SHOWN_PX / max(size.width, size.height))
    scale = min(scale, WIDEST_SHOWN_PX / size.width, HIGHEST_SHOWN_PX / size.height)
    return PixelSize(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def _draw_marks(size: PixelSize, marks: Sequence[PixelBox]) -> str:
    boxes = "".join(f'<rect x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}"/>' for box in marks)
    return f'<svg class=marks viewBox="0 0 {size.width} {size.height}" preserveAspectRatio=none aria-hidden=true>{boxes}</svg>'


def write_crops(view: View) -> str:
    """Return crops of base and result, side by side, where they differ most; nothing without a base."""
    if view.base is None or view.enlarged is None:
        return ""
    first = "Your picture" if view.is_photo else "Base"
    pairs: list[str] = []
    for box in _list_crops(view):
        enlarged = view.enlarge(box, PixelSize(box.width, box.height))
        result = Image.fromarray(view.picture.read(box))
        caption = f"{first}, only enlarged: {box.width} × {box.height} px at {box.left}, {box.top}"
        pairs.append(f"<div class=pair>{write_figure(enlarged, caption)}{write_figure(result, 'The result')}</div>")
    if not pairs:
        return ""
    return f"<section><h2>Where base and result differ most</h2>{''.join(pairs)}</section>"


def _list_crops(view: View) -> list[PixelBox]:
    assert view.enlarged is not None, "crops compare a base"
    difference = np.abs(np.asarray(view.shown, np.float32) - np.asarray(view.enlarged, np.float32)).mean(axis=2)
    return list_crops(difference, view.picture.size, CROPS)


def list_crops(difference: NDArray[np.float32], size: PixelSize, count: int) -> list[PixelBox]:
    """Return at most `count` boxes of a picture, in px, where a `difference` [h, w] is largest; none where it is 0.

    The difference covers the whole picture and may be reduced.
    """
    high = max(1, min(CROP_PX, round(CROP_FRAC * min(size.width, size.height))))
    crop = PixelSize(min(size.width, round(CROP_ASPECT * high)), high)
    height, width = difference.shape
    scale = size.width / width
    small = PixelSize(min(width, max(1, round(crop.width / scale))), min(height, max(1, round(crop.height / scale))))
    found: list[PixelBox] = []
    for box in find_unlike_boxes(difference, small, count):
        left, top = (round(side * scale) for side in (box.left, box.top))
        left, top = min(left, size.width - crop.width), min(top, size.height - crop.height)
        found.append(PixelBox(left, top, left + crop.width, top + crop.height))
    return found


def find_unlike_boxes(difference: NDArray[np.float32], crop: PixelSize, count: int) -> list[PixelBox]:
    """Return at most `count` boxes of a size, apart from each other, with the largest sums of `difference` [h, w] above 0.

    The box with the largest sum comes first.
    """
    height, width = difference.shape
    assert PixelSize(width, height).box.contains(crop.box), "a crop lies in the picture"
    total = np.pad(difference.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    xs, ys = _list_starts(width, crop.width), _list_starts(height, crop.height)
    boxes = [PixelBox(x, y, x + crop.width, y + crop.height) for y in ys for x in xs]

    def weigh(box: PixelBox) -> float:
        corners = total[box.bottom, box.right] - total[box.top, box.right] - total[box.bottom, box.left]
        return float(corners + total[box.top, box.left])

    weights = sorted(((weigh(box), -index) for index, box in enumerate(boxes)), reverse=True)
    found: list[PixelBox] = []
    # Rounding leaves sums of about 1e-9 where nothing differs.
    for weight, index in weights:
        box = boxes[-index]
        if len(found) == count or weight <= 1e-6 * difference.size:
            break
        if not any(box.find_overlap(other) for other in found):
            found.append(box)
    return found


def _list_starts(side: int, crop: int) -> list[int]:
    """Return where crops begin along a side; one ends at the edge."""
    return sorted({*range(0, side - crop + 1, max(1, crop // CROP_STEPS)), side - crop})
