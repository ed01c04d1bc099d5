"""How much drawn pictures look like the photos of a concept, between the class alone and the photos themselves.

Knows pictures and mini's reader; of another base's pictures nothing is read. Start reading at `make_likeness`.

Two answers of one reader: marks that it names (glasses, hair, clothes), and the features behind its answers, which see
what it has no word for. Source of the scale: Ruiz et al. 2022, DreamBooth, table 1, whose ceiling are the real pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.critic.reader.reader import load_reader

if TYPE_CHECKING:
    from sfumato.critic.reader.reader import Reader, Readings

# Questions of the reader whose answers make a person: what stays from picture to picture.
MARKS = ("kind", "hair", "hair_style", "skin", "glasses", "beard", "top", "top_colour")
# A word of a prompt -> what the reader is to answer.
CLAIMS = {
    "meadow": ("place", "meadow"), "beach": ("place", "beach"), "street": ("place", "street"), "room": ("place", "room"),
    "waving": ("pose", "waving"), "walking": ("pose", "walking"), "cartoon": ("style", "cartoon"),
}  # fmt: skip
# Pictures are compared with photos at so many cells a side; nearer than this is called a copy.
COPY_CELLS, COPY_FROM = 16, 0.95


@dataclass(frozen=True, eq=False)
class Likeness:
    """Rate pictures against the photos of one concept. A leaf.

    `marks` are those that most photos show; `centre` is the mean of their unit features [d].
    """

    reader: Reader
    marks: dict[str, object]
    centre: NDArray[np.float64]

    def rate(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return for each picture [N, H, W, 3] the mean of the share of marks and the cosine of its features."""
        readings = self.reader.read(pictures)
        return (share_marks(readings, self.marks) + _normalise(readings.features) @ _normalise(self.centre)) / 2


@cache
def load_mini_reader() -> Reader:
    """Return the reader of mini's pictures."""
    return load_reader(Path(str(resources.files("sfumato"))) / "data" / "mini" / "reader")


def read_pictures(pictures: NDArray[np.uint8]) -> Readings | None:
    """Read pictures [N, H, W, 3]; None where they have another size than mini's."""
    side = load_mini_reader().shape.picture_px
    return load_mini_reader().read(pictures) if pictures.shape[1:3] == (side, side) else None


def make_likeness(photos: NDArray[np.uint8]) -> Likeness | None:
    """Return what rates pictures against photos; None where no reader knows pictures of this size."""
    readings = read_pictures(photos)
    if readings is None:
        return None
    marks = find_marks(readings, range(len(readings)))
    return Likeness(load_mini_reader(), marks, _normalise(readings.features).mean(axis=0))


def find_marks(readings: Readings, pictures: Sequence[int]) -> dict[str, object]:
    """Return the answer of each question that most of some pictures give."""
    return {head: Counter(readings.word(at, head) for at in pictures).most_common(1)[0][0] for head in MARKS}


def share_marks(readings: Readings, marks: dict[str, object]) -> NDArray[np.float64]:
    """Return for each picture the share of its answers that are the marks."""
    hits = [[readings.word(at, head) == word for head, word in marks.items()] for at in range(len(readings))]
    return np.asarray(hits, np.float64).mean(axis=1)


def score_identity(drawn: Readings, floor: Readings, real: Readings) -> list[Measurement]:
    """Compare drawn people with most photos: by marks, and by the reader's features. 0 is the class, 1 the photos."""
    count = len(real)
    marks = find_marks(real, range(count))
    shares, alone = share_marks(drawn, marks), share_marks(floor, marks)
    # Each photo is compared with what the others show, so that none vouches for itself.
    others = [[at for at in range(count) if at != one] for one in range(count)]
    high = float(np.mean([share_marks(real, find_marks(real, others[one]))[one] for one in range(count)]))
    rows = [
        measure_mean("marks right, with the concept", 100 * shares, "%"),
        measure_mean("marks right, the class alone (floor)", 100 * alone, "%"),
        Measurement(name="marks right, the photos (ceiling)", value=100 * high, unit="%", n=count),
    ]
    units = _normalise(real.features)
    near = [float(units[one] @ _normalise(units[others[one]].mean(axis=0))) for one in range(count)]
    centre = _normalise(units.mean(axis=0))
    cosines, floor_cosines = (_normalise(one.features) @ centre for one in (drawn, floor))
    by_features = _scale("identity by features", cosines, floor_cosines, float(np.mean(near)))
    by_marks = _scale("identity", shares, alone, high)
    return [*by_marks, *by_features, *rows]


def _scale(name: str, found: NDArray[np.float64], floor: NDArray[np.float64], ceiling: float) -> list[Measurement]:
    """Return a score between floor and ceiling; nothing where the class alone is as near as the photos."""
    low = float(floor.mean())
    if ceiling - low < 1e-3:
        return []
    note = "0 is the class alone, 1 the photos; the interval is over pictures, floor and ceiling held"
    return [measure_mean(name, (found - low) / (ceiling - low), "of 1", note=note)]


def rate_claims(readings: Readings, prompts: Sequence[str], seeds: int) -> list[bool]:
    """Return whether each place, pose and style that prompts ask for was drawn; pictures stand prompt by prompt."""
    return [
        readings.word(at * seeds + seed, head) == word
        for at, prompt in enumerate(prompts)
        for name, (head, word) in CLAIMS.items()
        if name in prompt
        for seed in range(seeds)
    ]


def score_diversity(drawn: Readings, floor: Readings, seeds: int) -> list[Measurement]:
    """Compare how far apart the seeds of a prompt lie with how far the class's lie, by features."""
    mine, theirs = (_measure_spread(one, seeds) for one in (drawn, floor))
    if seeds < 2 or theirs.mean() <= 0:
        return []
    note = "distance between seeds of one prompt over that of the class alone; little means copies of one picture"
    return [measure_mean("diversity", 100 * mine / theirs.mean(), "%", note=note)]


def score_copies(drawn: NDArray[np.uint8], photos: NDArray[np.uint8], floor: NDArray[np.uint8]) -> list[Measurement]:
    """Find for each drawn picture the nearest photo, as small pictures without their mean."""
    known = _shrink(photos)
    nearest, usual = ((_shrink(some) @ known.T).max(axis=1) for some in (drawn, floor))
    note = f"correlation at {COPY_CELLS} px a side; the class alone reaches {usual.mean():.2f}"
    return [
        measure_mean("nearest photo", nearest, "of 1", note=note),
        measure_share("copies of a photo", int((nearest >= COPY_FROM).sum()), len(nearest)),
    ]


def measure_mean(name: str, values: NDArray[np.float64], unit: str, *, note: str = "") -> Measurement:
    """Return the mean of values with its bootstrap interval."""
    low, high = bootstrap_interval(values)
    return Measurement(name=name, value=float(values.mean()), unit=unit, n=len(values), low=low, high=high, note=note)


def _measure_spread(readings: Readings, seeds: int) -> NDArray[np.float64]:
    units = _normalise(readings.features).reshape(-1, seeds, readings.features.shape[1])
    cosines = units @ units.transpose(0, 2, 1)
    upper = np.triu_indices(seeds, 1)
    return np.asarray([1 - one[upper].mean() for one in cosines]) if seeds > 1 else np.zeros(len(units))


def _normalise(features: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = np.asarray(features, np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)


def _shrink(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    side = (COPY_CELLS, COPY_CELLS)
    small = np.stack(
        [np.asarray(Image.fromarray(one).resize(side, Image.Resampling.BOX), np.float64).ravel() for one in pictures]
    )
    return _normalise(small - small.mean(axis=1, keepdims=True))
