"""The questions a reader can answer and the words of each answer.

A head is a question ("hair"), its classes are the possible answers. Knows no network and no world:
whoever trains a reader brings the words. Start reading at `Vocabulary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import ModelError, RequestError

Word = str | int
Labels = Mapping[str, Word]

NOT_ASKED = -1
"""Index of a head that does not apply to a picture: the colour of the hair of a brick wall."""


@dataclass(frozen=True)
class Vocabulary:
    """Hold the heads in order and the classes of each; at least two classes a head."""

    heads: tuple[tuple[str, tuple[Word, ...]], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.heads]
        few = [name for name, classes in self.heads if len(set(classes)) < max(2, len(classes))]
        if not names or len(set(names)) < len(names) or few:
            raise RequestError("heads need distinct names and two distinct classes at least", got=few or names)

    @property
    def names(self) -> tuple[str, ...]:
        """List the heads in order."""
        return tuple(name for name, _ in self.heads)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Count the classes of each head."""
        return tuple(len(classes) for _, classes in self.heads)

    @cached_property
    def _places(self) -> dict[str, dict[Word, int]]:
        return {name: {word: i for i, word in enumerate(classes)} for name, classes in self.heads}

    def classes(self, head: str) -> tuple[Word, ...]:
        """Return the classes of a head.

        Raises:
            RequestError: no head is called that.
        """
        if head not in self._places:
            raise RequestError("the reader has no such head", got=head, do=f"Use one of: {', '.join(self.names)}.")
        return tuple(self._places[head])

    def encode(self, labels: Labels) -> NDArray[np.int64]:
        """Return the class index of every head, `NOT_ASKED` where the labels say nothing: [heads].

        Raises:
            RequestError: a label is unknown, or its word is.
        """
        unknown = {name: word for name, word in labels.items() if word not in self._places.get(name, {})}
        if unknown:
            raise RequestError("labels outside the reader's vocabulary", got=unknown)
        found = [self._places[name][labels[name]] if name in labels else NOT_ASKED for name in self.names]
        return np.array(found, np.int64)

    def to_json(self) -> list[list[object]]:
        """Return the heads as JSON values."""
        return [[name, list(classes)] for name, classes in self.heads]

    @classmethod
    def from_json(cls, heads: object) -> Vocabulary:
        """Rebuild what `to_json` returned.

        Raises:
            ModelError: the value has another shape.
        """
        try:
            return cls(tuple((str(name), tuple(map(_check_word, classes))) for name, classes in heads))  # pyright: ignore[reportGeneralTypeIssues]
        except (TypeError, ValueError, RequestError) as error:
            raise ModelError("the reader's vocabulary is broken", got=str(error)) from error


def _check_word(word: object) -> Word:
    if isinstance(word, bool) or not isinstance(word, str | int):
        raise TypeError(f"a class is a word or a whole number, not {word!r}")
    return word
