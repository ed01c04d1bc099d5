"""Defects planted on clean pictures, each with a dose: what a check of large pictures has to find.

Every defect is a function of a picture, a dose and a stream of numbers. Start reading at `DEFECTS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.color import deltaE_ciede2000, lab2rgb
from skimage.restoration import inpaint_biharmonic

from sfumato.critic.picture.colour import to_lab
from sfumato.critic.picture.seams import Lines
from sfumato.world.stream import Sample, Wish, make_sample

Picture = NDArray[np.uint8]
Array = NDArray[np.float32]

# A seam that was blended: the width of the ramp, an eighth of the 128 px that windows of mini are wide.
BLEND_PX = 16
# Parts of the drawn world that are small in a base, and how far a base changes at a glance when one is erased.
SMALL_PARTS = ("eye_right", "eye_left", "mouth", "brow_right", "brow_left")
SHOWN_DELTA_E = 15.0
# Donors of pasted people are drawn at this height and then made small.
DONOR_PX = 256
# Around an erased part so much is painted over too: its outline, and what an autoencoder smeared of it.
ERASED_RIM_PX = 5
# A pasted thing fades into its ground over about this share of its size.
FEATHER_FRAC = 0.02


@dataclass(frozen=True, eq=False)
class Ground:
    """Hold a clean picture uint8 [h, w, 3], the lines of its windows, and a seed for donors that is nobody else's.

    `small_parts` are masks [h, w] of small parts of the scene that its base shows: eyes, mouths, brows, nails.
    """

    picture: Picture
    lines: Lines
    donor_seed: int
    small_parts: tuple[NDArray[np.bool_], ...] = ()


Plant = Callable[[Ground, float, np.random.Generator], Picture | None]
"""A function that plants a defect; None where the picture has nothing that it applies to."""


@dataclass(frozen=True, eq=False)
class Defect:
    """Name a defect, the unit of its dose, the doses that are tried, and the one that a person sees at once.

    Not every picture has something that a defect applies to; where it is not `everywhere`, such pictures do not count.
    """

    unit: str
    doses: tuple[float, ...]
    visible: float
    plant: Plant
    everywhere: bool = True


def plant_hard_seams(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Offset the colour of every second window, so that neighbours differ by `dose` CIEDE2000."""
    return _offset(ground.picture, _checkerboard(ground, 1), dose, stream)


def plant_blended_seams(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Offset windows like `plant_hard_seams`, with a ramp of `BLEND_PX` across every border."""
    return _offset(ground.picture, _checkerboard(ground, BLEND_PX), dose, stream)


def plant_line(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Lighten or darken the pixels on the lines by `dose` levels."""
    levels = ground.picture.astype(np.float32)
    sign = np.float32(stream.choice([-dose, dose]))
    for x in ground.lines.xs:
        levels[:, x] += sign
    for y in ground.lines.ys:
        levels[y] += sign
    return _to_picture(levels)


def plant_person(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Paste a person of another scene, `dose` percent of the side high, somewhere in the upper two thirds."""
    cutout = _cut_person(ground.donor_seed, round(dose / 100 * min(ground.picture.shape[:2])))
    picture = Image.fromarray(ground.picture)
    x = int(stream.integers(0, picture.width - cutout.width))
    y = int(stream.integers(0, max(1, picture.height * 2 // 3 - cutout.height)))
    picture.paste(cutout, (x, y), cutout)
    return np.asarray(picture)


def plant_drift(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Move colours by a field of a single wave over the picture, `dose` CIEDE2000 where it is strongest."""
    height, width = ground.picture.shape[:2]
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    angle, phase = stream.uniform(0, 2 * np.pi, 2)
    field = np.cos(np.pi * (x * np.cos(angle) + y * np.sin(angle)) * 2 + phase)
    return _offset(ground.picture, field.astype(np.float32), 2 * dose, stream)


def plant_white_noise(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Add grey normal noise of `dose` levels deviation to every pixel."""
    noise = stream.standard_normal(ground.picture.shape[:2])
    return _to_picture(ground.picture + dose * noise[..., None])


def plant_blue_noise(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Add noise of `dose` levels deviation that has only fine parts."""
    noise = stream.standard_normal(ground.picture.shape[:2]).astype(np.float32)
    rolled = [np.roll(noise, step, axis) for axis in (0, 1) for step in (-1, 1)]
    fine = noise - sum(rolled) / 4
    return _to_picture(ground.picture + dose * (fine / fine.std())[..., None])


def plant_shifts(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Move what every window shows by about `dose` px in a direction of its own."""
    height, width = ground.picture.shape[:2]
    moved = np.empty_like(ground.picture)
    for top, bottom in _list_spans(height, ground.lines.ys):
        for left, right in _list_spans(width, ground.lines.xs):
            angle = stream.uniform(0, 2 * np.pi)
            rows = np.arange(top, bottom) + round(dose * np.sin(angle))
            columns = np.arange(left, right) + round(dose * np.cos(angle))
            moved[top:bottom, left:right] = ground.picture[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    return moved


def plant_erasure(ground: Ground, dose: float, stream: np.random.Generator) -> Picture | None:
    """Paint over `dose` percent of the small parts, one at least, with what is around them."""
    if not ground.small_parts:
        return None
    count = max(1, round(dose / 100 * len(ground.small_parts)))
    order = stream.permutation(len(ground.small_parts))
    return erase_parts(ground.picture, [ground.small_parts[number] for number in order[:count]])


def plant_fog(ground: Ground, dose: float, stream: np.random.Generator) -> Picture:
    """Blur every second window by a deviation of `dose` px, blended like `plant_blended_seams`."""
    del stream
    share = (0.5 + 0.5 * _checkerboard(ground, BLEND_PX))[..., None]
    foggy = gaussian_filter(ground.picture.astype(np.float32), (dose, dose, 0), mode="nearest")
    return _to_picture(ground.picture + share * (foggy - ground.picture))


def erase_parts(picture: Picture, masks: Sequence[NDArray[np.bool_]]) -> Picture:
    """Return a picture in which the masked places and a rim around them continue their surroundings."""
    erased = picture.copy()
    for mask in masks:
        wide = binary_dilation(mask, iterations=ERASED_RIM_PX)
        rows, columns = np.flatnonzero(wide.any(1)), np.flatnonzero(wide.any(0))
        top, left = max(0, rows[0] - ERASED_RIM_PX), max(0, columns[0] - ERASED_RIM_PX)
        place = (slice(top, rows[-1] + 1 + ERASED_RIM_PX), slice(left, columns[-1] + 1 + ERASED_RIM_PX))
        erased[place] = _to_picture(255.0 * inpaint_biharmonic(erased[place] / 255.0, wide[place], channel_axis=-1))
    return erased


def list_small_parts(sample: Sample, base_px: int) -> tuple[NDArray[np.bool_], ...]:
    """Return the masks of parts that a base `base_px` high shows: erased, at least `SHOWN_DELTA_E` of it is gone somewhere."""
    truth, masks = sample.truth, []
    assert truth is not None, "the truth was asked for"
    side = sample.image.shape[0] // base_px
    for path in truth.paths:
        mask = truth.mask(path) if path.rsplit("/", 1)[-1] in SMALL_PARTS else np.zeros(0, np.bool_)
        if mask.sum() < side**2:
            continue
        shown, without = (
            to_lab(np.asarray(Image.fromarray(picture).reduce(side)))
            for picture in (sample.image, erase_parts(sample.image, [mask]))
        )
        if float(deltaE_ciede2000(without, shown).max()) >= SHOWN_DELTA_E:
            masks.append(mask)
    return tuple(masks)


# A seam of CIEDE2000 2 on a sky is seen without looking for it; 1 is what a careful eye can tell side by side.
_COLOURS = (0.5, 1.0, 2.0, 4.0)
DEFECTS: dict[str, Defect] = {
    "hard seams": Defect("Delta E", _COLOURS, 2.0, plant_hard_seams),
    "blended seams": Defect("Delta E", _COLOURS, 2.0, plant_blended_seams),
    "line": Defect("levels", (1.0, 2.0, 4.0, 8.0), 4.0, plant_line),
    "pasted person": Defect("% of side", (5.0, 7.5, 10.0, 15.0), 10.0, plant_person),
    "drift": Defect("Delta E", _COLOURS, 4.0, plant_drift),
    "white noise": Defect("levels", (1.0, 2.0, 4.0, 8.0), 4.0, plant_white_noise),
    "blue noise": Defect("levels", (1.0, 2.0, 4.0, 8.0), 4.0, plant_blue_noise),
    "shifted tiles": Defect("px", (1.0, 2.0, 3.0), 3.0, plant_shifts),
    "foggy windows": Defect("px", (1.0, 2.0, 3.0), 2.0, plant_fog),
    "erased parts": Defect("% of parts", (25.0, 50.0, 100.0), 50.0, plant_erasure, everywhere=False),
}


def _offset(picture: Picture, field: Array, dose: float, stream: np.random.Generator) -> Picture:
    """Move colours along one direction of CIELAB by `field` [h, w] in -1..1; -1 and 1 lie `dose` apart on average."""
    lab = to_lab(picture)
    direction = stream.standard_normal(3)
    direction /= np.linalg.norm(direction)
    # CIELAB is stretched where colours are strong: measure on a few pixels what one unit is there.
    seen = lab[::8, ::8]
    unit = float(deltaE_ciede2000(seen, seen + direction).mean())
    moved = lab + field[..., None] * direction * (dose / 2 / unit)
    with warnings.catch_warnings():
        # Colours that no screen shows are clipped; that is what a screen would do.
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB")
        return _to_picture(255.0 * lab2rgb(moved))


def _checkerboard(ground: Ground, blend_px: int) -> Array:
    """Return +1 and -1 in turns over the windows, float32 [h, w]."""
    height, width = ground.picture.shape[:2]
    return np.outer(_alternate(height, ground.lines.ys, blend_px), _alternate(width, ground.lines.xs, blend_px))


def _alternate(side: int, places: tuple[int, ...], blend_px: int) -> Array:
    signs = np.ones(side, np.float32)
    for place in places:
        # Half a pixel: the border lies before the pixel that the line names.
        ramp = ((np.arange(side) - place + 0.5) / (blend_px / 2)).clip(-1.0, 1.0) if blend_px > 1 else None
        turn = np.where(np.arange(side) < place, 1.0, -1.0) if ramp is None else -ramp
        signs *= turn
    return signs.astype(np.float32)


def _cut_person(seed: int, height_px: int) -> Image.Image:
    """Return a person of a scene as RGBA, `height_px` high, with a soft border."""
    sample = make_sample(seed, size=DONOR_PX, wish=Wish(shot="full", with_truth=True))
    assert sample.truth is not None, "the truth was asked for"
    mask = sample.truth.mask("person1")
    box = sample.truth.box("person1")
    assert box is not None, "a full shot shows its person"
    cutout = Image.fromarray(sample.image).convert("RGBA")
    soft = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(FEATHER_FRAC * DONOR_PX / 2))
    cutout.putalpha(soft)
    cutout = cutout.crop(box)
    width = max(2, round(cutout.width * height_px / cutout.height))
    return cutout.resize((width, max(2, height_px)), Image.Resampling.LANCZOS)


def _list_spans(side: int, places: tuple[int, ...]) -> list[tuple[int, int]]:
    marks = [0, *places, side]
    return list(pairwise(marks))


def _to_picture(levels: NDArray[np.floating]) -> Picture:
    return np.rint(levels).clip(0, 255).astype(np.uint8)
