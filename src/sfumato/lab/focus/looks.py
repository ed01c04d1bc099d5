"""What a small face shows, judged against drawings of the same scene: no network takes part.

Because the world is drawn, every question has two drawings: this person with glasses and without, with two eyes and with
skin in their place. The one that a crop is nearer to is the answer. Nothing in `workflows.focus` decides like that, so
the judge of the proof is not the judge of the product. Knows the world and crops; no pass. Start reading at `FaceDrawings`.

Source: recognition by drawing what could be there and comparing, Yuille and Kersten 2006, analysis by synthesis.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.core.geometry import PixelBox
from sfumato.lab.focus.scenes import FocusScene, TrueFace
from sfumato.world.compose import make_person
from sfumato.world.people.person import Person

Pixels: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = NDArray[np.float32]

# These are compared as they are, everything else after light and shade are taken away.
COLOURS = ("hair", "skin")
PARTS = ("eye_left", "eye_right", "mouth")
_HAIR = ("black", "brown", "blonde", "red", "grey")
_SKIN = ("light", "tan", "dark")
_STYLES = {"woman": ("long", "short", "bun"), "man": ("short", "bald")}
# People in a row of whom the face must be the nearest to its own.
LINE_UP = 8
# A crop may lie so far from the drawing, as a share of the face and in px at least: how far it moved is counted apart.
REACH_FRAC, LEAST_REACH_PX = 0.08, 1
# Light and shade are what a Gaussian of this share of the face keeps.
SHADE_FRAC = 0.25
# Two drawings that differ by less than so many levels on average, where they differ at all, cannot be told apart.
LEAST_DIFFERENCE = 8.0
# Steps of the search for where a part went, px.
STEP_PX = 0.25


@dataclass(frozen=True, eq=False)
class FaceLook:
    """Hold what was judged of one crop.

    `margins` says how clearly the true word of each question is the nearest: 1 is as near as the drawing itself, 0 is
    open, below 0 another word is nearer. `parts` is the same for eyes and mouth: below 0 there is skin. `moved` says how far each part lies
    from where it was drawn, px. `is_own` tells whether the face is nearer to its own person than to seven others. `beside` is
    how far everything but the head is from the drawing, levels of 255.
    """

    margins: Mapping[str, float]
    parts: Mapping[str, float]
    moved: Mapping[str, float]
    is_own: bool
    beside: float

    @property
    def is_whole(self) -> bool:
        """Tell whether all of two eyes and a mouth are there that show in the drawing."""
        return all(margin >= 0.0 for margin in self.parts.values())


@dataclass(frozen=True, eq=False)
class FaceDrawings:
    """Hold the drawings of one face in a frame: as it is, in other words, as other people, without eyes and mouth. A leaf.

    `whole` shows it with each mouth, with glasses and without, and `blank` the same without eyes and mouth: which eyes and
    which mouth is another question than whether there are any.
    """

    truth: Pixels
    others: Mapping[str, tuple[Pixels, ...]]
    people: tuple[Pixels, ...]
    whole: tuple[Pixels, ...]
    blank: tuple[Pixels, ...]
    masks: Mapping[str, NDArray[np.bool_]]
    head: NDArray[np.bool_]
    words: Mapping[str, object]
    side_px: int

    @property
    def reach(self) -> int:
        """Return how many px a crop may be off."""
        return max(LEAST_REACH_PX, round(REACH_FRAC * self.side_px))

    def judge(self, crop: Pixels) -> FaceLook:
        """Judge a crop of the frame, uint8 [h, w, 3]."""
        margins = {
            head: min(self._compare(crop, self.truth, other, head) for other in drawings)
            for head, drawings in self.others.items()
        }
        pairs = list(zip(self.whole, self.blank, strict=True))
        parts = {
            name: max(self._compare(crop, ours, theirs, "line", mask) for ours, theirs in pairs)
            for name, mask in self.masks.items()
        }
        moved = {name: self._find_move(crop, mask) for name, mask in self.masks.items()}
        is_own = all(self._compare(crop, self.truth, other, "hair") >= 0.0 for other in self.people)
        rest = _flatten(crop, None) - self.truth
        beside = np.abs(ndimage.gaussian_filter(rest, (1.0, 1.0, 0.0), mode="nearest"))[~self.head]
        return FaceLook(margins, parts, moved, is_own, float(beside.mean()) if beside.size else 0.0)

    def _compare(
        self, crop: Pixels, ours: Pixels, theirs: Pixels, head: str, mask: NDArray[np.bool_] | None = None
    ) -> float:
        """Return how much nearer a crop is to one drawing than to another, as a share of what lies between them."""
        differs = np.abs(ours.astype(np.float32) - theirs).max(axis=2)
        where = differs > LEAST_DIFFERENCE
        if mask is not None:
            where &= mask
        # As far as what differs may have moved: a part must not be able to leave what is looked at.
        where = ndimage.binary_dilation(where, iterations=1 + self.reach)
        shade = None if head in COLOURS else SHADE_FRAC * self.side_px
        pictures = [_flatten(one, shade) for one in (crop, ours, theirs)]
        between = float(np.square(pictures[1] - pictures[2])[where].sum())
        if between == 0.0:
            return 0.0
        apart = [_measure_nearest(pictures[0], one, where, self.reach) for one in pictures[1:]]
        return (apart[1] - apart[0]) / between

    def _find_move(self, crop: Pixels, mask: NDArray[np.bool_]) -> float:
        """Return how far a part lies from where it was drawn, px: the shift that makes them most alike."""
        shade = SHADE_FRAC * self.side_px
        ours, theirs = _flatten(crop, shade).mean(axis=2), _flatten(self.truth, shade).mean(axis=2)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        steps = np.arange(-self.reach, self.reach + STEP_PX / 2, STEP_PX)
        best, most = 0.0, -np.inf
        for y in steps:
            for x in steps:
                moved = ndimage.shift(theirs, (y, x), order=1, mode="nearest")[window]
                alike = _correlate(ours[window], moved)
                # Of equals the nearer one: a blank place moves nowhere.
                if alike > most + 1e-6:
                    best, most = float(np.hypot(x, y)), alike
        return best


def draw_looks(scene: FocusScene, face: TrueFace, frame: PixelBox) -> FaceDrawings:
    """Draw a face of a scene in every way that it is compared with."""
    truth = scene.drawn[frame.slices_hw]
    words = list_words(face.person)
    others = dict[str, tuple[Pixels, ...]]()
    for head, changed in list_others(face.person).items():
        drawn = [_draw_as(scene, face, person, frame) for person in changed]
        # A change that nobody could see at this size, or that lies behind something, is no question.
        seen = tuple(one for one in drawn if _is_seen(truth, one))
        others |= {head: seen} if seen else {}
    rng = random.Random(f"line-up {face.person.wobble}")
    people = list[Pixels]()
    while len(people) < LINE_UP - 1:
        # Hard to tell apart: the same kind, skin and clothes, in the same place.
        other = replace(make_person(rng), kind=face.person.kind, skin=face.person.skin)
        drawn = _draw_as(scene, face, _dress_alike(other, face.person), frame)
        if _is_seen(truth, drawn):
            people.append(drawn)
    masks = find_part_masks(scene, face, frame)
    head = ndimage.binary_dilation(scene.truth.mask(face.path)[frame.slices_hw], iterations=2)
    moods = [replace(face.person, glasses=glasses, smile=smile) for glasses in (False, True) for smile in (False, True)]
    whole = tuple(_draw_as(scene, face, person, frame) for person in moods)
    return FaceDrawings(
        truth=truth,
        others=others,
        people=tuple(people),
        whole=whole,
        blank=tuple(erase_parts(scene, face, frame, masks, one) for one in whole),
        masks=masks,
        head=head,
        words=words,
        side_px=max(face.box.width, face.box.height),
    )


def list_words(person: Person) -> dict[str, object]:
    """Return the true answers about a person."""
    bald = person.hair_style == "bald"
    return {
        "hair": "none" if bald else person.hair,
        "hair_style": person.hair_style,
        "skin": person.skin,
        "glasses": person.glasses,
        "smile": person.smile,
        "age": person.age == "old",
        "beard": person.beard,
    }


def list_others(person: Person) -> dict[str, list[Person]]:
    """Return the same person with one other word, by head."""
    styles = [style for style in _STYLES[person.kind] if style != person.hair_style]
    others = {
        "hair_style": [replace(person, hair_style=style) for style in styles],
        "skin": [replace(person, skin=skin) for skin in _SKIN if skin != person.skin],
        "glasses": [replace(person, glasses=not person.glasses)],
        "smile": [replace(person, smile=not person.smile)],
        "age": [replace(person, age="adult" if person.age == "old" else "old")],
    }
    if person.hair_style != "bald":
        others["hair"] = [replace(person, hair=hair) for hair in _HAIR if hair != person.hair]
    if person.kind == "man":
        others["beard"] = [replace(person, beard=not person.beard)]
    return others


def find_part_masks(scene: FocusScene, face: TrueFace, frame: PixelBox) -> dict[str, NDArray[np.bool_]]:
    """Return where eyes and mouth show in a frame, with what is beside them, bool [h, w]; a part that is hidden is left out."""
    margin = max(1, round(0.08 * max(face.box.width, face.box.height)))
    found = {name: scene.truth.mask(f"{face.path}/{name}")[frame.slices_hw] for name in PARTS}
    return {name: ndimage.binary_dilation(mask, iterations=margin) for name, mask in found.items() if mask.any()}


def erase_parts(
    scene: FocusScene, face: TrueFace, frame: PixelBox, masks: Mapping[str, NDArray[np.bool_]], drawn: Pixels
) -> Pixels:
    """Return a crop with skin in place of eyes and mouth."""
    gone = np.zeros(drawn.shape[:2], np.bool_)
    for mask in masks.values():
        gone |= mask
    gone &= scene.truth.mask(face.path)[frame.slices_hw]
    skin_id = scene.truth.paths.index(face.path)
    skin = (scene.truth.ids[frame.slices_hw] == skin_id) & ~gone
    if not skin.any():
        return drawn.copy()
    spread = SHADE_FRAC * max(face.box.width, face.box.height)
    weight = ndimage.gaussian_filter(skin.astype(np.float32), spread) + 1e-6
    filled = ndimage.gaussian_filter(np.where(skin[..., None], drawn, 0).astype(np.float32), (spread, spread, 0.0))
    return np.where(gone[..., None], np.clip(filled / weight[..., None], 0, 255), drawn).astype(np.uint8)


def _draw_as(scene: FocusScene, face: TrueFace, person: Person, frame: PixelBox) -> Pixels:
    people = list(scene.scene.people)
    people[face.number] = (person, people[face.number][1])
    return scene.draw_again(replace(scene.scene, people=tuple(people)))[frame.slices_hw]


def _dress_alike(other: Person, person: Person) -> Person:
    """Return somebody else in the clothes, the pose, the mood and the glasses of a person."""
    return replace(
        person,
        hair=other.hair,
        hair_style=other.hair_style if other.hair_style in _STYLES[person.kind] else person.hair_style,
        age=other.age,
        beard=other.beard and person.kind == "man",
    )


def _is_seen(one: Pixels, other: Pixels) -> bool:
    return bool((np.abs(one.astype(np.float32) - other).max(axis=2) > LEAST_DIFFERENCE).sum() >= 4)


def _flatten(picture: Pixels, shade: float | None) -> Values:
    """Return a picture without its light and shade, float32 [h, w, 3]; no `shade` leaves them."""
    values = picture.astype(np.float32)
    return values if shade is None else values - ndimage.gaussian_filter(values, (shade, shade, 0.0), mode="nearest")


def _measure_nearest(picture: Values, drawing: Values, where: NDArray[np.bool_], reach: int) -> float:
    """Return the least squared distance inside a mask over small shifts of the drawing."""
    padded = np.pad(drawing, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = where.shape
    return min(
        float(np.square(padded[y : y + height, x : x + width][where] - picture[where]).sum())
        for y in range(2 * reach + 1)
        for x in range(2 * reach + 1)
    )


def _correlate(one: Values, other: Values) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 0.0 if size < 1e-6 else float((one * other).sum()) / size
