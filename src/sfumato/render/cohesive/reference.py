"""What a level starts from: the level below, enlarged and encoded, band by band.

Knows pixels and latents; no sampler. Start reading at `write_reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.render.layout import show_whole
from sfumato.render.sampling.pixels import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import LatentBox, PixelBox
    from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.upscaler.upscaler import Upscaler
    from sfumato.render.sampling.latent_rows import Planes
    from sfumato.render.stages import Stage


@dataclass(frozen=True, eq=False, kw_only=True)
class Below:
    """Hold the pixels of the level below, what removes all its canvases, and what removes those beside the pixels."""

    pixels: PixelStore
    drop: Callable[[], None] = lambda: None
    trim: Callable[[], None] = lambda: None


def write_reference(
    model: LatentModel,
    given: tuple[PixelStore, Upscaler],
    stage: Stage,
    target: Planes,
    kept: CoderCheckpoint | None = None,
) -> None:
    """Encode what a stage takes of the pixels of the level below, enlarged to its canvas, on from where it is kept."""
    (below, upscaler), canvas = given, stage.canvas
    box = stage.taken or show_whole(below.size).shown
    enlarged = upscaler.enlarge_into(below.read, below.size, canvas, box)

    def read(part: PixelBox) -> Tensor:
        return from_bytes(enlarged(part)).to(model.device)

    def write(part: LatentBox, latents: Tensor) -> None:
        target.put(part, latents[0])

    model.encode_into(read, canvas, write, kept)
