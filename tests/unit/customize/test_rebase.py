"""Vectors follow the words that two bases share, and a LoRA follows where shapes and subspaces agree."""

import pytest
import torch
from torch import nn

from sfumato.core.errors import ModelError
from sfumato.customize.rebase import WordTable, filter_factors, map_vectors, read_weights

COUNT, OLD, NEW = 200, 16, 24


@pytest.fixture(scope="module")
def tables():
    """Return two tables of which the second is a linear picture of the first, with some words of its own."""
    noise = torch.Generator().manual_seed(1)
    old = torch.randn((COUNT, OLD), generator=noise)
    turn = torch.randn((OLD, NEW), generator=noise) / OLD**0.5
    words = {f"word{number}": number for number in range(COUNT)}
    rows = torch.cat([torch.randn((5, NEW), generator=noise), old @ turn])
    shifted = {word: number + 5 for word, number in words.items()} | {f"own{number}": number for number in range(5)}
    return WordTable(words=words, rows=old), WordTable(words=shifted, rows=rows), turn


def test_a_vector_lands_where_its_words_went(tables):
    old, new, turn = tables
    vectors = old.rows[:3] * 0.9 + 0.1 * old.rows[3:6]
    mapped, said = map_vectors(vectors, old, new)
    assert mapped.shape == (3, NEW)
    assert torch.nn.functional.cosine_similarity(mapped, vectors @ turn).min() > 0.97
    assert "200 words" in said


def test_the_same_words_carry_vectors_to_the_bit(tables):
    old, _, _ = tables
    vectors = torch.randn((2, OLD), generator=torch.Generator().manual_seed(2))
    mapped, _ = map_vectors(vectors, old, WordTable(words=old.words, rows=old.rows.clone()))
    assert torch.equal(mapped, vectors)


def test_bases_that_share_hardly_a_word_are_refused(tables):
    old, new, _ = tables
    few = WordTable(words={f"other{number}": number for number in range(COUNT)}, rows=new.rows)
    with pytest.raises(ModelError, match="share hardly a word"):
        map_vectors(old.rows[:1], old, few)


def make_unet(width, *, seed):
    torch.manual_seed(seed)
    return nn.ModuleDict({"attn": nn.Linear(width, width, bias=False)})


def test_the_same_weight_keeps_a_change_whole_and_another_weakens_it():
    first, second = make_unet(16, seed=1), make_unet(16, seed=2)
    weights = read_weights(first, ["attn"])
    strong = torch.linalg.svd(weights["attn"])[0][:, :2]
    factors = {"attn.up": strong, "attn.down": torch.ones(2, 16)}
    same, _ = filter_factors(factors, weights, first)
    other, said = filter_factors(factors, weights, second)
    assert torch.allclose(same["attn.up"], factors["attn.up"], atol=1e-5)
    assert 0 < other["attn.up"].norm() < 0.9 * same["attn.up"].norm()
    assert "weakened" in said


def test_other_shapes_leave_the_lora_behind():
    weights = read_weights(make_unet(16, seed=1), ["attn"])
    factors = {"attn.up": torch.ones(16, 1), "attn.down": torch.ones(1, 16)}
    kept, said = filter_factors(factors, weights, make_unet(8, seed=1))
    assert kept == {}
    assert "left behind" in said
