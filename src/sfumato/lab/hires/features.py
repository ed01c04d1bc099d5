"""How far crops of large pictures lie from crops of drawn pictures, on the reader's features.

Crops have the reader's size, at places that depend on the prompt alone, so every method shows the same places.
Start reading at `Crops.measure`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement
from sfumato.core.geometry import PixelSize
from sfumato.core.seeds import sub_stream
from sfumato.critic.picture.frechet import Cloud, frechet_distance, make_cloud
from sfumato.critic.reader.reader import Reader
from sfumato.lab.hires.measures import choose_places, cut_crops
from sfumato.lab.hires.prompts import draw_reference

# Crops of one picture: about as many as fit side by side, but no more than say something new.
MOST_CROPS = 32
# Drawn scenes that crops are compared with.
REFERENCE_SCENES = 256
# Each round costs an eigenvalue problem; 200 give a spread to one part in twenty.
ROUNDS = 200
FID = "FID of native-size crops"


@dataclass(frozen=True, eq=False)
class Distance:
    """Hold how far the crops of some prompts lie from drawn ones: all of them, and each resample of the prompts."""

    prompts: tuple[int, ...]
    crops: int
    value: float
    resampled: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Crops:
    """Compare crops of pictures of one size with crops of other drawn scenes of that size. A leaf."""

    reader: Reader
    size: PixelSize
    seed: int
    cloud: Cloud

    def measure(self, pictures: Iterable[tuple[int, NDArray[np.uint8]]]) -> Distance | None:
        """Return how far (prompt, picture) lie from what is drawn, whole and resampled by pictures.

        None for one picture alone: a cloud has two points at least, and its spread needs several. As many
        pictures are resampled alike whatever they show, so methods can be compared resample by resample.
        """
        each = [(prompt, read_crops(self.reader, picture, (self.seed, prompt))) for prompt, picture in pictures]
        if len(each) < 2:
            return None
        features = [crops for _, crops in each]
        stream = sub_stream(self.seed, "crop bootstrap")
        picks = [stream.integers(len(each), size=len(each)) for _ in range(ROUNDS)]
        found = [frechet_distance(np.concatenate([features[i] for i in pick]), self.cloud) for pick in picks]
        whole = np.concatenate(features)
        return Distance(
            tuple(prompt for prompt, _ in each), len(whole), frechet_distance(whole, self.cloud), np.array(found)
        )


def describe_distance(name: str, distance: Distance) -> Measurement:
    """Return the row of a method; as far as its resamples spread on both sides of the value."""
    low, high = _spread_around(distance.value, distance.resampled)
    title, n = f"{name}: {FID}", len(distance.prompts)
    note = f"{distance.crops} crops"
    return Measurement(name=title, value=distance.value, unit="", n=n, low=max(0.0, low), high=high, note=note)


def compare_distances(names: tuple[str, str], ours: Distance, theirs: Distance) -> Measurement:
    """Return how much further one method lies than another, resampled prompt by prompt."""
    assert ours.prompts == theirs.prompts, "every case has a picture of every method"
    value = ours.value - theirs.value
    low, high = _spread_around(value, ours.resampled - theirs.resampled)
    title, n = f"{names[0]} less {names[1]}: {FID}", len(ours.prompts)
    return Measurement(name=title, value=value, unit="", n=n, low=low, high=high)


def _spread_around(value: float, resampled: NDArray[np.float64]) -> tuple[float, float]:
    # No percentiles: a resample shows some crops twice, which makes clouds of few crops look further away.
    spread = 1.96 * float(np.std(resampled))
    return value - spread, value + spread


def make_crops(reader: Reader, size: PixelSize, *, seed: int, scenes: int = REFERENCE_SCENES) -> Crops | None:
    """Read the drawn scenes that a size is compared with; None where a picture is smaller than a crop."""
    if min(size.width, size.height) < reader.shape.picture_px:
        return None
    drawn = enumerate(draw_reference(scenes, size, seed=seed))
    features = [read_crops(reader, picture, (seed, -1 - number)) for number, picture in drawn]
    return Crops(reader, size, seed, make_cloud(np.concatenate(features)))


def read_crops(reader: Reader, picture: NDArray[np.uint8], where: tuple[int, int]) -> NDArray[np.float32]:
    """Return the features of the crops of a picture, [crops, C]; `where` = (seed, prompt) chooses the places."""
    side, (height, width) = reader.shape.picture_px, picture.shape[:2]
    count = max(1, min(MOST_CROPS, (height // side) * (width // side)))
    places = choose_places((width, height), side, count, sub_stream(where[0], "crops", where[1]))
    return reader.read(cut_crops(picture, side, places)).features
