"""A grown network computes what the small one did."""

import pytest
import torch
from torch import nn

from sfumato.core.errors import ModelError
from sfumato.models.mini import make_mini_autoencoder
from sfumato.train.grow import grow_layers, grow_rows


def test_more_channels_and_blocks_change_nothing() -> None:
    torch.manual_seed(0)
    small = make_mini_autoencoder(8, 8, encoder_blocks=(0, 1, 1, 1), decoder_blocks=(1, 1, 1, 0)).eval()
    large = make_mini_autoencoder(12, 16, encoder_blocks=(0, 1, 2, 3), decoder_blocks=(3, 2, 1, 0)).eval()
    grow_layers(small.encoder.layers, large.encoder.layers)
    grow_layers(small.decoder.layers, large.decoder.layers)
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(large.encoder(pixels), small.encoder(pixels))
        torch.testing.assert_close(large.decoder(small.encoder(pixels)), small.decoder(small.encoder(pixels)))
    # What is new takes part in learning.
    large.decoder(large.encoder(pixels)).mean().backward()
    assert all(p.grad is not None for p in large.decoder.layers.parameters())


def test_a_stage_cannot_shrink_or_change_its_kind() -> None:
    small = make_mini_autoencoder(8, 8, decoder_blocks=(2, 1, 1, 0)).decoder.layers
    large = make_mini_autoencoder(8, 8, decoder_blocks=(1, 1, 1, 0)).decoder.layers
    with pytest.raises(ModelError, match="shrink"):
        grow_layers(small, large)
    with pytest.raises(ModelError, match="stages"):
        grow_layers(nn.Sequential(nn.Conv2d(3, 3, 1)), large)


def test_new_tokens_begin_as_the_mean_of_their_pieces() -> None:
    rows = torch.arange(10.0).view(5, 2)
    grown = grow_rows(rows, [[0, 2], [1]])
    assert torch.equal(grown, torch.stack([*rows[:3], (rows[0] + rows[2]) / 2, rows[1], *rows[3:]]))
