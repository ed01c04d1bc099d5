"""Cells that change are decoded again alone: how far they show, and that what is decoded is what the whole has."""

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.autoencoder.coder import TiledAutoencoder, measure_decoder_reach
from sfumato.models.hardware.policy import Policy

FP32 = torch.float32
CPU = Policy(torch.device("cpu"), FP32, FP32, FP32)
SIZE = LatentSize(40, 34)


def make_coder(kind):
    torch.manual_seed(0)
    if kind == "tiny":
        widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
        network = AutoencoderTiny(num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4, **widths)
    else:
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
        network = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, **blocks)
    factor = 8 if kind == "tiny" else 2
    contract = SimpleNamespace(scaling=1.0, shift=0.0, autoencoder=kind, factor=factor, latent_channels=4)
    return TiledAutoencoder(vae=network.eval().requires_grad_(requires_grad=False), contract=contract, policy=CPU)


def decode(coder, latents, wanted=None):
    factor = coder.contract.factor
    found = torch.full((1, 3, SIZE.height * factor, SIZE.width * factor), math.nan)

    def write(box, values):
        found[(..., *box.slices_hw)] = values

    coder.decode_into(lambda box: latents[(..., *box.slices_hw)], SIZE, write, None, wanted)
    return found


def test_a_cell_shows_as_far_as_is_said_and_no_farther():
    coder = make_coder("tiny")
    latents = torch.randn(1, 4, *SIZE.shape_hw, generator=torch.Generator().manual_seed(1))
    moved = latents.clone()
    moved[:, :, 17, 20] += 3.0
    with torch.no_grad():
        for layer in coder.vae.decoder.parameters():
            layer.abs_()
        changed = (decode(coder, moved) != decode(coder, latents)).any(dim=1)[0].nonzero()
    reach = measure_decoder_reach(coder.vae, coder.contract)
    box = LatentBox(20, 17, 21, 18).grow(reach).to_pixels(8)
    low, high = changed.min(dim=0).values.tolist(), changed.max(dim=0).values.tolist()
    assert box.top <= low[0] < box.top + 8
    assert box.left <= low[1] < box.left + 8
    assert box.bottom - 8 <= high[0] < box.bottom
    assert box.right - 8 <= high[1] < box.right


def test_the_convolutions_of_a_kl_autoencoder_have_a_reach_too():
    coder = make_coder("kl")
    assert 5 <= measure_decoder_reach(coder.vae, coder.contract) <= 20


@pytest.mark.parametrize("kind", ["tiny", "kl"])
def test_what_is_wanted_has_the_bits_of_the_whole(kind, monkeypatch):
    monkeypatch.setattr(autoencoder, "STRIP_CELLS", 8)
    coder = make_coder(kind)
    latents = torch.randn(1, 4, *SIZE.shape_hw, generator=torch.Generator().manual_seed(1))
    whole = decode(coder, latents)
    for place in (LatentBox(9, 19, 12, 30), LatentBox(0, 0, 40, 3), LatentBox(30, 33, 40, 34)):
        box = place.to_pixels(coder.contract.factor)
        found = decode(coder, latents, [box])
        assert torch.equal(found[(..., *box.slices_hw)], whole[(..., *box.slices_hw)])
        computed = ~found.isnan()
        assert torch.equal(found[computed], whole[computed])
        assert kind == "kl" or computed.float().mean() < 0.4
