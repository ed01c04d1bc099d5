"""Enlarging a picture: by resampling, or with an ESRGAN-family network that spandrel can read.

Knows pictures and files, no diffusion. Start reading at `load_upscaler`; a network
that is run by rows is loaded by `load_network`.
"""

from __future__ import annotations

from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.resampling import FloatBox, ReadPixels, Resampling
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.library import find_model_file
from sfumato.models.upscaler.compact import find_compact_shape
from sfumato.models.upscaler.detect_shape import FOLD_PX, HALO_PX, TILE_PX
from sfumato.models.upscaler.number_type import DTYPES, make_row_network
from sfumato.models.upscaler.rrdb import find_rrdb_shape, rename_rrdb
from sfumato.models.upscaler.tiles import GrownPicture, measure_radius
from sfumato.nn.tiled import Local

if TYPE_CHECKING:
    from pathlib import Path

    from spandrel import ImageModelDescriptor
    from torch import Tensor

    from sfumato.models.upscaler.grown_rows import RowNetwork

LANCZOS = "lanczos"


class Upscaler(Protocol):
    """Enlarge a part of a picture."""

    def enlarge(self, picture: Image.Image, size: PixelSize, box: FloatBox) -> Image.Image:
        """Return the part `box` (left, top, right, bottom in px, fractions allowed) of an RGB picture at `size`."""
        ...

    def enlarge_into(self, read: ReadPixels, source: PixelSize, size: PixelSize, box: FloatBox) -> ReadPixels:
        """Return what computes any box of the enlarged picture, uint8 [height, width, 3], to the bit as in the whole.

        `read` gives any box of the source as uint8 [height, width, 3]; boxes overlap. Nothing is computed before a
        box is asked for.
        """
        ...


class Lanczos:
    """Enlarge by resampling with a windowed sinc of three lobes; invents nothing."""

    def enlarge(self, picture: Image.Image, size: PixelSize, box: FloatBox) -> Image.Image:
        """Return the part `box` of a picture at `size`."""
        return picture.resize((size.width, size.height), Image.Resampling.LANCZOS, box=box)

    def enlarge_into(self, read: ReadPixels, source: PixelSize, size: PixelSize, box: FloatBox) -> ReadPixels:
        """Return what computes any box of the enlarged picture; costs each box and three source pixels around it."""
        return partial(Resampling(source, size, box).compute, read)


class NetworkUpscaler:
    """Enlarge with a network of a fixed scale, then resample to the exact size."""

    def __init__(self, network: ImageModelDescriptor[Any], device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    @property
    def scale(self) -> int:
        """The enlargement of one pass."""
        return self._network.scale

    def enlarge(self, picture: Image.Image, size: PixelSize, box: FloatBox) -> Image.Image:
        """Return the part `box` of a picture at `size`; as many passes as it takes to reach it."""
        pixels = np.array(picture.convert("RGB"))
        compute = self.enlarge_into(lambda part: pixels[part.slices_hw], PixelSize(*picture.size), size, box)
        return Image.fromarray(compute(size.box))

    def enlarge_into(self, read: ReadPixels, source: PixelSize, size: PixelSize, box: FloatBox) -> ReadPixels:
        """Return what computes any box of the enlarged picture.

        With boxes in reading order every tile is computed once, and memory grows with the width of the picture,
        not its height.
        """
        wanted, grown = size.width / (box[2] - box[0]), source
        while grown.width < wanted * source.width and self.scale > 1:
            tile = PixelSize(TILE_PX, TILE_PX) if self._takes_tiles else grown
            passed = GrownPicture(self._layer, tile, read, grown)
            read, grown = passed.read, passed.size
        factor = grown.width // source.width
        left, top, right, bottom = (side * factor for side in box)
        return partial(Resampling(grown, size, (left, top, right, bottom)).compute, read)

    @property
    def _takes_tiles(self) -> bool:
        return self._network.tiling.name == "SUPPORTED"

    @cached_property
    def halo_px(self) -> int:
        """How many px around a tile are computed with it: what the network reads, `HALO_PX` at most."""
        radius = measure_radius(self._run, self.scale, HALO_PX) if self._takes_tiles else None
        return HALO_PX if radius is None else radius

    @cached_property
    def _layer(self) -> Local:
        return Local(compute=self._run, radius=self.halo_px, channels=3, scale=self.scale, grid=FOLD_PX)

    @torch.inference_mode()
    def _run(self, pixels: Tensor) -> Tensor:
        return self._network(pixels.to(self._device)).float()


def load_upscaler(name: str, device: torch.device) -> Upscaler:
    """Load the upscaler called `lanczos`, or the network in a .safetensors file, by path or short name.

    Raises:
        UnsafeFileError: the file does not pass the gate.
        ModelError: there is no such file, or spandrel knows no such network.
        RequestError: the network is no upscaler of colour pictures.
    """
    if name == LANCZOS:
        return Lanczos()
    # Resampling must not wait for it.
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    path = find_model_file("upscaler", name)
    check_weights_file(path)
    try:
        network = ModelLoader(device="cpu").load_from_state_dict(load_file(path))
    except UnsupportedModelError as error:
        raise ModelError("no known upscaler has these weights", got=name, do="Use an ESRGAN-family file.") from error
    if not isinstance(network, ImageModelDescriptor) or network.input_channels != 3 or network.output_channels != 3:
        raise RequestError("the file holds no upscaler of colour pictures", got=name)
    if network.scale < 2:
        raise RequestError("the network does not enlarge", got=f"scale {network.scale}", do="Use a x2 or x4 network.")
    return NetworkUpscaler(network, device)


@lru_cache(maxsize=2)
def load_state(weights: Path, sha256: str) -> dict[str, Tensor] | None:
    """Load the weights of a network that runs by rows, ESRGAN under its first names; None where it is another."""
    del sha256  # Part of the key of the cache: a file may be replaced.
    state = rename_rrdb(load_file(weights))
    return state if find_rrdb_shape(state) or find_compact_shape(state) else None


@lru_cache(maxsize=2)
def load_network(weights: Path, sha256: str, number_type: str) -> RowNetwork:
    """Load a network that runs by rows, and computes in a number type."""
    state = load_state(weights, sha256)
    assert state is not None, "the caller asked for its state"
    return make_row_network(state, DTYPES[number_type])
