"""What the proof of focus counts on faces, and the rows of its card.

Values only: draws nothing, runs nothing. Start reading at `describe_records`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.lab.focus.looks import FaceLook
from sfumato.lab.focus.scenes import TrueFace
from sfumato.render.passes.focus_outcome import FocusOutcome

# The ways that are compared, in the order of the sheet.
BEFORE, PLAIN, UNTESTED, FOCUS = "before", "plain 2x", "without a test", "focus"
CLOSE_UP, TRUTH = "close-up", "drawn truth"
WAYS = (BEFORE, PLAIN, UNTESTED, FOCUS, CLOSE_UP, TRUTH)
# The attributes that the aim names; the others are counted for harm alone.
ATTRIBUTES = ("hair", "glasses", "smile", "age")
# An answer nearer to open than this is none; a question that not even a close-up answers so clearly is none.
CLEAR = 0.1
# Everything beside the head may come so many levels farther from the drawing before that is harm.
MOST_BESIDE = 3.0
SIZES_PX = ((12, 24), (24, 72))


@dataclass(frozen=True, eq=False, kw_only=True)
class FaceRecord:
    """Hold one face: its truth, its outcome (None: not found), its true words, its crop and what was judged by way."""

    face: TrueFace
    outcome: FocusOutcome | None
    words: Mapping[str, object]
    crops: Mapping[str, NDArray[np.uint8]]
    looks: Mapping[str, FaceLook]

    @property
    def is_kept(self) -> bool:
        """Tell whether focus put something back."""
        return self.outcome is not None and self.outcome.verdict == "kept"

    def list_questions(self, heads: Sequence[str] = ()) -> tuple[str, ...]:
        """Return what a close-up answers rightly and clearly at this size, of some heads or of all."""
        margins = self.looks[CLOSE_UP].margins
        return tuple(head for head, margin in margins.items() if margin >= CLEAR and (not heads or head in heads))

    def count_right(self, way: str, heads: Sequence[str]) -> tuple[int, int]:
        """Count the answers that are right, and the questions."""
        margins = self.looks[way].margins
        asked = [head for head in heads if head in margins]
        return sum(margins[head] >= 0.0 for head in asked), len(asked)

    def list_harmed(self, way: str) -> list[str]:
        """Return what was right before and is wrong by a way: attributes, eyes and mouth, the person, what lies beside."""
        before, after = self.looks[BEFORE], self.looks[way]
        # A face without a mouth is not right about its smile.
        asked = [head for head in self.list_questions() if head != "smile" or before.parts.get("mouth", 0.0) >= CLEAR]
        harmed = [head for head in asked if before.margins[head] >= CLEAR and after.margins[head] <= -CLEAR]
        harmed += [name for name, margin in before.parts.items() if margin >= CLEAR and after.parts[name] <= -CLEAR]
        harmed += ["person"] if before.is_own and not after.is_own else []
        return harmed + (["beside"] if after.beside > before.beside + MOST_BESIDE else [])

    def to_json(self) -> dict[str, object]:
        """Return the record without its crops."""
        judged = {
            way: {
                "margins": {head: round(value, 3) for head, value in look.margins.items()},
                "parts": {name: round(value, 3) for name, value in look.parts.items()},
                "moved_px": {name: round(value, 2) for name, value in look.moved.items()},
                "own": look.is_own,
                "beside": round(look.beside, 2),
            }
            for way, look in self.looks.items()
        }
        outcome = None if self.outcome is None else self.outcome.to_json()
        harmed = {way: self.list_harmed(way) for way in (PLAIN, UNTESTED, FOCUS)}
        words = {head: str(word) for head, word in self.words.items()}
        return {"head_px": self.face.head_px, "words": words, "outcome": outcome, "harmed": harmed, "ways": judged}


def describe_records(records: Sequence[FaceRecord]) -> list[Measurement]:
    """Return the rows on faces: what became of them, what is right by way, what was harmed."""
    found = [one for one in records if one.outcome is not None]
    tried = [one.outcome for one in found if one.outcome is not None and one.outcome.verdict != "left"]
    kept = [one for one in records if one.is_kept]
    rows = [
        measure_share("faces that are found", len(found), len(records)),
        measure_share("tried faces that are kept", len(kept), len(tried)),
    ]
    if tried:
        for name, unit in (("tries", ""), ("seconds", "s")):
            value = float(np.mean([getattr(one, name) for one in tried]))
            rows.append(Measurement(name=f"{name} of a face", value=value, unit=unit, n=len(tried)))
    for way in WAYS:
        counts = [one.count_right(way, ATTRIBUTES) for one in records]
        right, asked = (sum(count[place] for count in counts) for place in (0, 1))
        rows.append(measure_share(f"hair, glasses, smile, age right, {way}", right, asked))
    rows += [_measure_gap(records, way) for way in (PLAIN, UNTESTED, FOCUS)]
    for low, high in SIZES_PX:
        chosen = [one for one in records if low <= one.face.head_px < high and one.looks[TRUTH].parts]
        for way in (BEFORE, PLAIN, UNTESTED, FOCUS, CLOSE_UP):
            whole = sum(one.looks[way].is_whole for one in chosen)
            name = f"two eyes and a mouth, heads of {low} to {high} px, {way}"
            rows.append(measure_share(name, whole, len(chosen), aim=90.0 if way == FOCUS else None))
    for way in (BEFORE, PLAIN, UNTESTED, FOCUS):
        rows.append(measure_share(f"nearest to its own person, {way}", _count(records, way), len(records)))
    for way in (UNTESTED, FOCUS, CLOSE_UP):
        moves = [
            100.0 * one.looks[way].moved[name] / max(one.face.box.width, one.face.box.height)
            for one in (records if way == CLOSE_UP else found)
            for name, margin in one.looks[way].parts.items()
            if margin >= CLEAR
        ]
        rows.append(_measure_mean(f"eyes and mouth lie off by, of the face, {way}", moves, "%"))
    for way in (PLAIN, UNTESTED, FOCUS):
        shown = kept if way == FOCUS else records if way == PLAIN else found
        harmed = [one.list_harmed(way) for one in shown]
        aim = 0.5 if way == FOCUS else None
        row = measure_share(f"harm: something right made wrong, {way}", sum(map(bool, harmed)), len(shown), aim=aim)
        rows.append(replace(row, aim_is="most"))
    for what in sorted({what for one in kept for what in one.list_harmed(FOCUS)}):
        rows.append(
            measure_share(f"harm by focus: {what}", sum(what in one.list_harmed(FOCUS) for one in kept), len(kept))
        )
    return rows


def _count(records: Sequence[FaceRecord], way: str) -> int:
    return sum(one.looks[way].is_own for one in records)


def _measure_gap(records: Sequence[FaceRecord], way: str) -> Measurement:
    """Return the share of the gap between before and the close-up that a way closes, with an interval over faces."""
    counts = np.array([[one.count_right(name, ATTRIBUTES)[0] for name in (BEFORE, way, CLOSE_UP)] for one in records])

    def close(places: NDArray[np.float64]) -> float:
        before, after, best = counts[places.astype(np.int64)].sum(axis=0)
        # Where close-ups are no better there is no gap; a few resamples of a small n are like that.
        return 100.0 * float(after - before) / max(1.0, float(best - before))

    low, high = bootstrap_interval(np.arange(len(records), dtype=np.float64), close)
    value = close(np.arange(len(records), dtype=np.float64)) if records else float("nan")
    aim = 80.0 if way == FOCUS else None
    name = f"gap of attributes closed, {way}"
    return Measurement(name=name, value=value, unit="%", n=len(records), low=low, high=high, aim=aim)


def _measure_mean(name: str, values: Sequence[float], unit: str) -> Measurement:
    low, high = bootstrap_interval(values)
    mean = float(np.mean(values)) if values else float("nan")
    return Measurement(name=name, value=mean, unit=unit, n=len(values), low=low, high=high)
