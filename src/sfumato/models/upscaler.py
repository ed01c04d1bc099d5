"""Enlarging a picture: by resampling, or with an ESRGAN-family network that spandrel can read.

Knows pictures and files, no diffusion. Start reading at `load_upscaler`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from spandrel import ImageModelDescriptor, ModelLoader, ModelTiling, UnsupportedModelError

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.gate import check_weights_file
from sfumato.models.upscaler_shape import HALO_PX, TILE_PX

if TYPE_CHECKING:
    from torch import Tensor

LANCZOS = "lanczos"

FloatBox = tuple[float, float, float, float]


class Upscaler(Protocol):
    """Enlarge a part of a picture."""

    def enlarge(self, picture: Image.Image, size: PixelSize, box: FloatBox) -> Image.Image:
        """Return the part `box` (left, top, right, bottom in px, fractions allowed) of an RGB picture at `size`."""
        ...


class Lanczos:
    """Enlarge by resampling with a windowed sinc of three lobes; invents nothing."""

    def enlarge(self, picture: Image.Image, size: PixelSize, box: FloatBox) -> Image.Image:
        """Return the part `box` of a picture at `size`."""
        return picture.resize((size.width, size.height), Image.Resampling.LANCZOS, box=box)


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
        wanted = size.width / (box[2] - box[0])
        grown, factor = picture, 1.0
        while factor < wanted and self.scale > 1:
            grown, factor = self._grow(grown), factor * self.scale
        scaled = (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)
        return Lanczos().enlarge(grown, size, scaled)

    @torch.inference_mode()
    def _grow(self, picture: Image.Image) -> Image.Image:
        size, scale = PixelSize(*picture.size), self.scale
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255.0
        grown = torch.empty(1, 3, size.height * scale, size.width * scale, dtype=torch.uint8)
        for core in self._tiles(size):
            outer = core.grow(HALO_PX).clip(size)
            rows, columns = outer.slices_hw
            tile = self._run(pixels[..., rows, columns])
            left, top = (core.left - outer.left) * scale, (core.top - outer.top) * scale
            inner = PixelBox(left, top, left + core.width * scale, top + core.height * scale)
            target = PixelBox(*(side * scale for side in (core.left, core.top, core.right, core.bottom)))
            grown[(..., *target.slices_hw)] = tile[(..., *inner.slices_hw)]
        return Image.fromarray(grown[0].permute(1, 2, 0).contiguous().numpy())

    def _run(self, pixels: Tensor) -> Tensor:
        grown = self._network(pixels.to(self._device)).float()
        if not bool(torch.isfinite(grown).all()):
            raise ModelError("the upscaler gave numbers that are no picture", do="Use another --upscaler.")
        return (grown.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu()

    def _tiles(self, size: PixelSize) -> list[PixelBox]:
        if self._network.tiling is not ModelTiling.SUPPORTED:
            return [size.box]
        corners = [(x, y) for y in range(0, size.height, TILE_PX) for x in range(0, size.width, TILE_PX)]
        return [PixelBox(x, y, min(x + TILE_PX, size.width), min(y + TILE_PX, size.height)) for x, y in corners]


def load_upscaler(name: str, device: torch.device) -> Upscaler:
    """Load the upscaler called `lanczos`, or the network in a .safetensors file.

    Raises:
        UnsafeFileError: the file does not pass the gate.
        ModelError: there is no such file, or spandrel knows no such network.
        RequestError: the network is no upscaler of colour pictures.
    """
    if name == LANCZOS:
        return Lanczos()
    path = Path(name)
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
