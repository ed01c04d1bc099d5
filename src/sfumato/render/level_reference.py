"""What a level starts from: the level below, enlarged and encoded, band by band.

Knows pixels and latents; no sampler. Start reading at `write_reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.render.layout import fit_box
from sfumato.render.pixels import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sfumato.core.canvas.pixels import PixelStore
    from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
    from sfumato.models.contract import LatentModel
    from sfumato.models.kl_tiles import Kept
    from sfumato.models.upscaler import Upscaler
    from sfumato.render.planes import Planes


@dataclass(frozen=True, eq=False, kw_only=True)
class Below:
    """Hold the pixels of the level below, what removes all its canvases, and what removes those beside the pixels."""

    pixels: PixelStore
    drop: Callable[[], None] = lambda: None
    trim: Callable[[], None] = lambda: None


def write_reference(
    model: LatentModel,
    given: tuple[PixelStore, Upscaler],
    canvas: PixelSize,
    target: Planes,
    kept: Kept | None = None,
) -> None:
    """Encode the pixels of the level below, enlarged to a canvas, on from where it is kept."""
    below, upscaler = given
    enlarged = upscaler.enlarge_into(below.read, below.size, canvas, fit_box(below.size, canvas))

    def read(part: PixelBox) -> Tensor:
        return from_bytes(enlarged(part)).to(model.device)

    def write(part: LatentBox, latents: Tensor) -> None:
        target.put(part, latents[0])

    model.encode_into(read, canvas, write, kept)
