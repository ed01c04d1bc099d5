"""Chunks hold every token once, in order, and end where A1111 ends them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfumato.models.text.chunks import Chunk, Piece, cut_chunks, frame_chunk, frame_weights

COMMA = 9
WORD = Piece((1,))


def cut(*segments: list[Piece], length: int = 75) -> list[int]:
    """Return the lengths of the chunks."""
    return [len(chunk.ids) for chunk in cut_chunks(segments, length=length, comma=COMMA)]


def test_nothing_makes_one_empty_chunk() -> None:
    assert cut() == [0]
    assert cut([]) == [0]


def test_a_full_chunk_does_not_open_an_empty_one() -> None:
    assert cut([WORD] * 75) == [75]
    assert cut([WORD] * 76) == [75, 1]


def test_break_ends_a_chunk_even_an_empty_one() -> None:
    assert cut([WORD], [WORD]) == [1, 1]
    assert cut([], [WORD]) == [0, 1]
    assert cut([WORD], []) == [1]


def test_a_long_prompt_ends_at_a_comma_less_than_20_tokens_back() -> None:
    comma = Piece((COMMA,))
    assert cut([WORD] * 55 + [comma] + [WORD] * 30) == [56, 30]
    assert cut([WORD] * 54 + [comma] + [WORD] * 30) == [75, 10]
    assert cut([WORD] * 75 + [comma, WORD]) == [75, 2]


def test_a_concept_stays_whole() -> None:
    assert cut([WORD] * 70 + [Piece((5,) * 6)]) == [70, 6]
    assert cut([WORD] * 69 + [Piece((5,) * 6)]) == [75]


def test_frames_are_two_longer_than_the_chunk() -> None:
    chunk = Chunk((4, 5), (1.5, 1.5))
    assert frame_chunk(chunk, length=4, begin=0, end=7, padding=8) == [0, 4, 5, 7, 8, 8]
    assert frame_weights(chunk, length=4) == [1.0, 1.5, 1.5, 1.0, 1.0, 1.0]


pieces = st.builds(
    Piece,
    st.lists(st.integers(1, COMMA), min_size=1, max_size=4).map(tuple),
    st.sampled_from([1.0, 1.1, 0.5]),
)


@given(st.lists(st.lists(pieces, max_size=40), max_size=4), st.integers(4, 20))
def test_every_token_comes_out_once_and_in_order(segments: list[list[Piece]], length: int) -> None:
    chunks = cut_chunks(segments, length=length, comma=COMMA)
    tokens = [(token, piece.weight) for segment in segments for piece in segment for token in piece.ids]
    assert [pair for chunk in chunks for pair in zip(chunk.ids, chunk.weights, strict=True)] == tokens
    assert all(len(chunk.ids) <= length for chunk in chunks)
