"""Whether a hand that was drawn anew is put back: the goof is gone, nothing else is wrong, and a second judge agrees.

`choose` reads with the parser and with finders and picks the best candidate of a round. `audit` reads that candidate
alone with the auditor, which has another architecture, other features, and no part in the choice. What the user said is
wrong counts as sure before the repair. Start reading at `HandJudge.choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.pixels import MemoryPixels, PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.core.serialize import Json
from sfumato.critic.anatomy.auditor import Opinion, SecondJudge
from sfumato.critic.anatomy.judge import JudgedHand, cut_hands, judge_square
from sfumato.critic.anatomy.labels import PALM
from sfumato.critic.anatomy.parser import Parser
from sfumato.critic.anatomy.verdict import count_expected
from sfumato.critic.finders.crops import TurnedSquare
from sfumato.critic.finders.finder import Finder
from sfumato.render.passes.repair import Choice, HandCrop
from sfumato.render.passes.repair_box import RepairStep
from sfumato.workflows.focus.judge import grow_window, measure_union
from sfumato.workflows.repair.hand_masks import to_frame

# The probability of a fault falls at least by so much, and to the limit below which the critic says ok.
LEAST_FALL = 0.3
# Of the palm, and of each digit that was frozen, so much of the union stays where it was.
LEAST_PALM, LEAST_FROZEN = 0.6, 0.5
# A digit is frozen where less than this share of it may change, and it is large enough to compare.
FROZEN_SHARE, LEAST_DIGIT_CELLS = 0.1, 12
# Mean distance of the skin's colour from before, in levels of 255; and the least change that is one.
MOST_SKIN_LEVELS, LEAST_CHANGE = 24.0, 0.5
# Less new skin than this share of the old says nothing of its colour.
LEAST_SKIN_SHARE = 0.05
# The auditor looks twice, at squares of these sides against the parser's.
AUDIT_SIDES = (0.9, 1.1)
# Two finds that share less than this of their union are two things; a face may not be changed by more than this share.
LEAST_SAME_THING, MOST_FACE_SHARE = 0.3, 0.05
_UNLIKE_HAND = frozenset(("third-limb",))


@dataclass(frozen=True, eq=False, kw_only=True)
class HandJudge:
    """Judge candidates for the hands of one picture. A leaf.

    `hands` holds every hand of the picture as it was judged before, by its box; `told` the boxes that the user named.
    """

    parser: Parser
    auditor: SecondJudge | None
    finders: Sequence[Finder]
    hands: dict[PixelBox, JudgedHand]
    told: frozenset[PixelBox] = frozenset()

    def choose(
        self, pixels: PixelStore, crop: HandCrop, step: RepairStep, candidates: Sequence[NDArray[np.uint8]]
    ) -> Choice:
        """Return the candidate with the least probability of a fault among those that pass every test."""
        judged = [self._read(pixels, crop, candidate) for candidate in candidates]
        before = self.hands[crop.work.box]
        reasons = [
            self._find_reason(pixels, crop, step, before, after, candidate)
            for after, candidate in zip(judged, candidates, strict=True)
        ]
        good = [index for index, reason in enumerate(reasons) if not reason]
        best = min(good, key=lambda index: judged[index].verdict.goof, default=None)
        facts: dict[str, Json] = {
            "goof_before": before.verdict.goof,
            "goof_after": [one.verdict.goof for one in judged],
            "digits_after": [one.verdict.digits for one in judged],
        }
        return Choice(index=best, reasons=tuple(reasons), facts=facts)

    def audit(self, pixels: PixelStore, crop: HandCrop, candidate: NDArray[np.uint8]) -> Choice:
        """Return index 0 where the auditor agrees that nothing is wrong now and less is than before; None with why not."""
        if crop.work.cause in _UNLIKE_HAND:
            return self._audit_absence(pixels, crop, candidate)
        if self.auditor is None:
            return Choice(index=None, reasons=("there is none, so nobody confirms the repair",))
        hand = self.hands[crop.work.box]
        before = self.ask(pixels, hand)
        after = self.ask(_Patched(pixels, crop.frame, candidate), hand)
        facts: dict[str, Json] = {
            "audit_before": before.fault,
            "audit_after": after.fault,
            "audit_digits": after.digits,
        }
        expected, limit = count_expected(hand.evidence), self.auditor.most_fault
        reason = ""
        if after.fault > limit:
            reason = f"a fault is still likely ({after.fault:.2f}, at most {limit:.2f} passes)"
        elif after.digits != expected:
            reason = f"it counts {after.digits} digits, not {expected}"
        elif crop.work.box not in self.told and after.fault >= before.fault:
            reason = "it saw no more wrong before than after"
        return Choice(index=None if reason else 0, reasons=(reason,), facts=facts)

    def ask(self, pixels: PixelStore, hand: JudgedHand) -> Opinion:
        """Return the auditor's opinion on a hand of a picture."""
        assert self.auditor is not None, "somebody is asked"
        square = hand.square
        squares = [TurnedSquare(square.x, square.y, square.side * side, square.angle) for side in AUDIT_SIDES]
        return self.auditor.ask(cut_hands(pixels, squares), count_expected(hand.evidence))

    def _read(self, pixels: PixelStore, crop: HandCrop, candidate: NDArray[np.uint8]) -> JudgedHand:
        before = self.hands[crop.work.box]
        return judge_square(self.parser, _Patched(pixels, crop.frame, candidate), before.box, before.square)

    def _find_reason(
        self,
        pixels: PixelStore,
        crop: HandCrop,
        step: RepairStep,
        before: JudgedHand,
        after: JudgedHand,
        candidate: NDArray[np.uint8],
    ) -> str:
        """Return why a candidate is no good; the cheap tests come first."""
        change = np.abs(candidate.astype(np.float32) - crop.before)[step.change > 0.5]
        if change.size == 0 or float(change.mean()) < LEAST_CHANGE:
            return "nothing changed"
        if crop.work.cause in _UNLIKE_HAND:
            return (
                "a hand is still seen there"
                if after.evidence.hand > 0
                else self._check_around(pixels, crop, step, candidate)
            )
        return (
            self._check_goof(crop, before, after)
            or self._check_pose(crop, step, before, after)
            or self._check_skin(crop, step, before, after, candidate)
            or self._check_around(pixels, crop, step, candidate)
        )

    def _check_goof(self, crop: HandCrop, before: JudgedHand, after: JudgedHand) -> str:
        beliefs, verdict = self.parser.beliefs, after.verdict
        if after.evidence.hand < 0:
            return "it does not look like a hand"
        if verdict.countable < beliefs.least_countable:
            return "its digits cannot be counted"
        expected = count_expected(before.evidence)
        if verdict.digits != expected:
            return f"{verdict.digits} digits show, not {expected}"
        if verdict.goof > beliefs.most_ok:
            return f"a fault is still likely ({verdict.goof:.2f})"
        was = 1.0 if crop.work.box in self.told else before.verdict.goof
        fall = was - verdict.goof
        return f"the fault became too little less likely (by {fall:.2f})" if fall < LEAST_FALL else ""

    def _check_pose(self, crop: HandCrop, step: RepairStep, before: JudgedHand, after: JudgedHand) -> str:
        if crop.work.cause == "wrong-side":
            return ""
        palms = [one.maps.parts[PALM] > 0.5 for one in (before, after)]
        if palms[0].sum() >= LEAST_DIGIT_CELLS and _share_union(*palms) < LEAST_PALM:
            return f"the palm moved ({_share_union(*palms):.0%} of the union)"
        freed = step.change > 0.0
        for digit in before.evidence.digits:
            place = _to_crop(before, crop, digit.cells)
            if digit.cells.sum() < LEAST_DIGIT_CELLS or not place.any() or freed[place].mean() > FROZEN_SHARE:
                continue
            same = max((_share_union(digit.cells, one.cells) for one in after.evidence.digits), default=0.0)
            if same < LEAST_FROZEN:
                return f"the {digit.digit} finger, which was right, is read differently ({same:.0%} of the union)"
        return ""

    def _check_skin(
        self, crop: HandCrop, step: RepairStep, before: JudgedHand, after: JudgedHand, candidate: NDArray[np.uint8]
    ) -> str:
        old = _to_crop(before, crop, _find_flesh(before))
        new = _to_crop(after, crop, _find_flesh(after)) & (step.change > 0.5)
        if new.sum() <= LEAST_SKIN_SHARE * old.sum():
            return ""
        gap = candidate[new].astype(np.float64).mean(0) - crop.before[old].astype(np.float64).mean(0)
        levels = float(np.abs(gap).mean())
        return f"its skin has another colour (by {levels:.0f} levels)" if levels > MOST_SKIN_LEVELS else ""

    def _check_around(self, pixels: PixelStore, crop: HandCrop, step: RepairStep, candidate: NDArray[np.uint8]) -> str:
        """Compare what finders see around the hand before and after, and judge the other hands that lie there again."""
        window = grow_window(crop.frame, pixels)
        patched = _Patched(pixels, crop.frame, candidate)
        before, after = self._find(pixels.read(window)), self._find(patched.read(window))
        changed = _bound(step.change).shift(crop.frame.left - window.left, crop.frame.top - window.top)
        for face in before:
            if face.kind == "face" and _cover(face.box, changed) > MOST_FACE_SHARE:
                return "a face lies in what would change"
        gone = crop.work.box.shift(-window.left, -window.top) if crop.work.cause in _UNLIKE_HAND else None
        for what, ones, others in (("new", after, before), ("lost", before, after)):
            for one in ones:
                if not one.box.find_overlap(changed) or any(_is_same(one, other) for other in others):
                    continue
                if gone is None or what == "new" or measure_union(one.box, gone) < LEAST_SAME_THING:
                    return f"a {one.kind} is {what}"
        for box, hand in self.hands.items():
            if box == crop.work.box or not box.find_overlap(crop.frame):
                continue
            again = judge_square(self.parser, patched, hand.box, hand.square)
            if again.verdict.word == "goof" and hand.verdict.word != "goof":
                return "another hand beside it went wrong"
        return ""

    def _find(self, values: NDArray[np.uint8]) -> tuple[Found, ...]:
        store = MemoryPixels(PixelBox(0, 0, values.shape[1], values.shape[0]).size, values)
        return tuple(one for finder in self.finders for one in finder.find(store))

    def _audit_absence(self, pixels: PixelStore, crop: HandCrop, candidate: NDArray[np.uint8]) -> Choice:
        """Ask the finders alone whether a limb is gone: the auditor knows hands only."""
        window = grow_window(crop.frame, pixels)
        box = crop.work.box.shift(-window.left, -window.top)
        found = self._find(_Patched(pixels, crop.frame, candidate).read(window))
        there = any(one.kind == "hand" and measure_union(one.box, box) >= LEAST_SAME_THING for one in found)
        return Choice(index=None if there else 0, reasons=("a finder still sees a hand there" if there else "",))


class _Patched:
    """Show a picture with one box replaced. A leaf."""

    def __init__(self, below: PixelStore, frame: PixelBox, values: NDArray[np.uint8]) -> None:
        self.size = below.size
        self._below, self._frame, self._values = below, frame, values

    def read(self, box: PixelBox) -> NDArray[np.uint8]:
        found = self._below.read(box)
        both = box.find_overlap(self._frame)
        if both is not None:
            inner = both.shift(-self._frame.left, -self._frame.top)
            found[both.shift(-box.left, -box.top).slices_hw] = self._values[inner.slices_hw]
        return found

    def write(self, box: PixelBox, values: NDArray[np.uint8]) -> None:
        del box, values
        raise AssertionError("a candidate is only looked at")

    def flush(self) -> None:
        """Do nothing: nothing was written."""

    def close(self) -> None:
        """Do nothing: the picture below has an owner."""


def _to_crop(hand: JudgedHand, crop: HandCrop, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return to_frame(hand.square, crop.frame, cells)


def _find_flesh(hand: JudgedHand) -> NDArray[np.bool_]:
    """Return the cells that are surely palm or digit."""
    return hand.maps.parts[PALM:].sum(0) > 0.8


def _share_union(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = float((one | other).sum())
    return float((one & other).sum()) / union if union else 0.0


def _bound(change: NDArray[np.float32]) -> PixelBox:
    rows, columns = np.flatnonzero((change > 0).any(axis=1)), np.flatnonzero((change > 0).any(axis=0))
    return PixelBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _cover(face: PixelBox, changed: PixelBox) -> float:
    both = face.find_overlap(changed)
    return 0.0 if both is None else both.area / face.area


def _is_same(one: Found, other: Found) -> bool:
    return one.kind == other.kind and measure_union(one.box, other.box) >= LEAST_SAME_THING
