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
from sfumato.critic.frechet import Cloud, frechet_distance, make_cloud
from sfumato.critic.reader import Reader
from sfumato.workflows.evaluate_hires_measures import choose_places, cut_crops
from sfumato.workflows.evaluate_hires_prompts import draw_reference

# Crops of one picture: about as many as fit side by side, but no more than say something new.
MOST_CROPS = 32
# Drawn scenes that crops are compared with.
REFERENCE_SCENES = 256
# Each round costs an eigenvalue problem.
ROUNDS = 200


@dataclass(frozen=True, eq=False)
class Crops:
    """Compare crops of pictures of one size with crops of other drawn scenes of that size. A leaf."""

    reader: Reader
    size: PixelSize
    seed: int
    cloud: Cloud

    def measure(self, name: str, pictures: Iterable[tuple[int, NDArray[np.uint8]]]) -> Measurement | None:
        """Return the row of a method from (prompt, picture), its interval from resampling whole pictures.

        None for one picture alone: a cloud has two points at least, and its spread needs several.
        """
        each = [read_crops(self.reader, picture, (self.seed, prompt)) for prompt, picture in pictures]
        if len(each) < 2:
            return None
        value = frechet_distance(np.concatenate(each), self.cloud)
        stream = sub_stream(self.seed, "crop bootstrap", name)
        picks = [stream.integers(len(each), size=len(each)) for _ in range(ROUNDS)]
        spread = 1.96 * float(
            np.std([frechet_distance(np.concatenate([each[i] for i in pick]), self.cloud) for pick in picks])
        )
        title = f"{name}: FID of native-size crops"
        note = f"{sum(len(some) for some in each)} crops"
        low, high = max(0.0, value - spread), value + spread
        return Measurement(name=title, value=value, unit="", n=len(each), low=low, high=high, note=note)


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
