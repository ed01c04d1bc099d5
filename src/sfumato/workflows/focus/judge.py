"""Whether a part that was drawn anew is put back: same place, same count, same person, same colours, nothing new, no seam.

Every test compares with the part that is there; none asks whether the new one is beautiful. Limits were chosen on 40
faces of mini's world, 11 to 46 px: see docs/focus.md. Start reading at `PartJudge.judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels, PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.critic.finders.finder import Finder
from sfumato.render.passes.focus_part import DrawnPart
from sfumato.workflows.focus.kinds import USER_BOX
from sfumato.workflows.focus.read_face import FaceReader, Reading
from sfumato.workflows.focus.read_hand import HAND, HandReader

# Mean distance of the low bands, in levels of 255: kept faces reached 4.6; faces of somebody else begin at 7.
MOST_LOW_ERROR = 6.0
# What counts as low band: a Gaussian of this share of the part's longer side.
LOW_FRAC = 0.2
# The box that is found afterwards shares so much of the union with the box before.
LEAST_SAME_PLACE = 0.6
# Two finds of one picture that share less than this of their union are two things.
LEAST_SAME_THING = 0.3
# Around a crop the finder sees so many px of the picture: it was not trained on tiny pictures.
WINDOW_PX = 160
# A word that is read so surely before stands for the person, unless the face is too small for it: px of the longer side.
# Read through the blur of small faces: a closed mouth is read into every blank face, glasses into dark eye sockets.
SURE_BEFORE = 0.9
LEGIBLE_PX = {"smile": 40, "glasses": 28, "age": 40, "kind": 24, "beard": 20, "hair": 14, "hair_style": 14, "skin": 14}
# The answers of the reader may get so much less sure on average: a face that is less of one is worse.
MOST_DOUBT = 0.03
# Less mean change than this in the part, in levels, is not worth a change.
LEAST_CHANGE = 0.5
# Along the outer edge of the mask, where new pixels count less than this, nothing may jump by more levels.
RIM_SHARE, MOST_RIM_LEVELS = 0.1, 6.0
# Edges steeper than this by so many levels a px, where there were none, are a thing; so many of them, as a share of the
# px of the core: a window frame that was drawn into a sky had 1.7 %, 32 of 40 faces at first try less than 1.2 %.
LEAST_EDGE_LEVELS, MOST_EDGE_FRAC, FEWEST_EDGE_PX = 8.0, 0.012, 6.0
_READ_KINDS = frozenset(("face", "head"))
# Everybody in mini's world looks at us, so the left half of a face mirrors the right: correlation of their fine detail.
# All of 65 drawn faces had at least 0.76; a melted eye or half a pair of glasses has 0.4 to 0.75.
LEAST_MIRROR = 0.75
# Faces are compared at this side of the crop; fine is what a Gaussian of so much of the face takes away, the halves are
# so wide and so high, and the axis lies in the middle up to so much of the face, in shares of its longer side.
MIRROR_PX, MIRROR_FINE, HALF_WIDTH, HALF_HEIGHT, AXIS_REACH = 112, 0.12, 0.42, 0.45, 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class PartJudge:
    """Judge parts with finders and, in mini's world, with a reader. A leaf."""

    finders: Sequence[Finder]
    reader: FaceReader | None = None
    hands: HandReader | None = None

    def judge(self, pixels: PixelStore, part: DrawnPart) -> str:
        """Return why a part is dropped; an empty text keeps it. The cheap tests come first."""
        return (
            self._check_change(part)
            or self._check_low(part)
            or self._check_rim(part)
            or self._check_beside(part)
            or self.check_things(pixels, part)
            or self._check_person(part)
            or self._check_hand(pixels, part)
        )

    def _check_change(self, part: DrawnPart) -> str:
        inside = part.share > 0.5
        change = float(np.abs(part.after[inside].astype(np.float32) - part.before[inside]).mean())
        return f"nothing changed ({change:.2f} levels)" if change < LEAST_CHANGE else ""

    def _check_low(self, part: DrawnPart) -> str:
        """Compare low bands before colours were matched: afterwards they agree by themselves."""
        from scipy import ndimage

        size = (part.before.shape[1], part.before.shape[0])
        drawn = np.asarray(Image.fromarray(part.drawn).resize(size, Image.Resampling.LANCZOS), np.float32)
        spread = LOW_FRAC * max(part.target.box.width, part.target.box.height)
        rest = ndimage.gaussian_filter(drawn - part.before, (spread, spread, 0.0), mode="nearest")
        error = float(np.abs(rest[part.share > 0.5]).mean())
        return f"its colours and shapes moved by {error:.1f} levels" if error > MOST_LOW_ERROR else ""

    def _check_rim(self, part: DrawnPart) -> str:
        rim = (part.share > 0.0) & (part.share < RIM_SHARE)
        if not rim.any():
            return ""
        jump = float(np.abs(part.after[rim].astype(np.float32) - part.before[rim]).mean())
        return f"its edge jumps by {jump:.1f} levels" if jump > MOST_RIM_LEVELS else ""

    def _check_beside(self, part: DrawnPart) -> str:
        """Look for edges that came or went beside the part itself, where the mask fades."""
        from scipy import ndimage

        beside = (part.share > 0.0) & (part.share < 1.0)
        most = max(FEWEST_EDGE_PX, MOST_EDGE_FRAC * float((part.share == 1.0).sum()))
        after, before = _measure_slopes(part.after), _measure_slopes(part.before)
        for what, ours, theirs in (("new", after, before), ("lost", before, after)):
            # An edge that moved by two px is neither new nor lost.
            beyond = ours - ndimage.maximum_filter(theirs, 5, mode="nearest") > LEAST_EDGE_LEVELS
            count = int((beyond & beside).sum())
            if count > most:
                return f"something is {what} beside it ({count} px of edges)"
        return ""

    def check_things(self, pixels: PixelStore, part: DrawnPart) -> str:
        """Compare what finders see around the part before and after: the part in its place, nothing new, nothing lost."""
        window = grow_window(part.frame, pixels)
        values = pixels.read(window)
        before = self._find(values)
        values[part.frame.shift(-window.left, -window.top).slices_hw] = part.after
        after = self._find(values)
        box = part.target.box.shift(-window.left, -window.top)
        mask = _bound_mask(part).shift(-window.left, -window.top)
        if part.target.kind != USER_BOX and any(one.kind == part.target.kind for one in before):
            same = [one for one in after if one.kind == part.target.kind]
            place = max((measure_union(one.box, box) for one in same), default=0.0)
            if place < LEAST_SAME_PLACE:
                return f"the {part.target.kind} is not where it was ({place:.0%} of the union)"
        for what, ones, others in (("new", after, before), ("lost", before, after)):
            for one in ones:
                if what == "new" and part.target.kind == "head" and _lies_in(one, "face", box):
                    continue
                if one.box.find_overlap(mask) and not any(_is_thing(one, other) for other in others):
                    return f"a {one.kind} is {what}"
        if part.target.kind == "head":
            faces = sum(_lies_in(one, "face", box) for one in after)
            # A head is drawn anew because nobody saw a face in it.
            return "" if faces == 1 else f"{faces or 'no'} face{'s' if faces > 1 else ''} came out in the head"
        return ""

    def _find(self, values: NDArray[np.uint8]) -> tuple[Found, ...]:
        pixels = MemoryPixels(PixelBox(0, 0, values.shape[1], values.shape[0]).size, values)
        return tuple(one for finder in self.finders for one in finder.find(pixels))

    def _check_hand(self, pixels: PixelStore, part: DrawnPart) -> str:
        """Ask the critic of hands, who sees as much around both as a finder does."""
        if self.hands is None or part.target.kind != HAND:
            return ""
        window = grow_window(part.frame, pixels)
        values = pixels.read(window)
        patched = values.copy()
        patched[part.frame.shift(-window.left, -window.top).slices_hw] = part.after
        return self.hands.compare(values, patched, part.target.box.shift(-window.left, -window.top))

    def _check_person(self, part: DrawnPart) -> str:
        if self.reader is None or part.target.kind not in _READ_KINDS:
            return ""
        before, after = self.reader.read(part.before), self.reader.read(part.after)
        changed = compare_person(before, after, max(part.target.box.width, part.target.box.height))
        if changed:
            return f"another person: {changed}"
        mirrored = measure_mirror(part.after, part.target.box.shift(-part.frame.left, -part.frame.top))
        if mirrored < LEAST_MIRROR:
            return f"its halves do not match ({mirrored:.2f})"
        doubt = measure_sureness(before) - measure_sureness(after)
        return f"it is read less surely (by {doubt:.2f})" if doubt > MOST_DOUBT else ""


def compare_person(before: Reading, after: Reading, side_px: int) -> str:
    """Say what of a person was legible at a size and is another now; nothing where all of it stayed."""
    legible = before.pick(SURE_BEFORE)
    changed = [
        f"{head} was {word}, is {after.words[head]}"
        for head, word in legible.items()
        if head != "top_colour" and after.words[head] != word and side_px >= LEGIBLE_PX.get(head, 0)
    ]
    return ", ".join(changed)


def measure_sureness(reading: Reading) -> float:
    """Return how sure a reader is of a person on average."""
    return sum(reading.sureness.values()) / len(reading.sureness)


def measure_mirror(crop: NDArray[np.uint8], box: PixelBox) -> float:
    """Return how alike both halves of a face in a crop, uint8 [h, w, 3], are when one is mirrored: 1 the same, 0 not at all."""
    from scipy import ndimage

    scale = MIRROR_PX / min(crop.shape[:2])
    size = (round(crop.shape[1] * scale), round(crop.shape[0] * scale))
    grey = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC), np.float32).mean(axis=2)
    side = scale * max(box.width, box.height)
    fine = grey - ndimage.gaussian_filter(grey, MIRROR_FINE * side, mode="nearest")
    middle_x, middle_y = scale * (box.left + box.right) / 2, scale * (box.top + box.bottom) / 2
    half = max(2, round(HALF_WIDTH * side))
    rows = fine[max(0, round(middle_y - HALF_HEIGHT * side)) : round(middle_y + HALF_HEIGHT * side)]
    best = 0.0
    for axis in range(round(middle_x - AXIS_REACH * side), round(middle_x + AXIS_REACH * side) + 1):
        left, right = rows[:, max(0, axis - half) : axis], rows[:, axis : axis + half][:, ::-1]
        # At the edge of the picture both halves show as much as the narrower one.
        width = min(left.shape[1], right.shape[1])
        if width >= 2:
            one, other = (part - part.mean() for part in (left[:, -width:], right[:, -width:]))
            best = max(best, float((one * other).sum() / max(1e-6, np.linalg.norm(one) * np.linalg.norm(other))))
    return best


def _measure_slopes(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how steep lightness is at each pixel, in levels a px."""
    down, across = np.gradient(values.astype(np.float32).mean(axis=2))
    return np.hypot(down, across)


def grow_window(frame: PixelBox, pixels: PixelStore) -> PixelBox:
    """Return a frame with so much around it that a finder sees a picture."""
    margin = max(16, (WINDOW_PX - min(frame.width, frame.height)) // 2)
    return frame.grow(margin).clip(pixels.size)


def _bound_mask(part: DrawnPart) -> PixelBox:
    """Return the box of all pixels that changed, in px of the picture."""
    rows, columns = np.flatnonzero(part.share.any(axis=1)), np.flatnonzero(part.share.any(axis=0))
    box = PixelBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return box.shift(part.frame.left, part.frame.top)


def measure_union(one: PixelBox, other: PixelBox) -> float:
    """Return the share of their union that two boxes have in common."""
    both = one.find_overlap(other)
    return 0.0 if both is None else both.area / (one.area + other.area - both.area)


def _lies_in(one: Found, kind: str, box: PixelBox) -> bool:
    """Tell whether a find is of a kind and has its middle in a box."""
    x, y = (one.box.left + one.box.right) // 2, (one.box.top + one.box.bottom) // 2
    return one.kind == kind and box.left <= x < box.right and box.top <= y < box.bottom


def _is_thing(one: Found, other: Found) -> bool:
    return one.kind == other.kind and measure_union(one.box, other.box) >= LEAST_SAME_THING
