"""The shader: for each pixel the light on skin, nail or cloth, its own colour, its gloss, and its label.

Compiled by numba. Skin detail is worked out in the rest pose, so that it stays on the skin when a finger bends.
It knows arrays only. Start reading at `shade`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.labels import ARM, PALM, SLEEVE, nail_id, segment_id
from sfumato.world.hands3d.mesh import NAIL_CUT, Floats, Ints
from sfumato.world.hands3d.raster import Surface
from sfumato.world.hands3d.skin import HandMarks, SkinColours, SkinDetail

# Columns of the vertex attributes.
POSITION, NORMAL, REST, DOME, PALMNESS, REDNESS, DIGIT, FOREARM = 0, 3, 6, 9, 12, 13, 14, 15
ATTRIBUTES = 16
SHADOW_BIAS_DM = 0.035
DIGIT_CUT = 0.5
"""A pixel is a digit's when its bones hold more than this of the skin."""
WRIST_AT = 0.99
"""The palm begins here along the forearm (0 elbow, 1 wrist joint)."""
_SEGMENT_IDS = np.array([[0, 0, 0], *([segment_id(d, s) for s in (1, 2, 3)] for d in range(1, 7))], np.uint8)
_NAIL_IDS = np.array([0, *(nail_id(digit) for digit in range(1, 7))], np.uint8)
_WRAP = np.array([0.32, 0.14, 0.08], np.float32)
"""How far key light bleeds round the edge of the lit side: in skin red goes farthest."""


class Triangles(NamedTuple):
    """What the shader knows of triangles: corners, UV, digit, and whether it is sleeve."""

    corners: Ints  # [T, 3]
    uv: Floats  # [T, 3, 2]
    digits: Ints  # [T]
    sleeve: NDArray[np.bool_]  # [T]


class KeyLight(NamedTuple):
    """The key light and its shadow map, and where the camera stands."""

    direction: Floats  # [3]
    colour: Floats  # [3]
    softness: float
    depth: Floats  # [M, M]
    seen: Floats  # [N, 3], vertices in the shadow map
    camera: Floats  # [3]


class Look(NamedTuple):
    """How a hand looks: where details lie, how strong they are, colours, the nails' mask and the noise of skin."""

    marks: HandMarks
    detail: SkinDetail
    colours: SkinColours
    nail_mask: NDArray[np.uint8]
    noise: Floats


class Shading(NamedTuple):
    """The result: diffuse light, own colour and gloss in linear light, and the label of each pixel."""

    diffuse: Floats  # [H, W, 3]
    albedo: Floats  # [H, W, 3]
    gloss: Floats  # [H, W, 3]
    parts: NDArray[np.uint8]  # [H, W]


def _make_noise() -> Floats:
    values = np.random.Generator(np.random.Philox(20261130)).standard_normal((64, 64, 64)).astype(np.float32)
    return np.ascontiguousarray((values + np.roll(values, 1, 0) + np.roll(values, 1, 1) + np.roll(values, 1, 2)) / 2)


NOISE = _make_noise()


def shade(surface: Surface, triangles: Triangles, attributes: Floats, key: KeyLight, look: Look) -> Shading:
    """Shade every pixel that sees a triangle; `attributes` is float32 [N, 16], see the column names above."""
    shape = (*surface.triangle.shape, 3)
    diffuse, albedo, gloss = (np.zeros(shape, np.float32) for _ in range(3))
    result = Shading(diffuse, albedo, gloss, np.zeros(shape[:2], np.uint8))
    _shade(surface, triangles, attributes, key, look, result)
    return result


@numba.njit(cache=True, error_model="numpy")
def _noise(volume: Floats, x: float, y: float, z: float) -> float:
    """Smooth noise of about unit deviation, by trilinear look-up; repeats every 64."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    a, b, c = int(i) & 63, int(j) & 63, int(k) & 63
    d, e, f = (a + 1) & 63, (b + 1) & 63, (c + 1) & 63
    low = (volume[a, b, c] * (1 - w) + volume[a, b, f] * w) * (1 - v)
    low += (volume[a, e, c] * (1 - w) + volume[a, e, f] * w) * v
    high = (volume[d, b, c] * (1 - w) + volume[d, b, f] * w) * (1 - v)
    high += (volume[d, e, c] * (1 - w) + volume[d, e, f] * w) * v
    return low * (1 - u) + high * u


@numba.njit(cache=True, error_model="numpy")
def _slope(volume: Floats, x: float, y: float, z: float, frequency: float) -> tuple[float, float, float]:
    """Differences of the noise over half a cell along each axis."""
    x, y, z = x * frequency, y * frequency, z * frequency
    here = _noise(volume, x, y, z)
    return (
        _noise(volume, x + 0.5, y, z) - here,
        _noise(volume, x, y + 0.5, z) - here,
        _noise(volume, x, y, z + 0.5) - here,
    )


@numba.njit(cache=True, error_model="numpy")
def _look_up(mask: NDArray[np.uint8], u: float, v: float) -> float:
    """Bilinear look-up in [0, 1]; v runs upwards."""
    height, width = mask.shape
    x, y = u * width - 0.5, (1 - v) * height - 0.5
    column, row = math.floor(x), math.floor(y)
    if column < 0 or row < 0 or column >= width - 1 or row >= height - 1:
        return 0.0
    a, b = x - column, y - row
    top = mask[row, column] * (1 - a) + mask[row, column + 1] * a
    return (top * (1 - b) + (mask[row + 1, column] * (1 - a) + mask[row + 1, column + 1] * a) * b) / 255.0


@numba.njit(cache=True, error_model="numpy")
def _fold(
    volume: Floats, creases: Floats, rest: Floats, palm: float, gap_scale: float
) -> tuple[float, float, float, float]:
    """Creases at the joints: how dark, and the change of the normal. Lines on the palm side, folds on the back."""
    dark, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
    for number in range(len(creases)):
        crease = creases[number]
        dx, dy, dz = rest[0] - crease[0], rest[1] - crease[1], rest[2] - crease[2]
        square, reach = dx * dx + dy * dy + dz * dz, crease[6] * crease[6]
        if square > reach:
            continue
        along = dx * crease[3] + dy * crease[4] + dz * crease[5]
        wobble = 0.012 * _noise(volume, rest[0] * 14 + 3 * number, rest[1] * 14, rest[2] * 14)
        fade = 1 - square / reach
        if palm > 0.5:
            for line in range(2):
                place = (along + wobble - (2 * line - 1) * 0.012 * crease[8] * gap_scale) / 0.0085
                depth = math.exp(-place * place) * fade * (palm - 0.5) * 2
                dark += depth * 0.8
                change = -0.5 * place * depth
                gx -= change * crease[3]
                gy -= change * crease[4]
                gz -= change * crease[5]
        elif crease[7] > 0:
            place = along / 0.055
            height = math.exp(-place * place) * fade * (0.5 - palm) * 2 * crease[7]
            phase = (along + wobble * 2.2) * 165.0
            dark += (0.5 - 0.5 * math.cos(phase)) * height * 0.5
            change = math.sin(phase) * height * 0.35
            gx -= change * crease[3]
            gy -= change * crease[4]
            gz -= change * crease[5]
    return dark, gx, gy, gz


@numba.njit(cache=True, error_model="numpy")
def _line_palm(
    volume: Floats, frame: Floats, rest: Floats, palm: float, strength: float
) -> tuple[float, float, float, float]:
    """The three lines of the palm: how dark, and the change of the normal."""
    dark, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
    x, y, z = rest[0] - frame[0, 0], rest[1] - frame[0, 1], rest[2] - frame[0, 2]
    u = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]
    v = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
    if palm < 0.55 or u < -0.02 or u > 1.02:
        return dark, gx, gy, gz
    wobble = 0.018 * _noise(volume, rest[0] * 6, rest[1] * 6, rest[2] * 6)
    for line in range(3):
        if line == 0:
            offset, slope, start, stop, at = u - 0.66 - 0.22 * v * v, 0.44 * v, -0.1, 0.9, v
        elif line == 1:
            offset, slope, start, stop, at = u - 0.40 - 0.24 * v, 0.24, 0.1, 1.15, v
        else:
            offset, slope, start, stop, at = v - 0.55 - 0.62 * u * u, 1.24 * u, 0.02, 0.68, u
        if at < start or at > stop:
            continue
        # Lines fade in and out and change their strength along the way.
        ends = min(1.0, (at - start) * 6) * min(1.0, (stop - at) * 4)
        ends *= 0.75 + 0.25 * _noise(volume, rest[0] * 9 + 20 * line, rest[1] * 9, rest[2] * 9)
        place = (offset + wobble) / 0.016 / math.sqrt(1 + slope * slope)
        depth = math.exp(-place * place) * max(0.0, ends) * min(1.0, (palm - 0.55) * 5) * strength
        dark += depth * 0.55
        change = -0.36 * place * depth
        one, two = (3, 4) if line < 2 else (4, 3)
        gx -= change * (frame[one, 0] - slope * frame[two, 0])
        gy -= change * (frame[one, 1] - slope * frame[two, 1])
        gz -= change * (frame[one, 2] - slope * frame[two, 2])
    return dark, gx, gy, gz


@numba.njit(cache=True, error_model="numpy")
def _mark_back(
    volume: Floats, marks: HandMarks, rest: Floats, palm: float, detail: SkinDetail
) -> tuple[float, float, float, float]:
    """Tendons and veins of the back of the hand: how blue a vein is, and the change of the normal."""
    gx, gy, gz = 0.0, 0.0, 0.0
    frame = marks.palm
    x, y, z = rest[0] - frame[0, 0], rest[1] - frame[0, 1], rest[2] - frame[0, 2]
    u = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]
    v = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
    fade = min(1.0, (0.45 - palm) * 4)
    if 0.1 < u < 1.0:
        for number in range(4):
            place = (v - 0.5 - (marks.rays[number] - 0.5) * u) / 0.055
            height = math.exp(-place * place) * fade * math.sin(math.pi * u) * detail.tendons
            change = -0.6 * place * height
            gx += change * frame[4, 0]
            gy += change * frame[4, 1]
            gz += change * frame[4, 2]
    here = _noise(volume, rest[0] * 3.1 + 11, rest[1] * 3.1, rest[2] * 3.1)
    vein = math.exp(-((here / 0.09) ** 2)) * fade * detail.veins
    change = -2 * here / 0.0081 * vein * 0.30
    gx += change * (_noise(volume, (rest[0] + 0.02) * 3.1 + 11, rest[1] * 3.1, rest[2] * 3.1) - here)
    gy += change * (_noise(volume, rest[0] * 3.1 + 11, (rest[1] + 0.02) * 3.1, rest[2] * 3.1) - here)
    gz += change * (_noise(volume, rest[0] * 3.1 + 11, rest[1] * 3.1, (rest[2] + 0.02) * 3.1) - here)
    return vein, gx, gy, gz


@numba.njit(cache=True, error_model="numpy")
def _label(digit: int, held: float, forearm: float, sleeve: bool, rest: Floats, borders: Floats) -> int:
    """Return the label of a pixel, nails left aside."""
    if sleeve:
        return SLEEVE
    if digit == 0 or held < DIGIT_CUT:
        return PALM if forearm > WRIST_AT else ARM
    segment = 0
    for number in range(2):
        border = borders[digit, number]
        beyond = 0.0
        for axis in range(3):
            beyond += (rest[axis] - border[axis]) * border[3 + axis]
        if beyond > 0:
            segment += 1
    return int(_SEGMENT_IDS[digit, segment])


@numba.njit(cache=True, error_model="numpy")
def _shadow(key: KeyLight, x: float, y: float, z: float) -> float:
    """Return the share of the key light that reaches a point, by 5 x 5 cells of its map."""
    size, lit = key.depth.shape[0], 0
    for i in range(-2, 3):
        for j in range(-2, 3):
            column = min(max(int(x + j * key.softness), 0), size - 1)
            row = min(max(int(y + i * key.softness), 0), size - 1)
            if key.depth[row, column] < z + SHADOW_BIAS_DM:
                lit += 1
    return lit / 25.0


@numba.njit(cache=True, error_model="numpy")
def _gloss(normal: Floats, towards: Floats, half: Floats, light: Floats, rough: float) -> tuple[float, float]:
    """Return GGX gloss of the key light and the Fresnel share of the dome.

    Source: Walter et al., "Microfacet models for refraction through rough surfaces", 2007.
    """
    facing = max(0.0, normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2])
    view = max(1e-3, normal[0] * towards[0] + normal[1] * towards[1] + normal[2] * towards[2])
    lit = max(0.0, normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2])
    across = max(0.0, light[0] * half[0] + light[1] * half[1] + light[2] * half[2])
    square = rough**4
    spread = facing * facing * (square - 1) + 1
    shine = square / (math.pi * spread * spread) * (0.028 + 0.972 * (1 - across) ** 5)
    k = (rough + 1) ** 2 / 8
    shine *= lit / ((lit * (1 - k) + k) * (view * (1 - k) + k)) / 4
    return shine, (1 - view) ** 5 * 0.5 + 0.03


@numba.njit(cache=True, error_model="numpy")
def _normalise(vector: Floats) -> None:
    length = math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2 + 1e-12)
    for axis in range(3):
        vector[axis] /= length


@numba.njit(cache=True, error_model="numpy")
def _shade(
    surface: Surface,
    triangles: Triangles,
    attributes: Floats,
    key: KeyLight,
    look: Look,
    result: Shading,
) -> None:
    detail = look.detail
    values = np.zeros(ATTRIBUTES, np.float32)
    seen, towards, half = np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)
    height, width = surface.triangle.shape
    for row in range(height):
        for column in range(width):
            number = surface.triangle[row, column]
            if number < 0:
                continue
            a, b, c = triangles.corners[number, 0], triangles.corners[number, 1], triangles.corners[number, 2]
            wa, wb = surface.corners[row, column, 0], surface.corners[row, column, 1]
            wc = 1 - wa - wb
            for k in range(ATTRIBUTES):
                values[k] = attributes[a, k] * wa + attributes[b, k] * wb + attributes[c, k] * wc
            for k in range(3):
                seen[k] = key.seen[a, k] * wa + key.seen[b, k] * wb + key.seen[c, k] * wc
                towards[k] = key.camera[k] - values[POSITION + k]
            uv = triangles.uv[number]
            u, v = uv[0, 0] * wa + uv[1, 0] * wb + uv[2, 0] * wc, uv[0, 1] * wa + uv[1, 1] * wb + uv[2, 1] * wc
            rest, normal = values[REST : REST + 3], values[NORMAL : NORMAL + 3]
            digit, cloth = int(triangles.digits[number]), bool(triangles.sleeve[number])
            part = _label(digit, values[DIGIT], values[FOREARM], cloth, rest, look.marks.borders)
            nail = _look_up(look.nail_mask, u, v) if part > PALM else 0.0
            if nail > NAIL_CUT:
                part = int(_NAIL_IDS[digit])
            result.parts[row, column] = part
            _normalise(normal)
            _normalise(towards)
            plate = min(max((nail - 0.3) / 0.4, 0.0), 1.0)
            dark, vein = _bend_normal(look, values, part, plate)
            for k in range(3):
                half[k] = towards[k] + key.direction[k]
            _normalise(half)
            lit = _shadow(key, seen[0], seen[1], seen[2])
            facing = normal[0] * key.direction[0] + normal[1] * key.direction[1] + normal[2] * key.direction[2]
            rough = 0.85 if cloth else detail.roughness * (1 - plate) + (0.22 if detail.varnish > 0 else 0.32) * plate
            shine, rim = _gloss(normal, towards, half, key.direction, rough)
            strength = 0.25 if cloth else detail.gloss
            for k in range(3):
                wrap = np.float32(0.02) if cloth else _WRAP[k]
                share = max(0.0, (facing + wrap) / (1 + wrap))
                bleed = lit if k > 0 or cloth else min(1.0, lit * 0.94 + 0.06)
                result.diffuse[row, column, k] = values[DOME + k] + key.colour[k] * share * bleed
                result.gloss[row, column, k] = strength * (
                    shine * lit * (1 + 0.6 * plate) * key.colour[k] + rim * values[DOME + k] * (0.35 + 0.5 * plate)
                )
            if cloth:
                _colour_cloth(look, rest, result.albedo[row, column])
            else:
                _colour_skin(look, values, digit, nail, plate, dark, vein, result.albedo[row, column])


@numba.njit(cache=True, error_model="numpy")
def _bend_normal(look: Look, values: Floats, part: int, plate: float) -> tuple[float, float]:
    """Bend the normal by pores, folds, lines, tendons and veins; return how dark a crease and how blue a vein is."""
    volume, marks, detail = look.noise, look.marks, look.detail
    rest, normal, palm = values[REST : REST + 3], values[NORMAL : NORMAL + 3], values[PALMNESS]
    cloth = part == SLEEVE
    fx, fy, fz = _slope(volume, rest[0], rest[1], rest[2], 60.0 if cloth else 38.0)
    hx, hy, hz = _slope(volume, rest[0] + 0.07, rest[1], rest[2], 95.0)
    strength = 0.12 if cloth else detail.bump * (1 - plate)
    dark, vein, gx, gy, gz = 0.0, 0.0, 0.0, 0.0, 0.0
    if part >= PALM and not cloth:
        dark, gx, gy, gz = _fold(volume, marks.creases, rest, palm, 1.0)
    if part in (ARM, PALM):
        if palm >= 0.55:
            more, x, y, z = _line_palm(volume, marks.palm, rest, palm, detail.palm_lines)
            dark, gx, gy, gz = dark + more, gx + x, gy + y, gz + z
        elif palm < 0.45:
            vein, x, y, z = _mark_back(volume, marks, rest, palm, detail)
            gx, gy, gz = gx + x, gy + y, gz + z
    keep = detail.wrinkles * (1 - plate)
    normal[0] -= strength * (fx + 0.6 * hx) + keep * gx
    normal[1] -= strength * (fy + 0.6 * hy) + keep * gy
    normal[2] -= strength * (fz + 0.6 * hz) + keep * gz
    _normalise(normal)
    return dark * detail.wrinkles, vein


@numba.njit(cache=True, error_model="numpy")
def _colour_cloth(look: Look, rest: Floats, albedo: Floats) -> None:
    """Write the linear colour of the sleeve: its own, with a little weave."""
    weave = _noise(look.noise, rest[0] * 80, rest[1] * 80, rest[2] * 80)
    wear = _noise(look.noise, rest[0] * 5, rest[1] * 5, rest[2] * 5)
    for k in range(3):
        albedo[k] = min(1.0, max(0.0, look.colours.sleeve[k] * (1 + 0.07 * weave + 0.03 * wear)))


@numba.njit(cache=True, error_model="numpy")
def _colour_skin(
    look: Look, values: Floats, digit: int, nail: float, plate: float, dark: float, vein: float, albedo: Floats
) -> None:
    """Write the linear colour of skin or nail."""
    volume, detail, colours = look.noise, look.detail, look.colours
    rest, palm = values[REST : REST + 3], values[PALMNESS]
    blotch = 0.5 * _noise(volume, rest[0] * 5, rest[1] * 5, rest[2] * 5)
    blotch += 0.35 * _noise(volume, rest[0] * 13 + 5, rest[1] * 13, rest[2] * 13)
    blotch += 0.2 * _noise(volume, rest[0] * 42, rest[1] * 42 + 9, rest[2] * 42)
    red = values[REDNESS] + blotch * detail.mottle
    edge = 0.0
    if plate > 0 and detail.varnish == 0:
        tip = look.marks.tips[digit]
        along = (rest[0] - tip[0]) * tip[3] + (rest[1] - tip[1]) * tip[4] + (rest[2] - tip[2]) * tip[5]
        edge = min(1.0, max(0.0, (along - tip[6]) / 0.012))
        edge = max(edge, 0.25 * min(1.0, max(0.0, (tip[6] - 0.085 - along) / 0.02)))
    rim = (nail - 0.22) / 0.16
    rim = 0.26 * math.exp(-rim * rim)
    for k in range(3):
        change = 0.10 if k == 0 else (-0.22 if k == 1 else -0.16)
        blue = 0.10 if k == 0 else (0.03 if k == 1 else 0.0)
        skin = (colours.back[k] * (1 - palm) + colours.palm[k] * palm) * (1 + red * change) * (1 - vein * blue)
        skin *= (1 - 0.32 * min(dark, 1.0) * (0.5 if k == 0 else 1.0)) * (1 + 0.05 * blotch)
        free = 0.72 if k == 0 else (0.66 if k == 1 else 0.58)
        horn = colours.nail[k] * (1 - edge) + edge * (0.4 * colours.nail[k] + 0.6 * free)
        skin = skin * (1 - plate) + plate * horn
        albedo[k] = skin * (1 - rim * (0.6 if k == 0 else 1.0))
