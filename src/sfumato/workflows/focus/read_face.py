"""What can be read of a face or a figure in a crop: who it is, hair, glasses, and how sure that is. Mini's world only.

Joins the reader that ships with mini and crops of any size. Start reading at `FaceReader.read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from sfumato.critic.reader.reader import Reader

# What stays of a person from crop to crop. A smile may come with the words of the prompt; it is judged apart.
HEADS = ("kind", "age", "hair", "hair_style", "skin", "glasses", "smile", "beard")


@dataclass(frozen=True, eq=False)
class Reading:
    """Hold the answers of a reader about one crop: a word and how sure it is, by head."""

    words: Mapping[str, object]
    sureness: Mapping[str, float]
    features: NDArray[np.float32]

    def pick(self, least: float) -> dict[str, object]:
        """Return the words that are at least so sure."""
        return {head: word for head, word in self.words.items() if self.sureness[head] >= least}


class FaceReader:
    """Read crops with the reader of mini's world. A leaf."""

    def __init__(self, reader: Reader | None = None) -> None:
        """Take a reader; without one, that of mini is opened at the first crop."""
        self._own = reader

    @cached_property
    def _reader(self) -> Reader:
        from sfumato.critic.detector.detector import SHIPPED
        from sfumato.critic.reader.reader import load_reader

        return self._own or load_reader(SHIPPED.parent / "reader")

    def read(self, crop: NDArray[np.uint8]) -> Reading:
        """Read a crop, uint8 [h, w, 3] of any size; its middle square is what counts."""
        px = self._reader.shape.picture_px
        side = min(crop.shape[:2])
        top, left = ((length - side) // 2 for length in crop.shape[:2])
        square = Image.fromarray(np.ascontiguousarray(crop[top : top + side, left : left + side]))
        shown = np.asarray(square.resize((px, px), Image.Resampling.BICUBIC))
        readings = self._reader.read(shown[None])
        words = {head: readings.word(0, head) for head in (*HEADS, "top_colour")}
        return Reading(words, {head: readings.sureness(0, head) for head in words}, readings.features[0])
