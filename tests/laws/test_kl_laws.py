"""What holds for KL autoencoders of every size: a tile and one cell more is the whole, and where maps lie is no matter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoencoders import make_kl, make_latents, make_pixels, run_streamed
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.autoencoder.offload import DiskOffload
from sfumato.nn.tiled import MemoryLimits

TOLERANCE = 1e-4
LEVELS = 3
SIDES = st.integers(1, 9)


@pytest.fixture(scope="module")
def network():
    return make_kl((16, 16, 24))


def run_tiled(layers, x, tile_pixels, store_bytes=2**30):
    opened = DiskOffload(torch.device("cpu"), folder=Path("/var/tmp")).open
    room = MemoryLimits(work_bytes=2**26, store_bytes=store_bytes, open_offload=opened, tile_pixels=tile_pixels)
    return run_streamed(layers, x, room)


@settings(max_examples=25, deadline=None)
@given(width=SIDES, height=SIDES, level=st.integers(0, LEVELS - 1), less=st.integers(0, 3))
def test_a_tile_and_one_cell_more_is_the_whole(network, width, height, level, less):
    """Tiles that hold a map of some level, or all of it but a few pixels."""
    tile_pixels = max(1, width * height * 4**level - less)
    latents, scale = make_latents(width, height), 2 ** (LEVELS - 1)
    pixels = make_pixels(scale * width, scale * height)
    with torch.inference_mode():
        whole = network.decode(latents).sample, network.encode(pixels).latent_dist.parameters
        tiled = (
            run_tiled(list_decoder_layers(network), latents, tile_pixels),
            run_tiled(list_encoder_layers(network), pixels, tile_pixels),
        )
    for one, other in zip(tiled, whole, strict=True):
        assert torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE)


@settings(max_examples=12, deadline=None)
@given(width=SIDES, height=SIDES, tile_pixels=st.integers(16, 400), store=st.integers(0, 2**18))
def test_where_maps_lie_changes_no_bit(network, width, height, tile_pixels, store):
    """In memory, in files, some of each: that follows from the memory that is free, and pictures may not."""
    latents = make_latents(width, height)
    with torch.inference_mode():
        inside, mixed, files = (
            run_tiled(list_decoder_layers(network), latents, tile_pixels, room) for room in (2**30, store, 0)
        )
    assert torch.equal(inside, mixed)
    assert torch.equal(inside, files)
