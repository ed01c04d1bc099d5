"""The vocabulary opens in CLIPTokenizer and spells anything."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from sfumato.train.vocabulary import (
    count_words,
    learn_merges,
    list_tokens,
    read_merges,
    save_vocabulary,
    split_new_tokens,
)

CAPTIONS = ["a red house in a green meadow", "a red hand, photograph", "the hand of a woman"]


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    size = save_vocabulary(folder, learn_merges(count_words(CAPTIONS)))
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    assert len(tokenizer) == size
    return tokenizer


def test_known_words_are_one_token_each(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path)
    assert tokenizer.convert_ids_to_tokens(tokenizer("A red  HAND").input_ids) == [
        "<|startoftext|>",
        "a</w>",
        "red</w>",
        "hand</w>",
        "<|endoftext|>",
    ]
    assert tokenizer.model_max_length == 77


def test_any_word_can_be_spelled(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path)
    end = tokenizer.eos_token_id

    @settings(max_examples=60, deadline=None)
    @given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12))
    def spell(word: str) -> None:
        ids = tokenizer(word).input_ids
        # The unknown token is the end token: it may stand only at the end.
        assert end not in ids[:-1]

    spell()


def test_the_same_captions_give_the_same_file(tmp_path: Path) -> None:
    make_tokenizer(tmp_path / "a")
    save_vocabulary(tmp_path / "b", learn_merges(count_words(reversed(CAPTIONS))))
    assert (tmp_path / "a" / "vocab.json").read_bytes() == (tmp_path / "b" / "vocab.json").read_bytes()


def test_a_vocabulary_grows_behind_the_known_one(tmp_path: Path) -> None:
    known = learn_merges(count_words(["a red house", "a green house"]))
    grown = learn_merges(count_words(["a red house", "a mountain by a lake", "mountains"]), known)
    assert grown[: len(known)] == known
    before, after = list_tokens(known), list_tokens(grown)
    assert after[: len(before)] == before
    assert {"mountain</w>", "lake</w>"} <= set(after[len(before) :])
    for token, ids in zip(after[len(before) :], split_new_tokens(known, grown), strict=True):
        assert "".join(before[number] for number in ids) == token
    save_vocabulary(tmp_path, grown)
    assert read_merges(tmp_path) == grown
