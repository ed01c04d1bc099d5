"""Colours as people see them: sRGB to CIELAB and back, and the distance CIEDE2000 between two of them.

Arrays in, arrays out; knows no picture. Start reading at `delta_e`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# IEC 61966-2-1: linear sRGB to XYZ, already divided by the white point D65.
_TO_XYZ = np.array(
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ],
    np.float32,
)
# CIE 15:2018, the two constants of the lightness curve in their exact form.
_EPSILON, _KAPPA = 216.0 / 24389.0, 24389.0 / 27.0


def to_lab(levels: NDArray[np.generic]) -> Array:
    """Turn sRGB levels 0-255 [..., 3] of any number type into CIELAB (D65) [..., 3]."""
    rgb = levels.astype(np.float32) / np.float32(255.0)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clip(min=0.0) + 0.055) / 1.055) ** 2.4)
    xyz = (linear @ _TO_XYZ.T).astype(np.float32)
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), (_KAPPA * xyz + 16.0) / 116.0)
    lab = np.stack([116.0 * f[..., 1] - 16.0, 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])], -1)
    return lab.astype(np.float32)


def to_levels(lab: NDArray[np.floating]) -> Array:
    """Turn CIELAB [..., 3] back into sRGB levels [..., 3], 0-255 and not rounded; what no screen shows is clipped."""
    y = (lab[..., 0] + 16.0) / 116.0
    f = np.stack([y + lab[..., 1] / 500.0, y, y - lab[..., 2] / 200.0], axis=-1)
    xyz = np.where(f**3 > _EPSILON, f**3, (116.0 * f - 16.0) / _KAPPA)
    linear = (xyz @ np.linalg.inv(_TO_XYZ.astype(np.float64)).T).clip(0.0, 1.0)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255.0 * rgb).astype(np.float32)


def delta_e(one: NDArray[np.floating], other: NDArray[np.floating]) -> Array:
    """Return the CIEDE2000 distance of CIELAB colours [..., 3]; about 1 is what a careful eye can tell.

    Source: Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula", eqs. 2-22.
    """
    lightness = (one[..., 0], other[..., 0])
    mean_c = (_norm(one) + _norm(other)) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)))
    a, b = (one[..., 1] * stretch, other[..., 1] * stretch), (one[..., 2], other[..., 2])
    c = (np.hypot(a[0], b[0]), np.hypot(a[1], b[1]))
    h = tuple(np.degrees(np.arctan2(b[i], a[i])) % 360.0 for i in (0, 1))
    turn = (h[1] - h[0] + 180.0) % 360.0 - 180.0
    grey = c[0] * c[1] == 0
    turn = np.where(grey, 0.0, turn)
    # The mean hue lies on the shorter way round; of a grey and a colour it is the colour's.
    mean_h = np.where(grey, h[0] + h[1], (h[0] + turn / 2) % 360.0)
    step_l, step_c = lightness[1] - lightness[0], c[1] - c[0]
    step_h = 2 * np.sqrt(c[0] * c[1]) * np.sin(np.radians(turn / 2))
    return _weigh((step_l, step_c, step_h), ((lightness[0] + lightness[1]) / 2, (c[0] + c[1]) / 2, mean_h))


def _weigh(steps: tuple[NDArray[np.floating], ...], means: tuple[NDArray[np.floating], ...]) -> Array:
    lightness, chroma, hue = means
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    blue = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(blue)
    l, c, h = steps[0] / s_l, steps[1] / s_c, steps[2] / s_h  # noqa: E741 the letters of the equation
    return np.sqrt((l * l + c * c + h * h + rotation * c * h).clip(min=0.0)).astype(np.float32)


def _norm(lab: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.hypot(lab[..., 1], lab[..., 2])
