"""The self-check of a large picture: every measure by name, and which values are called a fault.

A measure without a limit in `LIMITS` is not usable and is never shown to a person as a verdict.
Start reading at `Evidence`, then `MEASURES` and `judge_picture`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from PIL import Image

from sfumato.core.serialize import Json
from sfumato.critic.picture.added_objects import AddedObjects, Blob, find_added_objects
from sfumato.critic.picture.base_comparison import (
    FINE_SCALE,
    Consistency,
    Drift,
    Pair,
    crop_base,
    make_fine_pair,
    make_pair,
    measure_consistency,
    measure_drift,
)
from sfumato.critic.picture.feature_cache import FeatureCache
from sfumato.critic.picture.grain import Grain, measure_grain
from sfumato.critic.picture.limits import LIMITS
from sfumato.critic.picture.lost_parts import LostPart, LostParts, find_lost_parts
from sfumato.critic.picture.periodic_seams import Lattice, measure_lattice
from sfumato.critic.picture.picture_reader import PictureReader
from sfumato.critic.picture.seams import Lines, Seams, measure_seams
from sfumato.critic.picture.sharpness import Sharpness, measure_sharpness
from sfumato.critic.picture.tile_shifts import Shifts, measure_shifts


@dataclass(frozen=True, eq=False)
class Evidence:
    """Hold a large picture, the base it grew from, and the lines of its windows; measures are made when asked for.

    Without lines (windows that moved) seams are looked for only as a lattice. What `features` of the picture hold
    is not read again.
    """

    picture: PictureReader
    base: Image.Image
    lines: Lines = field(default_factory=Lines)
    features: FeatureCache | None = None

    @cached_property
    def pair(self) -> Pair:
        """Return both at the size of the base."""
        return self.features.pair if self.features else make_pair(self.picture, self.base)

    @cached_property
    def fine(self) -> Pair:
        """Return both at twice the size of the base, or at its size where the picture is no larger."""
        return self.features.fine if self.features else make_fine_pair(self.picture, self.base)

    @cached_property
    def seams(self) -> Seams:
        """Return the seams on the named lines."""
        return measure_seams(self.picture, self.lines, crop_base(self.base, self.picture.size))

    @cached_property
    def lattice(self) -> Lattice:
        """Return the seams on lines that nobody named."""
        return measure_lattice(self.picture, self.features.gradients if self.features else None)

    @cached_property
    def consistency(self) -> Consistency:
        """Return how much of the base is there."""
        return measure_consistency(self.pair)

    @cached_property
    def drift(self) -> Drift:
        """Return how colours of wide areas moved."""
        return measure_drift(self.pair)

    @cached_property
    def added_objects(self) -> AddedObjects:
        """Return what the base has not."""
        return find_added_objects(self.pair)

    @cached_property
    def lost_parts(self) -> LostParts:
        """Return the small parts of the base that the picture has no longer."""
        return find_lost_parts(self.fine)

    @cached_property
    def sharpness(self) -> Sharpness:
        """Return how evenly sharp the picture is; nan where it has no octave that the base could not hold."""
        if self.pair.scale < FINE_SCALE:
            return Sharpness(math.nan, math.nan, math.nan, math.nan)
        return measure_sharpness(self.fine)

    @cached_property
    def shifts(self) -> Shifts:
        """Return how far parts moved; between the lines, or in squares."""
        return measure_shifts(self.pair, self.lines if self.lines.xs or self.lines.ys else None)

    @cached_property
    def grain(self) -> Grain:
        """Return the noise on calm ground."""
        return measure_grain(self.picture)


@dataclass(frozen=True, eq=False)
class Measure:
    """Say in which unit a measure counts, which end is bad, and how it is read from the evidence."""

    unit: str
    bad: Literal["high", "low"]
    read: Callable[[Evidence], float]


MEASURES: dict[str, Measure] = {
    "seam ratio": Measure("times", "high", lambda seen: seen.seams.ratio_p95),
    "colour step": Measure("Delta E", "high", lambda seen: seen.seams.step_p95),
    "median colour step": Measure("Delta E", "high", lambda seen: seen.seams.step_p50),
    "lattice": Measure("deviations", "high", lambda seen: seen.lattice.deviations),
    "base consistency": Measure("dB", "low", lambda seen: seen.consistency.psnr_db),
    "added object mass": Measure("Delta E px", "high", lambda seen: seen.added_objects.heaviest),
    "lost parts": Measure("Delta E", "high", lambda seen: seen.lost_parts.strongest),
    "sharpness contrast": Measure("dB", "high", lambda seen: seen.sharpness.contrast_db),
    "colour drift": Measure("Delta E", "high", lambda seen: seen.drift.p95),
    "tile shift": Measure("px of the base", "high", lambda seen: seen.shifts.p95_px),
    "grain": Measure("levels", "high", lambda seen: seen.grain.floor_levels),
    "whiteness": Measure("share", "high", lambda seen: seen.grain.whiteness),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold one measure of a picture; `fine` is None where the picture gave nothing to judge, or where it has no limit."""

    name: str
    value: float
    unit: str
    limit: float | None
    bad: Literal["high", "low"]

    @property
    def fine(self) -> bool | None:
        """Tell whether the value is on the right side of its limit."""
        if math.isnan(self.value) or self.limit is None:
            return None
        return self.value <= self.limit if self.bad == "high" else self.value >= self.limit

    def to_json(self) -> dict[str, Json]:
        """Return the verdict as JSON values."""
        value = None if math.isnan(self.value) else round(self.value, 4)
        return {"value": value, "unit": self.unit, "limit": self.limit, "bad": self.bad, "fine": self.fine}


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold the verdicts of a picture, what it shows that its base has not, what it lost, and what was not measured."""

    verdicts: tuple[Verdict, ...]
    added_objects: tuple[Blob, ...]
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    lost_parts: tuple[LostPart, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the verdicts by name, and the boxes of added objects and lost parts in px, the heaviest first."""
        boxes: list[Json] = [list(blob.box) for blob in self.added_objects]
        lost: list[Json] = [list(part.box) for part in self.lost_parts]
        return {
            "measures": {verdict.name: verdict.to_json() for verdict in self.verdicts},
            "added_objects": boxes,
            "lost_parts": lost,
            "left_out": dict(self.left_out),
        }


# A picture that lost more parts than this lost everything; a list of them helps nobody.
MOST_LOST_PARTS = 50
# What cannot be told without knowing lines.
NEEDS_LINES: tuple[str, ...] = ("seam ratio", "colour step", "median colour step")


def judge_picture(
    picture: PictureReader, base: Image.Image, lines: Lines | None = None, features: FeatureCache | None = None
) -> Judged:
    """Judge a large picture by every calibrated measure; verdicts only by those with a limit.

    Blobs are in px of the picture; those lighter than the limit are left out. With `features` of the picture
    only the lines and a bounded number of squares are read.

    Raises:
        RequestError: the picture is smaller than its base.
    """
    seen = Evidence(picture, base, lines or Lines(), features)
    left_out: dict[str, str] = {}
    if lines is None:
        left_out.update(dict.fromkeys(NEEDS_LINES, "windows moved from step to step"))
    verdicts = [
        Verdict(name, measure.read(seen), measure.unit, find_limit(name), measure.bad)
        for name, measure in MEASURES.items()
        if name in LIMITS and name not in left_out
    ]
    least = find_limit("added object mass")
    heavy = () if least is None else tuple(blob for blob in seen.added_objects.blobs if blob.mass > least)
    lost = seen.lost_parts.parts[:MOST_LOST_PARTS]
    return Judged(tuple(verdicts), heavy, left_out, lost)


def find_limit(name: str) -> float | None:
    """Return the limit of a measure, None where it is only a number."""
    return LIMITS[name].value if name in LIMITS and LIMITS[name].finds else None
