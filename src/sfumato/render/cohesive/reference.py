"""What a level starts from: the level below, enlarged, made crisp and encoded, band by band.

Knows pixels and latents; no sampler. Start reading at `write_reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.core.request import PictureSource
from sfumato.models.upscaler.upscaler import LANCZOS
from sfumato.render.cohesive.crisp import make_crisp
from sfumato.render.cohesive.stages import settings_of
from sfumato.render.layout import show_whole
from sfumato.render.sampling.pixels import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import LatentBox, PixelBox
    from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
    from sfumato.render.sampling.latent_rows import Planes
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Stage


@dataclass(frozen=True, eq=False, kw_only=True)
class Below:
    """Hold the pixels of the level below, what removes all its canvases, and what removes those beside the pixels."""

    pixels: PixelStore
    drop: Callable[[], None] = lambda: None
    trim: Callable[[], None] = lambda: None


def write_reference(
    work: Work, below: PixelStore, stage: Stage, target: Planes, kept: CoderCheckpoint | None = None
) -> None:
    """Encode the part that a stage takes of the pixels below, enlarged to its canvas, on from where it is kept.

    What was drawn and only resampled is made crisp first: a network of an upscaler does that itself, and in a given
    picture it would be noise that becomes crisp.
    """
    assert work.upscaler is not None, "the engine loads the upscaler that the settings name"
    model, canvas = work.model, stage.canvas
    box = stage.taken or show_whole(below.size).shown
    enlarged = work.upscaler.enlarge_into(below.read, below.size, canvas, box)
    if _is_made_crisp(work):
        enlarged = make_crisp(enlarged, canvas, max(1.0, canvas.width / (box[2] - box[0])))

    def read(part: PixelBox) -> Tensor:
        return from_bytes(enlarged(part)).to(model.device)

    def write(part: LatentBox, latents: Tensor) -> None:
        target.put(part, latents[0])

    model.encode_into(read, canvas, write, kept)


def _is_made_crisp(work: Work) -> bool:
    method = settings_of(work.request)
    return method.crisp and method.upscaler == LANCZOS and not isinstance(work.request.source, PictureSource)
