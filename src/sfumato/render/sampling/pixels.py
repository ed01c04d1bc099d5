"""Pictures to tensors and back, masks, and putting a re-rendered part into its picture.

Pictures are 8-bit Pillow images; tensors are float32 in [-1, 1], [B, 3, H, W]. Knows no model.
Start reading at `to_tensor`; `put_inside` is the promise of inpainting.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from sfumato.core.geometry import PixelSize
from sfumato.core.resampling import fit_box

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray
    from torch import Tensor

    from sfumato.core.resampling import FloatBox

# What is not drawn over in a picture with transparency shows paper.
PAPER = (255, 255, 255)
# Rows turned into bytes at once.
BAND_ROWS = 256
# The rim of an inpainted part fades in over one latent cell: below that the decoder mixes both sides.
FEATHER_PX = 8
# What lies beyond an edge by no more than this lies on it, in px.
_TOUCHING = 1e-6


def flatten(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB, transparent parts on white."""
    if picture.mode == "RGB":
        return picture
    rgba = picture.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, (*PAPER, 255))
    return Image.alpha_composite(paper, rgba).convert("RGB")


def to_tensor(picture: Image.Image) -> Float[Tensor, "1 3 height width"]:
    """Turn an RGB picture into float32 in [-1, 1]."""
    return from_bytes(np.array(picture.convert("RGB")))


def from_bytes(pixels: NDArray[np.uint8]) -> Float[Tensor, "1 3 height width"]:
    """Turn uint8 [height, width, 3] into float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1.0


def to_bytes(pixels: Float[Tensor, "1 3 height width"]) -> NDArray[np.uint8]:
    """Turn float32 in [-1, 1] into uint8 [height, width, 3]; what lies outside is clipped."""
    import torch

    assert pixels.shape[:2] == (1, 3), "one colour picture at a time"
    height, width = pixels.shape[-2:]
    bytes_ = np.empty((height, width, 3), np.uint8)
    # In bands: a large canvas has no room for float copies of itself.
    for top in range(0, height, BAND_ROWS):
        band = pixels[0, :, top : top + BAND_ROWS].float().clamp(-1.0, 1.0)
        bytes_[top : top + BAND_ROWS] = ((band + 1.0) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return bytes_


def to_picture(pixels: Float[Tensor, "1 3 height width"]) -> Image.Image:
    """Turn float32 in [-1, 1] into an RGB picture; what lies outside is clipped."""
    return Image.fromarray(to_bytes(pixels))


def place_picture(picture: Image.Image, canvas: PixelSize, target: PixelSize) -> Image.Image:
    """Lay an RGB picture on a canvas (Lanczos) so that the target, which shows the middle of that, shows the middle of the picture.

    Nothing is cut off but what has not the target's aspect. Where the canvas is larger than what the target shows of it,
    there is more of the picture, and beyond that its edges repeat.
    """
    if picture.size == (canvas.width, canvas.height) and canvas == target:
        return picture
    given, shown = fit_box(PixelSize(*picture.size), target), fit_box(canvas, target)
    scale = (given[2] - given[0]) / (shown[2] - shown[0])
    left, top = given[0] - shown[0] * scale, given[1] - shown[1] * scale
    right, bottom = given[2] + (canvas.width - shown[2]) * scale, given[3] + (canvas.height - shown[3]) * scale
    return cut_picture(picture, (left, top, right, bottom), canvas)


def cut_picture(picture: Image.Image, box: FloatBox, size: PixelSize) -> Image.Image:
    """Return a box of an RGB picture at a size (Lanczos); beyond the edges of the picture these repeat."""
    left, top, right, bottom = box
    before = [max(0, math.ceil(-side - _TOUCHING)) for side in (top, left)]
    behind = [max(0, math.ceil(side - _TOUCHING)) for side in (bottom - picture.height, right - picture.width)]
    if any((*before, *behind)):
        ways = (*zip(before, behind, strict=True), (0, 0))
        picture = Image.fromarray(np.pad(np.asarray(picture), ways, mode="edge"))
    box = (max(0.0, left + before[1]), max(0.0, top + before[0]), right + before[1], bottom + before[0])
    box = (*box[:2], min(float(picture.width), box[2]), min(float(picture.height), box[3]))
    return picture.resize((size.width, size.height), Image.Resampling.LANCZOS, box=box)


def pad_picture(picture: Image.Image, size: PixelSize) -> Image.Image:
    """Grow an RGB picture to `size` by repeating its last column to the right and its last row below."""
    more = (size.height - picture.height, size.width - picture.width)
    assert min(more) >= 0, "a canvas holds its picture"
    return Image.fromarray(np.pad(np.asarray(picture), ((0, more[0]), (0, more[1]), (0, 0)), mode="edge"))


def mask_cells(inside: NDArray[np.bool_] | NDArray[np.float32], factor: int) -> Float[Tensor, "1 1 h w"]:
    """Return 1 for every latent cell (`factor` pixels a side) that holds a pixel of the mask, 0 elsewhere.

    The picture may end within the last row and column of cells; what is beyond it is kept.
    """
    import torch

    height, width = inside.shape
    whole = np.pad(inside, ((0, -height % factor), (0, -width % factor)))
    blocks = whole.reshape(whole.shape[0] // factor, factor, whole.shape[1] // factor, factor)
    return torch.from_numpy(blocks.any(axis=(1, 3)).astype(np.float32))[None, None]


def put_inside(
    original: Image.Image, rendered: Image.Image, inside: NDArray[np.bool_] | NDArray[np.float32]
) -> Image.Image:
    """Put a rendered picture into the masked part of the original; every other pixel keeps its bytes.

    `inside` [H, W] is 0 outside the mask, 1 inside, and between them where the mask is soft. Pixels beyond the
    right and lower edge of the original are cut off. The rim is feathered on the inner side only, and less
    where the mask is thin.
    """
    is_inside = inside.astype(np.bool_)
    share = np.minimum(_feather(is_inside), inside)[..., None]
    old = np.array(original)
    new = np.asarray(rendered.convert("RGB").crop((0, 0, *original.size)), dtype=np.float32)
    mixed = old[..., :3] + share * (new - old[..., :3])
    old[..., :3] = np.where(is_inside[..., None], np.rint(mixed).astype(np.uint8), old[..., :3])
    if original.mode == "RGBA":
        old[..., 3] = np.where(is_inside, 255, old[..., 3])
    return Image.fromarray(old)


def _feather(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far in each pixel is, as a share of the rim's width: 0 outside, 1 in the core."""
    # Pillow repeats the border, so the edge of the canvas is no edge of the mask: nothing lies beyond it.
    left = Image.fromarray(inside.astype(np.uint8) * 255)
    depth = np.zeros(inside.shape, dtype=np.float32)
    for _ in range(FEATHER_PX):
        depth += np.asarray(left) > 0
        left = left.filter(ImageFilter.MinFilter(3))
    # A line thinner than the rim would never be fully new; its rim is half of what there is.
    width = float(np.clip(depth.max() / 2.0, 1.0, FEATHER_PX))
    return np.clip(depth / width, 0.0, 1.0)
