"""What holds for every size and every tile: the parts are the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoencoders import make_kl, make_latents, make_pixels, run_streamed
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.nn.tiled import MemoryShelf, Room
from sfumato.nn.tiled.regions import Region, Span, cut_grid, cut_region, cut_strips
from sfumato.nn.tiled.statistics import measure_moments

# Sixteen float32 digits' worth of sums in another order; one 8-bit step of [-1, 1] is 8e-3.
TOLERANCE = 1e-4
CPU = torch.device("cpu")
SIDES = st.integers(1, 12)


@pytest.fixture(scope="module")
def network():
    return make_kl((16, 24))


def run_tiled(layers, x, tile_pixels):
    def open_spill(extent, dtype):
        return MemoryShelf.make(extent, dtype, CPU, CPU)

    room = Room(work_bytes=2**26, store_bytes=2**30, open_spill=open_spill, tile_pixels=tile_pixels)
    return run_streamed(layers, x, room)


@settings(max_examples=40, deadline=None)
@given(width=SIDES, height=SIDES, tile_pixels=st.integers(1, 700))
def test_a_tiled_decode_is_the_whole_one(network, width, height, tile_pixels):
    latents = make_latents(width, height)
    tiled = run_tiled(list_decoder_layers(network), latents, tile_pixels)
    assert torch.allclose(tiled, network.decode(latents).sample, atol=TOLERANCE, rtol=TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(width=SIDES, height=SIDES, tile_pixels=st.integers(1, 700))
def test_a_tiled_encode_is_the_whole_one(network, width, height, tile_pixels):
    pixels = make_pixels(2 * width, 2 * height)
    tiled = run_tiled(list_encoder_layers(network), pixels, tile_pixels)
    whole = network.encode(pixels).latent_dist.parameters
    assert torch.allclose(tiled, whole, atol=TOLERANCE, rtol=TOLERANCE)


@given(
    top=st.integers(0, 50), left=st.integers(0, 50), height=SIDES, width=st.integers(1, 99), most=st.integers(1, 300)
)
def test_tiles_are_disjoint_and_leave_nothing_out(top, left, height, width, most):
    whole = Region(Span(top, top + height), Span(left, left + width))
    seen = torch.zeros(height, width, dtype=torch.int)
    for tile in cut_region(whole, most):
        assert 1 <= tile.area <= most
        seen[tile.inside(whole)] += 1
    assert bool((seen == 1).all())


@given(top=st.integers(0, 50), height=SIDES, width=SIDES, grain=st.integers(1, 8), most=st.integers(1, 300), by=SIDES)
def test_borders_lie_on_their_grid(top, height, width, grain, most, by):
    whole = Region(Span(top, top + height), Span(0, width)).scale(grain)
    for tiles in (
        cut_region(whole, most, grain),
        cut_grid(whole, by * grain, 3 * grain),
        cut_strips(whole, by * grain, grain),
    ):
        seen = torch.zeros(height * grain, width * grain, dtype=torch.int)
        for tile in tiles:
            assert all(side % grain == 0 for span in (tile.rows, tile.columns) for side in (span.start, span.stop))
            seen[tile.inside(whole)] += 1
        assert bool((seen == 1).all())


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_moments_of_parts_in_any_order_are_those_of_the_whole(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(1, 3, 4, wide, generator=generator) * wide + 10 * wide for wide in sizes]
    merged = measure_moments(parts[-1])
    for part in reversed(parts[:-1]):
        merged = merged.merge(measure_moments(part))
    whole = torch.cat(parts, dim=3).double()
    assert torch.allclose(merged.mean, whole.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(merged.squares / merged.count, whole.var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-6)
