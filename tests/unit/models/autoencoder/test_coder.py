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
from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.autoencoder import kl_tiles
from sfumato.models.autoencoder.coder import (
    TiledAutoencoder,
    choose_band_cells,
    choose_rows,
    decode_box,
    decode_latents,
    encode_pixels,
)
from sfumato.models.autoencoder.tiny_layers import list_tiny_decoder_layers, list_tiny_encoder_layers
from sfumato.models.hardware.policy import Policy
from sfumato.nn.tiled import Extent, list_extents, list_reach
from sfumato.nn.tiled.regions import Region, Span

# The tiles and the whole add the same products in another order.
TOLERANCE = 1e-4
FP32 = torch.float32
CPU = Policy("cpu", "fp32", "fp32", "fp32")
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
def test_strips_equal_the_whole(tiny, monkeypatch, width, height):
    latents = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(1))
    pixels = torch.rand(2, 3, height * 8, width * 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    whole = decode_latents(tiny, latents, TINY, CPU), encode_pixels(tiny, pixels, TINY, CPU)
    monkeypatch.setattr(autoencoder, "STRIP_CELLS", 7)
    monkeypatch.setattr(autoencoder, "STEP_PX", width * 64)
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


@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_each_cell_reads_what_the_layers_say_and_no_less(tiny, part):
    """A value that is no number marks every output that depends on it: all of those, and hardly any others, are said."""
    layers = (list_tiny_decoder_layers if part == "decoder" else list_tiny_encoder_layers)(tiny)
    start = Extent(4, 41, 41) if part == "decoder" else Extent(3, 41 * 8, 41 * 8)
    middle = start.height // 2
    x = torch.zeros(1, start.channels, start.height, start.width)
    x[..., middle, middle] = float("nan")
    found = getattr(tiny, part)(x).isnan().any(1)[0].any(0).nonzero().flatten().tolist()
    extents = list_extents(layers, start)

    def reads(index):
        one = Region(Span(index, index + 1), Span(index, index + 1))
        span = list_reach(layers, extents, one)[0].rows
        return span.start <= middle < span.stop

    said = [index for index in range(extents[-1].height) if reads(index)]
    assert found
    assert set(found) <= set(said)
    assert len(said) <= len(found) + 16


def test_a_batch_cannot_change_its_members(tiny):
    latents = torch.randn(3, 4, 6, 6)
    together = decode_latents(tiny, latents, TINY, CPU)
    assert torch.equal(together[1:2], decode_latents(tiny, latents[1:2], TINY, CPU))


def join_boxes(parts, like):
    """Put boxes together to a tensor; every number comes once."""
    whole = torch.full(like, float("nan"))
    for box, values in parts:
        assert bool(whole[(..., *box.slices_hw)].isnan().all())
        whole[(..., *box.slices_hw)] = values
    return whole


def decode_boxes(network, latents, contract, **more):
    """Decode through `decode_into`, reading from a tensor; return the boxes and what they make together."""
    coder = TiledAutoencoder(vae=network, contract=contract, policy=CPU, **more)
    parts = []
    size = LatentSize(latents.shape[-1], latents.shape[-2])
    with torch.inference_mode():
        coder.decode_into(lambda box: latents[(..., *box.slices_hw)], size, lambda *part: parts.append(part))
    return [box for box, _ in parts], join_boxes(parts, (1, 3, 8 * size.height, 8 * size.width))


def encode_boxes(network, pixels, contract, **more):
    """Encode through `encode_into`, reading from a tensor; return the boxes and what they make together."""
    coder = TiledAutoencoder(vae=network, contract=contract, policy=CPU, **more)
    parts = []
    size = PixelSize(pixels.shape[-1], pixels.shape[-2])
    with torch.inference_mode():
        coder.encode_into(lambda box: pixels[(..., *box.slices_hw)], size, lambda *part: parts.append(part))
    return [box for box, _ in parts], join_boxes(parts, (1, 4, size.height // 8, size.width // 8))


@pytest.mark.parametrize(("width", "height"), [(9, 6), (23, 17), (8, 31)])
def test_boxes_are_the_whole_bit_by_bit(tiny, monkeypatch, width, height):
    monkeypatch.setattr(autoencoder, "STRIP_CELLS", 7)
    monkeypatch.setattr(autoencoder, "STEP_PX", 2 * width * 64)
    latents = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(1))
    pixels = torch.rand(1, 3, height * 8, width * 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    boxes, decoded = decode_boxes(tiny, latents, TINY)
    assert all(side % 8 == 0 for box in boxes for side in (box.left, box.top, box.right, box.bottom))
    assert max(box.width for box in boxes) <= 7 * 8
    assert torch.equal(decoded, decode_latents(tiny, latents, TINY, CPU))
    boxes, encoded = encode_boxes(tiny, pixels, TINY)
    assert max(box.width for box in boxes) <= 7
    assert torch.equal(encoded, encode_pixels(tiny, pixels, TINY, CPU))


def read_rows(network, monkeypatch, strip_cells):
    """Return the boxes that are read of a canvas of 50 x 100 cells, and the heights of what is handed out, in pixels."""
    monkeypatch.setattr(autoencoder, "STRIP_CELLS", strip_cells)
    monkeypatch.setattr(autoencoder, "STEP_PX", 2 * 50 * 64)
    read, heights = [], []

    def note(box):
        read.append(box)
        return torch.zeros(1, 4, box.height, box.width)

    coder = TiledAutoencoder(vae=network, contract=TINY, policy=CPU)
    coder.decode_into(note, LatentSize(50, 100), lambda box, _: heights.append(box.height))
    return read, heights


def test_a_strip_reads_every_row_once_and_a_few_at_a_time(tiny, monkeypatch):
    read, heights = read_rows(tiny, monkeypatch, 100)
    assert [row for box in read for row in range(box.top, box.bottom)] == list(range(100))
    assert max(box.height for box in read) == 2
    assert max(heights) <= 2 * 8


def test_a_strip_reads_its_own_margin_and_no_more(tiny, monkeypatch):
    read, _ = read_rows(tiny, monkeypatch, 50)
    assert 0 < sum(box.height for box in read) - 100 <= 2 * 12


def test_rows_at_once_follow_from_the_width():
    assert [choose_rows(width, 8) for width in (1, 16, 128, 192, 10**6)] == [384, 24, 3, 2, 1]


def test_wide_canvases_have_flat_bands():
    heights = {width: choose_band_cells(width // 8, 8) for width in (512, 8192, 16384, 32768, 10**6)}
    assert [*heights.values()] == [64, 32, 16, 8, 8]
    assert all(3 * 4 * 8 * height * width <= 2**25 for width, height in heights.items() if width < 10**6)


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
    monkeypatch.setattr(kl_tiles, "measure_free_bytes", lambda _: 10_000)
    with pytest.raises(BudgetError, match="MiB free"):
        decode_latents(kl, torch.zeros(1, 4, 8, 8), KL, CPU)


def test_numbers_that_are_no_picture_are_an_error(tiny):
    with pytest.raises(ModelError, match="no picture"):
        decode_latents(tiny, torch.full((1, 4, 4, 4), float("nan")), TINY, CPU)


def test_half_precision_stays_close(tiny):
    latents = torch.randn(1, 4, 6, 6)
    half = replace(CPU, vae="bf16")
    network = AutoencoderTiny.from_config(tiny.config).to(torch.bfloat16)
    network.load_state_dict(tiny.state_dict())
    assert decode_latents(network, latents, TINY, half).dtype == torch.float32


def test_a_kl_autoencoder_that_fits_is_handed_out_in_bands(kl, monkeypatch):
    monkeypatch.setattr(autoencoder, "TILE_CELLS", 8)
    monkeypatch.setattr(autoencoder, "BAND_BYTES", 1)
    latents, pixels = torch.randn(1, 4, 19, 6), torch.rand(1, 3, 40, 48) * 2 - 1
    boxes, decoded = decode_boxes(kl, latents, KL)
    assert len(boxes) > 1
    assert len(boxes) == 3
    assert torch.equal(decoded, kl.decode(latents / 0.18215).sample)
    boxes, encoded = encode_boxes(kl, pixels, KL)
    assert len(boxes) == 1
    assert torch.equal(encoded, kl.encode(pixels).latent_dist.mean * 0.18215)
