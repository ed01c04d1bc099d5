"""Encoded prompts equal the diffusers pipeline's, and A1111's rules hold beyond what it can do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import WeightedSpan
from sfumato.models.text.clip import TextTower, restore_mean
from sfumato.models.text.encoder import DEPTHS, PromptEncoder, size_condition


def make_encoder(parts: Any) -> PromptEncoder:
    """Wrap the text side of a tiny model."""
    towers = [
        TextTower(tokenizer, encoder, depth=DEPTHS[parts.family])
        for tokenizer, encoder in zip(parts.tokenizers, parts.encoders, strict=True)
    ]
    return PromptEncoder(towers, zero_empty=parts.family == "sdxl")


def plain(text: str) -> list[list[WeightedSpan]]:
    """Make the segments of an unweighted prompt."""
    return [[WeightedSpan(text)]]


PROMPTS = ["a red cat", "", "a red cat and a dog, 1997!"]


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("text", PROMPTS)
def test_one_tower_equals_the_diffusers_pipeline(tiny_parts: Any, family: str, text: str) -> None:
    parts = tiny_parts(family)
    expected, unconditional = parts.pipeline().encode_prompt(text, "cpu", 1, True, "dog")
    encoded = make_encoder(parts).encode([plain(text), plain("dog")])
    assert encoded.pooled is None
    assert torch.equal(encoded.hidden, torch.cat([expected, unconditional]))


@pytest.mark.parametrize("text", PROMPTS)
def test_two_towers_equal_the_diffusers_pipeline(tiny_parts: Any, text: str) -> None:
    parts = tiny_parts("sdxl")
    hidden, _, pooled, _ = parts.pipeline().encode_prompt(text)
    encoded = make_encoder(parts).encode([plain(text)])
    assert torch.equal(encoded.hidden, hidden)
    assert torch.equal(encoded.pooled, pooled)


def test_an_empty_negative_prompt_is_zeros_where_the_pipeline_makes_it_so(tiny_parts: Any) -> None:
    parts = tiny_parts("sdxl")
    _, hidden, _, pooled = parts.pipeline().encode_prompt("cat", negative_prompt=None)
    encoded = make_encoder(parts).encode([plain(" ")], negative=True)
    assert torch.equal(encoded.hidden, hidden)
    assert torch.equal(encoded.pooled, pooled)
    assert make_encoder(parts).encode([plain("cat")], negative=True).hidden.any()
    assert make_encoder(parts).encode([plain("")]).hidden.any()


def test_clip_skip_reads_deeper_layers(tiny_parts: Any) -> None:
    parts = tiny_parts("sd1")
    encoder = make_encoder(parts)
    ids = parts.tokenizers[0]("a cat", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = parts.encoders[0](ids, output_hidden_states=True).hidden_states
        expected = parts.encoders[0].final_layer_norm(states[-2])
    assert torch.equal(encoder.encode([plain("a cat")], clip_skip=2).hidden, expected)


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_sdxl_counts_clip_skip_from_its_own_layer(tiny_parts: Any, skip: int) -> None:
    parts = tiny_parts("sdxl")
    expected = parts.pipeline().encode_prompt("a cat", clip_skip=max(skip - 2, 0))[0]
    assert torch.equal(make_encoder(parts).encode([plain("a cat")], clip_skip=skip).hidden, expected)


def test_sd2_was_cut_to_its_penultimate_layer(tiny_parts: Any) -> None:
    encoder = make_encoder(tiny_parts("sd2"))
    first, second, third = (encoder.encode([plain("a cat")], clip_skip=skip).hidden for skip in (1, 2, 3))
    assert torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize(("family", "deepest"), [("sd1", 3), ("sd2", 4), ("sdxl", 3)])
def test_clip_skip_beyond_the_encoder_is_refused(tiny_parts: Any, family: str, deepest: int) -> None:
    encoder = make_encoder(tiny_parts(family))
    encoder.encode([plain("cat")], clip_skip=deepest)
    for skip in (0, deepest + 1):
        with pytest.raises(RequestError, match=f"1 .* to {deepest}"):
            encoder.encode([plain("cat")], clip_skip=skip)


def test_weights_scale_tokens_and_keep_the_mean(tiny_parts: Any) -> None:
    parts = tiny_parts("sd1")
    encoder = make_encoder(parts)
    plain_hidden = encoder.encode([plain("a cat")]).hidden
    hidden = encoder.encode([[[WeightedSpan("a"), WeightedSpan("cat", 1.5)]]]).hidden
    assert hidden.mean().item() == pytest.approx(plain_hidden.mean().item(), rel=1e-5)
    ratio = hidden / plain_hidden
    torch.testing.assert_close(ratio[:, 2] / ratio[:, 1], torch.full_like(ratio[:, 2], 1.5), rtol=1e-4, atol=1e-5)


def test_a_mean_near_zero_is_not_amplified() -> None:
    hidden = torch.tensor([[[1.0], [-1.0], [1e-6]]])
    weights = torch.tensor([2.0, 1.0, 1.0])
    assert restore_mean(hidden, weights).abs().max() <= 2.0
    assert torch.isfinite(restore_mean(torch.zeros(1, 3, 4), weights)).all()


def test_long_prompts_and_break_join_chunks_along_the_tokens(tiny_parts: Any) -> None:
    encoder = make_encoder(tiny_parts("sdxl"))
    long = plain("cat " * 100)
    broken = [[WeightedSpan("cat")], [WeightedSpan("dog")]]
    assert encoder.count_chunks(long) == encoder.count_chunks(broken) == 2
    encoded = encoder.encode([long, broken, plain("cat")])
    assert encoded.hidden.shape == (3, 154, 80)
    cat, dog = (encoder.encode([plain(word)]) for word in ("cat", "dog"))
    empty = encoder.encode([plain("")])
    assert torch.equal(encoded.hidden[1:2], torch.cat([cat.hidden, dog.hidden], dim=1))
    assert torch.equal(encoded.hidden[2:], torch.cat([cat.hidden, empty.hidden], dim=1))
    assert torch.equal(encoded.pooled[1:2], cat.pooled)
    assert encoder.encode([plain("cat")], chunks=3).hidden.shape == (1, 231, 80)


def test_no_prompt_is_refused(tiny_parts: Any) -> None:
    with pytest.raises(RequestError, match="no prompt"):
        make_encoder(tiny_parts("sd1")).encode([])


def test_size_condition_is_the_pipelines(tiny_parts: Any) -> None:
    pipeline = tiny_parts("sdxl").pipeline()
    expected = pipeline._get_add_time_ids((48, 64), (3, 5), (96, 128), torch.float32, text_encoder_projection_dim=48)
    ours = size_condition(PixelSize(128, 96), original=PixelSize(64, 48), crop=(5, 3))
    assert torch.equal(ours[None], expected)
