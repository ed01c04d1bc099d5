"""Measure `find` on real renders against boxes that were read by eye, one half of the pictures at a time.

Limits of the finders were chosen on the half "calibrate"; only the half "judge" says how good they are. Prints
nothing. Start reading at `run_evaluate_find`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.lab.find.judge import FindCounts, judge_picture
from sfumato.lab.find.labels import HALVES, KINDS, find_pictures, read_labels
from sfumato.models.parts.catalogue import check_part
from sfumato.workflows.find.find import find_things

OnProgress = Callable[[str, int, int], None]
PICTURES_PART, PICTURES_FOLDER = "renders", "templates"
LABELS = Path("tests/labels/real.json")
# Of the issue that asked for the finders, in percent; persons have none.
AIMS = {"face": (95.0, 2.0), "hand": (70.0, 5.0)}
# Heights of labelled faces, px: from, below.
HEIGHTS = ((16, 32), (32, 64), (64, 128), (128, 100_000))


@dataclass(frozen=True, kw_only=True)
class FindEvaluation:
    """Say which half is judged, with which labels, and where the pictures lie (left out: the part `renders`)."""

    half: str = "judge"
    labels: Path = LABELS
    pictures: Path | None = None

    def __post_init__(self) -> None:
        if self.half not in HALVES:
            raise RequestError("labels have two halves", got=self.half, do=f"Name one in `half`: {', '.join(HALVES)}.")

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        labels = "" if self.labels == LABELS else f" --labels {self.labels}"
        pictures = "" if self.pictures is None else f" --pictures {self.pictures}"
        return f"sfumato evaluate find --half {self.half}{labels}{pictures}"


def run_evaluate_find(wanted: FindEvaluation, *, on_progress: OnProgress | None = None) -> Card:
    """Find in every labelled picture of a half, and return the card: recall and false finds of each kind.

    Raises:
        RequestError: the labels or a picture are missing, or a picture is another one than was labelled.
        ModelError: a part of the finders, or that of the pictures, was not fetched yet.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    pictures = read_labels(wanted.labels, wanted.half)
    folder = wanted.pictures or check_part(PICTURES_PART) / PICTURES_FOLDER
    places = find_pictures(pictures, folder)
    counts = {kind: FindCounts() for kind in KINDS}
    seconds: list[float] = []
    for number, (picture, place) in enumerate(zip(pictures, places, strict=True), 1):
        began = time.perf_counter()
        found = find_things(place).found
        seconds.append(time.perf_counter() - began)
        for kind in KINDS:
            counts[kind].add(judge_picture(kind, found, picture.things))
        report("pictures", number, len(pictures))
    rows = [row for kind in KINDS for row in _describe_kind(kind, counts[kind])]
    if seconds:
        took = Measurement(name="time of a picture, median", value=median(seconds), unit="s", n=len(seconds))
        rows.append(took)
    notes = (
        "a find is right where it shares 0.3 of the union with a labelled box; a second find of one thing is false",
        "false: of all finds that count; drawn faces and hands that are found are right, and stand in rows of their own",
        "limits were chosen on the half `calibrate`; only the half `judge` says how good they are",
    )
    title = f"find on real renders, the half to {wanted.half}"
    return Card(title=title, rows=tuple(rows), seed=0, command=wanted.command, notes=notes)


def _describe_kind(kind: str, counts: FindCounts) -> Iterator[Measurement]:
    recall, false = AIMS.get(kind, (None, None))
    yield measure_share(f"{kind}: found", sum(counts.hits), len(counts.hits), aim=recall)
    wrong = measure_share(f"{kind}: false", counts.false, counts.false + counts.right, aim=false)
    yield replace(wrong, aim_is="most")
    yield measure_share(f"{kind}: found, drawn", sum(counts.drawn_hits), len(counts.drawn_hits))
    if kind != "face":
        return
    for low, high in HEIGHTS:
        hits = [hit for hit, height in zip(counts.hits, counts.heights, strict=True) if low <= height < high]
        span = f"{low} to {high - 1} px" if high < HEIGHTS[-1][1] else f"{low} px and more"
        yield measure_share(f"face: found, height {span}", sum(hits), len(hits))
