"""Colours as people see them, and how a whole picture looks: where its colours lie and which way its edges run.

It knows pixels, not what they mean. The distance of two colours is scikit-image's CIEDE2000. Start reading at `to_lab`.

Source of the edges: Dalal and Triggs 2005, histograms of oriented gradients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab
from skimage.feature import hog

Array = NDArray[np.float32]
# Raised when `measure_look` changes: older vectors are made again.
LOOK_VERSION = 1
_SIDE_PX, _CELLS, _DIRECTIONS = 64, 4, 8
# A vector is 4 x 4 cells of three colour numbers and eight directions.
LOOK_LENGTH = _CELLS * _CELLS * (3 + _DIRECTIONS)
# Lightness spans 100 and colour about 60 to each side; the eye weighs a colour more than its lightness.
_COLOUR_SCALE = np.array((1 / 100, 1 / 60, 1 / 60))
_EDGE_WEIGHT = 0.8


def to_lab(levels: NDArray[np.generic]) -> Array:
    """Turn sRGB levels 0-255 [..., 3] of any number type into CIELAB (D65) [..., 3], float32."""
    return rgb2lab(levels.astype(np.float32) / np.float32(255.0)).astype(np.float32, copy=False)


def measure_look(picture: Image.Image) -> NDArray[np.float32]:
    """Return the look of an RGB picture of any size: float32 [LOOK_LENGTH]; the distance of two is Euclid's."""
    small = np.asarray(picture.convert("RGB").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX))
    lab = to_lab(small) * _COLOUR_SCALE
    cell_px = _SIDE_PX // _CELLS
    colours = lab.reshape(_CELLS, cell_px, _CELLS, cell_px, 3).mean(axis=(1, 3)).ravel() / _CELLS
    edges = hog(
        lab[..., 0],
        orientations=_DIRECTIONS,
        pixels_per_cell=(cell_px, cell_px),
        cells_per_block=(_CELLS, _CELLS),
        feature_vector=True,
    )
    return np.concatenate([colours, _EDGE_WEIGHT * edges]).astype(np.float32)
