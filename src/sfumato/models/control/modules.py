"""Control pictures made from others: modules that need no weights of their own.

Knows pixels; no network and no request. Start reading at `make_control_picture`.

Source: Canny 1986, "A Computational Approach to Edge Detection".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.validate import check_float

if TYPE_CHECKING:
    from collections.abc import Sequence

NONE, CANNY = "none", "canny"
MODULES = (NONE, CANNY)
CROP, STRETCH, FILL = "crop", "stretch", "fill"
FITS = (CROP, STRETCH, FILL)
# Slopes by the Sobel filter, of brightness 0 to 255: a line begins above the second and ends below the first. A step
# from one pixel to the next has four times its height before it is smoothed. The usual ones of other programs.
THRESHOLDS = (100.0, 200.0)
# Smoothing before the slopes are taken, in px: grain of a photograph makes no edges.
_SIGMA_PX = 1.0
# Edges of a larger picture are found at this area, and enlarged.
MOST_PX = 2**22


def check_module(module: str) -> None:
    """Check that a word names a module.

    Raises:
        RequestError: it names none that is here.
    """
    if module not in MODULES:
        do = f"Use {' or '.join(MODULES)}, or prepare the picture elsewhere and say none."
        raise RequestError("there is no such module for control pictures", got=module[:100], do=do)


def make_control_picture(
    picture: Image.Image,
    module: str = NONE,
    *,
    size: PixelSize | None = None,
    fit: str = CROP,
    thresholds: Sequence[float] | None = None,
) -> Image.Image:
    """Return the control picture, RGB, of an RGB picture: itself (none), or white lines on black where it has edges (canny).

    With a `size` it is brought to that, or to its shape at 4 megapixels: cropped, stretched, or filled with black at
    its sides. `thresholds` are the two of canny.

    Raises:
        RequestError: an unknown module or fit, or thresholds out of range or without effect.
    """
    check_module(module)
    low, high = thresholds or THRESHOLDS
    for threshold in (low, high):
        check_float("a threshold of canny", threshold, low=0.0, high=255.0)
    if thresholds is not None and module != CANNY:
        raise RequestError("thresholds have no effect without canny", got=module, do="Leave them out.")
    if size is not None:
        picture = _fit(picture, size, fit)
    if module == NONE:
        return picture.convert("RGB")
    # A second of imports that no other picture needs.
    from skimage.feature import canny

    grey = np.asarray(picture.convert("L"), np.float64)
    lines = canny(grey, _SIGMA_PX, min(low, high), max(low, high))
    return Image.fromarray(lines.astype(np.uint8) * 255).convert("RGB")


def _fit(picture: Image.Image, size: PixelSize, fit: str) -> Image.Image:
    if fit not in FITS:
        raise RequestError("a control picture is fitted in another way", got=fit, do=f"Use {', '.join(FITS)}.")
    scale = min(1.0, (MOST_PX / size.area) ** 0.5)
    box = (max(1, round(size.width * scale)), max(1, round(size.height * scale)))
    if picture.size == box:
        return picture
    if fit == STRETCH:
        return picture.resize(box, Image.Resampling.LANCZOS)
    fitted = ImageOps.fit if fit == CROP else ImageOps.pad
    return fitted(picture, box, Image.Resampling.LANCZOS)
