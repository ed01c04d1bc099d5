"""Colours as people see them: sRGB levels to CIELAB.

Arrays in, arrays out; knows no picture. The distance of two colours is scikit-image's CIEDE2000.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

Array = NDArray[np.float32]


def to_lab(levels: NDArray[np.generic]) -> Array:
    """Turn sRGB levels 0-255 [..., 3] of any number type into CIELAB (D65) [..., 3], float32."""
    return rgb2lab(levels.astype(np.float32) / np.float32(255.0)).astype(np.float32, copy=False)
