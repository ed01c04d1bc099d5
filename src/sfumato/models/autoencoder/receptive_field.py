"""How far around a cell of the latents its pixels are read from, so that a few cells can be decoded again alone.

Asks the layers; computes nothing. Start reading at `measure_decoder_reach`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.models.autoencoder.kl_layers import list_decoder_layers
from sfumato.models.autoencoder.tiny_layers import list_tiny_decoder_layers
from sfumato.nn.tiled import Extent
from sfumato.nn.tiled.halo import list_extents, list_reach
from sfumato.nn.tiled.layers import Plain
from sfumato.nn.tiled.regions import Region, Span

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# A map on which no known decoder reads from its middle to its edge.
_SIDE_CELLS = 256


def measure_decoder_reach(vae: Any, contract: ModelContract) -> int:
    """Return how many cells to each side a pixel is read from.

    Of a KL autoencoder through its convolutions: its normalisations and its attention read everything, a little.
    """
    layers = list_tiny_decoder_layers(vae) if contract.autoencoder == "tiny" else list_decoder_layers(vae)
    local = [layer for layer in layers if isinstance(layer, Plain)]
    extents = list_extents(local, Extent(contract.latent_channels, _SIDE_CELLS, _SIDE_CELLS))
    middle = Span(_SIDE_CELLS // 2, _SIDE_CELLS // 2 + 1)
    shown = Region(middle, middle).scale(contract.factor)
    read = list_reach(local, extents, shown)[0].rows
    return max(middle.start - read.start, read.stop - middle.stop)
