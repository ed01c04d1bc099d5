"""How far KL autoencoders in tiles, and whole, are from the same networks in float64 where digits are lost easily.

`pytest -s` prints what it measures; docs/autoencoder.md shows it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from autoencoders import make_kl, make_latents, make_pixels, run_streamed
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.autoencoder.offload import Spill
from sfumato.nn.tiled import Room

WIDTH, HEIGHT = 14, 11
# In [-1, 1]; a network of larger numbers is held against its own span.
STEP = 2 / 255
CPU = torch.device("cpu")


def raise_biases(network, by):
    """Move the means of all maps away from zero, with next to no variance beside them."""
    for name, values in network.named_parameters():
        if "conv" in name and name.endswith("bias") and "conv_out" not in name and "quant" not in name:
            values.add_(by)


def strengthen_blocks(network, by):
    """Make what every block adds, and what enters the first, so many times as large."""
    for name, values in network.named_parameters():
        if name.endswith(("conv_in.weight", "conv2.weight")) or ("samplers" in name and name.endswith("weight")):
            values.mul_(by)


def sharpen_attention(network, by):
    """Make the softmax pick one place."""
    for name, values in network.named_parameters():
        if "to_q.weight" in name or "to_k.weight" in name:
            values.mul_(by)


NETWORKS = {
    "as it is": lambda _: None,
    "biases 300 higher": lambda network: raise_biases(network, 300),
    "blocks 1000 times as strong": lambda network: strengthen_blocks(network, 1e3),
    "attention 100 times as sharp": lambda network: sharpen_attention(network, 100),
}
LATENTS = {
    "1000 times as large": lambda x: x * 1000,
    "500 lower": lambda x: x - 500,
    "all equal": lambda x: torch.full_like(x, 0.7),
    "all zero": torch.zeros_like,
}


def run_tiles(layers, x, tile_pixels):
    opened = Spill(CPU, folder=Path("/var/tmp")).open
    room = Room(work_bytes=2**26, store_bytes=2**30, open_spill=opened, tile_pixels=tile_pixels)
    return run_streamed(layers, x, room)


def measure(what, network, x, way, tile_pixels=333):
    """Return how far the whole and the tiles are from float64, and from each other; and how far its values span."""
    double = copy.deepcopy(network).double()
    with torch.inference_mode():
        if way == "decode":
            exact, whole = double.decode(x.double()).sample, network.decode(x).sample
            tiled = run_tiles(list_decoder_layers(network), x, tile_pixels)
        else:
            exact, whole = (one.encode(y).latent_dist.parameters for one, y in ((double, x.double()), (network, x)))
            tiled = run_tiles(list_encoder_layers(network), x, tile_pixels)
    found = [float((one - other).abs().max()) for one, other in ((whole, exact), (tiled, exact), (tiled, whole))]
    span = float(exact.max() - exact.min())
    print(f"\n{what}, {way}: whole {found[0]:.2g}, tiles {found[1]:.2g}, apart {found[2]:.2g}, span {span:.3g}", end="")
    return *found, span


@pytest.mark.parametrize("way", ["decode", "encode"])
@pytest.mark.parametrize("change", NETWORKS)
def test_tiles_lose_no_more_digits_than_the_whole(change, way):
    network = make_kl((16, 16, 32, 32))
    NETWORKS[change](network)
    x = make_latents(WIDTH, HEIGHT) if way == "decode" else make_pixels(8 * WIDTH, 8 * HEIGHT)
    whole, tiled, apart, span = measure(change, network, x, way)
    assert tiled <= 3 * whole
    assert apart <= STEP / 4 * max(1.0, span / 4)


@pytest.mark.parametrize("change", LATENTS)
def test_strange_latents_decode_as_in_the_whole(change):
    network = make_kl((16, 16, 32, 32))
    whole, tiled, apart, _ = measure(change, network, LATENTS[change](make_latents(WIDTH, HEIGHT)), "decode")
    assert tiled <= 3 * whole
    assert apart <= STEP / 100


def test_activations_that_overflow_are_no_picture_in_either():
    network = make_kl((16, 16))
    strengthen_blocks(network, 1e20)
    x = make_latents(6, 5)
    with torch.inference_mode():
        assert not bool(network.decode(x).sample.isfinite().all())
    assert not bool(run_tiles(list_decoder_layers(network), x, 99).isfinite().all())
