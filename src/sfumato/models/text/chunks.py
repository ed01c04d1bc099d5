"""Cut a stream of weighted tokens into the fixed windows a CLIP text encoder can read.

Knows lists of token ids only: no tokenizer, no tensor, no prompt grammar. Start reading at
`cut_chunks`; `frame_chunk` adds the begin, end and padding ids around one chunk.

Source: the behaviour of the A1111 web UI (75 tokens a chunk, BREAK ends one, a chunk that is full
less than 20 tokens after a comma ends at that comma instead).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# A1111's default for "comma_padding_backtrack": how far back a full chunk looks for a comma.
COMMA_REACH_TOKENS = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Ids that stay together under one weight: an ordinary token, or all vectors of a concept."""

    ids: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most `length` token ids with their weights, without begin, end and padding."""

    ids: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def weighted(self) -> bool:
        """Tell whether any weight differs from 1."""
        return any(weight != 1.0 for weight in self.weights)


@dataclass(slots=True)
class _Cutter:
    length: int
    comma: int | None
    done: list[Chunk] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    filled: int = 0
    comma_at: int | None = None  # pieces up to and including the last comma

    def end_chunk(self) -> None:
        self.done.append(_join(self.pieces))
        self.pieces, self.filled, self.comma_at = [], 0, None

    def add(self, piece: Piece) -> None:
        is_comma = piece.ids == (self.comma,)
        if self.filled == self.length and not is_comma:
            self._end_at_comma()
        if self.filled + len(piece.ids) > self.length:
            self.end_chunk()
        self.pieces.append(piece)
        self.filled += len(piece.ids)
        if is_comma:
            self.comma_at = len(self.pieces)

    def _end_at_comma(self) -> None:
        if self.comma_at is None:
            return
        moved = self.pieces[self.comma_at :]
        moved_ids = sum(len(piece.ids) for piece in moved)
        if moved_ids >= COMMA_REACH_TOKENS:
            return
        self.pieces = self.pieces[: self.comma_at]
        self.end_chunk()
        self.pieces, self.filled = moved, moved_ids


def cut_chunks(segments: Iterable[Iterable[Piece]], *, length: int, comma: int | None) -> tuple[Chunk, ...]:
    """Cut segments (separated by BREAK) into chunks of at most `length` ids; there is always one.

    `comma` is the id of a comma token, None where the vocabulary has none.
    """
    cutter = _Cutter(length, comma)
    for index, segment in enumerate(segments):
        if index:
            cutter.end_chunk()
        for piece in segment:
            assert 0 < len(piece.ids) <= length, "a piece has to fit one chunk"
            cutter.add(piece)
    if cutter.pieces or not cutter.done:
        cutter.end_chunk()
    return tuple(cutter.done)


def frame_chunk(chunk: Chunk, *, length: int, begin: int, end: int, padding: int) -> list[int]:
    """Return begin + ids + end, padded to `length` + 2 ids."""
    used = [begin, *chunk.ids, end]
    return used + [padding] * (length + 2 - len(used))


def frame_weights(chunk: Chunk, *, length: int) -> list[float]:
    """Return the weights at the positions of `frame_chunk`; begin, end and padding weigh 1."""
    return [1.0, *chunk.weights] + [1.0] * (length + 1 - len(chunk.weights))


def _join(pieces: Iterable[Piece]) -> Chunk:
    ids: list[int] = []
    weights: list[float] = []
    for piece in pieces:
        ids.extend(piece.ids)
        weights.extend([piece.weight] * len(piece.ids))
    return Chunk(tuple(ids), tuple(weights))
