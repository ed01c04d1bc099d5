"""Autoencoders: exact tiles of the tiny kind, the KL kind whole (its tiles: test_kl_tiles.py)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.core.errors import BudgetError, ModelError
from sfumato.core.geometry import LatentBox
from sfumato.models import autoencoder
from sfumato.models.autoencoder import decode_box, decode_latents, encode_pixels, measure_radius
from sfumato.models.device import Policy

# The tiles and the whole add the same products in another order.
TOLERANCE = 1e-4
FP32 = torch.float32
CPU = Policy(torch.device("cpu"), FP32, FP32, FP32)
TINY = SimpleNamespace(scaling=0.7, shift=0.2, autoencoder="tiny", factor=8)
KL = SimpleNamespace(scaling=0.18215, shift=0.0, autoencoder="kl", factor=8)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    network = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    return network.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize(("width", "height"), [(9, 6), (23, 17), (8, 31)])
def test_tiles_equal_the_whole(tiny, monkeypatch, width, height):
    latents = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(1))
    pixels = torch.rand(2, 3, height * 8, width * 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    whole = decode_latents(tiny, latents, TINY, CPU), encode_pixels(tiny, pixels, TINY, CPU)
    monkeypatch.setattr(autoencoder, "TILE_CELLS", 7)
    tiled = decode_latents(tiny, latents, TINY, CPU), encode_pixels(tiny, pixels, TINY, CPU)
    for one, other in zip(whole, tiled, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE)


def test_the_whole_is_what_diffusers_gives(tiny):
    latents = torch.randn(1, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    ours = decode_latents(tiny, latents, TINY, CPU)
    assert torch.allclose(ours, tiny.decode(latents / 0.7 + 0.2).sample, atol=TOLERANCE)
    pixels = torch.rand(1, 3, 40, 48) * 2 - 1
    expected = (tiny.encode(pixels).latents - 0.2) * 0.7
    assert torch.allclose(encode_pixels(tiny, pixels, TINY, CPU), expected, atol=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(left=st.integers(0, 19), top=st.integers(0, 14), right=st.integers(1, 20), bottom=st.integers(1, 15))
def test_any_box_decodes_as_in_the_whole(tiny, left, top, right, bottom):
    if left >= right or top >= bottom:
        return
    latents = torch.randn(1, 4, 15, 20, generator=torch.Generator().manual_seed(3))
    whole = decode_latents(tiny, latents, TINY, CPU)
    box = LatentBox(left, top, right, bottom)
    part = decode_box(tiny, latents, box, TINY, CPU)
    rows, columns = box.to_pixels(8).slices_hw
    assert torch.allclose(part, whole[..., rows, columns], atol=TOLERANCE, rtol=TOLERANCE)


def test_the_radius_is_no_larger_than_what_a_change_reaches(tiny):
    """A margin that is too large would only cost time, so it is checked against the network itself."""
    latents = torch.zeros(1, 4, 31, 31)
    changed = latents.clone()
    changed[0, :, 15, 15] = 30.0
    with torch.no_grad():
        moved = (tiny.decoder(latents) - tiny.decoder(changed)).abs().sum(1)[0] > 0
    cells = moved.reshape(31, 8, 31, 8).any(3).any(1)
    reached = int((cells.any(0).nonzero() - 15).abs().max())
    assert reached <= measure_radius(tiny.decoder) <= reached + 1


def test_a_batch_cannot_change_its_members(tiny):
    latents = torch.randn(3, 4, 6, 6)
    together = decode_latents(tiny, latents, TINY, CPU)
    assert torch.equal(together[1:2], decode_latents(tiny, latents[1:2], TINY, CPU))


@pytest.fixture(scope="module")
def kl():
    torch.manual_seed(0)
    network = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    return network.eval().requires_grad_(requires_grad=False)


def test_a_kl_autoencoder_runs_whole_and_takes_the_mean(kl):
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    latents = encode_pixels(kl, pixels, KL, CPU)
    assert torch.allclose(latents, kl.encode(pixels).latent_dist.mean * 0.18215, atol=TOLERANCE)
    assert torch.allclose(decode_latents(kl, latents, KL, CPU), kl.decode(latents / 0.18215).sample, atol=TOLERANCE)


def test_a_kl_picture_beyond_memory_is_refused_before_it_starts(kl, monkeypatch):
    monkeypatch.setattr(autoencoder, "measure_free_bytes", lambda _: 10_000)
    with pytest.raises(BudgetError, match="at least 256 MiB"):
        decode_latents(kl, torch.zeros(1, 4, 8, 8), KL, CPU)


def test_numbers_that_are_no_picture_are_an_error(tiny):
    with pytest.raises(ModelError, match="no picture"):
        decode_latents(tiny, torch.full((1, 4, 4, 4), float("nan")), TINY, CPU)


def test_half_precision_stays_close(tiny):
    latents = torch.randn(1, 4, 6, 6)
    half = replace(CPU, vae_dtype=torch.bfloat16)
    network = AutoencoderTiny.from_config(tiny.config).to(torch.bfloat16)
    network.load_state_dict(tiny.state_dict())
    assert decode_latents(network, latents, TINY, half).dtype == torch.float32
