"""Draws one posed hand: camera, light, shader, light under the skin, and the mix with what lies behind.

Start reading at `draw_hand_layer`, then `lay_over`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.world.hands3d.camera import Camera
from sfumato.world.hands3d.labels import SLEEVE
from sfumato.world.hands3d.light import DIRECTIONS, KEY_MAP, HandLight, face_light, shine_dome
from sfumato.world.hands3d.mesh import Floats
from sfumato.world.hands3d.posed import PosedHand
from sfumato.world.hands3d.raster import draw_depth, pool_labels, rasterise
from sfumato.world.hands3d.rig import RestHand
from sfumato.world.hands3d.shade import NOISE, KeyLight, Look, Shading, Triangles, shade
from sfumato.world.hands3d.skin import Skin, encode_srgb, find_marks, paint_vertices

SUPERSAMPLING = 2
UNDER_SKIN_DM = (0.022, 0.009, 0.005)
"""How far red, green and blue light spreads under the skin (2.2, 0.9 and 0.5 mm)."""
UNDER_SKIN_SHARE = 0.85
WHITE = 2.2
"""Linear light of this and more becomes white."""


@dataclass(frozen=True)
class HandLayer:
    """A hand without its background: sRGB colour, how much of each pixel it covers, and the labels."""

    colour: Floats  # [H, W, 3]
    cover: Floats  # [H, W]
    parts: NDArray[np.uint8]  # [H, W]


def draw_hand_layer(
    rest: RestHand,
    hand: PosedHand,
    camera: Camera,
    light: HandLight,
    skin: Skin,
    *,
    size: int,
    extra_of: int = 0,
) -> HandLayer:
    """Draw a hand `size` pixels wide and high; `extra_of` is the digit that an extra one copies, 0 for none."""
    fine = size * SUPERSAMPLING
    points = camera.project(hand.vertices)
    points[:, :2] *= fine
    surface = rasterise(points, hand.triangles, fine)
    towards_key = camera.axes @ light.key_direction
    seen = face_light(hand.vertices, towards_key, KEY_MAP)
    key = KeyLight(
        towards_key.astype(np.float32),
        light.key_colour,
        light.softness,
        draw_depth(seen, hand.triangles, KEY_MAP),
        seen,
        camera.place.astype(np.float32),
    )
    # The cage casts the dome's shadows where it has all the parts: it has a quarter of the triangles.
    whole = len(hand.vertices) == len(rest.mesh.split_rows) - 1
    casting = rest.mesh.cage_triangles if whole else hand.triangles
    dome = shine_dome(hand.vertices, hand.normals, casting, DIRECTIONS @ camera.axes.T, light.dome)
    attributes = np.concatenate(
        [
            hand.vertices,
            hand.normals,
            hand.rest_vertices,
            dome,
            paint_vertices(rest, hand, skin.redness),
            hand.digit_weights[:, None],
            hand.forearm[:, None],
        ],
        axis=1,
        dtype=np.float32,
    )
    triangles = Triangles(hand.triangles, hand.uv, hand.digits, hand.sleeve)
    look = Look(find_marks(rest, hand, extra_of), skin.detail, skin.colours, rest.mesh.nail_mask, NOISE)
    shading = shade(surface, triangles, np.ascontiguousarray(attributes), key, look)
    dm_px = fine * camera.scale * float(np.median(points[:, 2]))
    return _develop(shading, light.exposure, dm_px)


def _develop(shading: Shading, exposure: float, dm_px: float) -> HandLayer:
    """Spread light under the skin, expose, and average the fine pixels."""
    mask = shading.parts > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    size = len(mask) // SUPERSAMPLING
    colour, cover = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    parts = pool_labels(shading.parts, SUPERSAMPLING)
    if not len(rows):
        return HandLayer(colour, cover, parts)
    step = SUPERSAMPLING
    top, left = rows[0] // step * step, columns[0] // step * step
    cut = np.s_[top : -(-(rows[-1] + 1) // step) * step, left : -(-(columns[-1] + 1) // step) * step]
    _spread(shading.diffuse[cut], shading.parts[cut], dm_px)
    light = (shading.albedo[cut] * shading.diffuse[cut] + shading.gloss[cut]) * np.float32(exposure)
    covered = mask[cut].astype(np.float32)
    share = _average(covered)
    light = _average(light * covered[..., None]) / np.maximum(share, np.float32(1e-3))[..., None]
    # Source: Reinhard et al., "Photographic tone reproduction for digital images", 2002, equation 4.
    light = light * (1 + light / np.float32(WHITE**2)) / (1 + light) * np.float32(1.25)
    place = np.s_[top // step : top // step + len(share), left // step : left // step + share.shape[1]]
    colour[place] = encode_srgb(np.clip(light, 0, 1))
    cover[place] = share
    return HandLayer(colour, cover, parts)


def _average(fine: Floats) -> Floats:
    step = SUPERSAMPLING
    return (fine[::step, ::step] + fine[1::step, ::step] + fine[::step, 1::step] + fine[1::step, 1::step]) / 4


def _spread(diffuse: Floats, parts: NDArray[np.uint8], dm_px: float) -> None:
    """Blur the light that falls on skin, red farthest, inside its outline; changes `diffuse`."""
    skin = ((parts > 0) & (parts != SLEEVE)).astype(np.float32)
    for channel, reach in enumerate(UNDER_SKIN_DM):
        sigma = reach * dm_px
        if sigma < 0.6:
            continue
        weight = ndimage.gaussian_filter(skin, sigma, truncate=2.0)
        soft = ndimage.gaussian_filter(diffuse[..., channel] * skin, sigma, truncate=2.0)
        soft /= np.maximum(weight, np.float32(1e-3))
        share = skin * np.float32(UNDER_SKIN_SHARE)
        diffuse[..., channel] += share * (soft - diffuse[..., channel])


def lay_over(layer: HandLayer, backdrop: Floats) -> Floats:
    """Return the hand over what lies behind, sRGB float32 [H, W, 3]."""
    cover = layer.cover[..., None]
    return layer.colour * cover + backdrop * (1 - cover)
