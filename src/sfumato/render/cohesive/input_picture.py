"""A given picture in the place of a base: laid out in the workspace, shrunk to a size, and looked at for words.

Nothing is drawn here. The picture may be larger than memory: it comes in bands, and only small copies are held.
Knows no file, no level and no journal. Start reading at `SourcePicture`, then `shrink_source` and `find_words`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from sfumato.canvas.pixels import count_grain, make_small
from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.core.resampling import fit_box
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render.cohesive.stages import LOOK_STRENGTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from jaxtyping import Float
    from numpy.typing import NDArray
    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.prompt.grammar import PromptPart
    from sfumato.render.sampling.phrase_maps import PhraseMaps
    from sfumato.render.sampling.run_steps import Work

# The name of its pixels in the workspace.
_NAME = "source"
# So many times finer than a small copy is what it is resampled from; beyond that nothing is seen of the squares.
_FINER = 4
# How much smaller a small copy may be to have whole pixels on both sides, and what is whole enough: what lies so far
# apart moves by a sixth of a pixel in a result sixteen times as large.
LEAST_COPY_FRAC, MISFIT_PX = 0.8, 0.01
# Above what a side comes out shorter by that was whole.
_ROUNDING = 1e-9
# The noise of the looks must not repeat that of any level, look or trial.
LOOK_STAGES = 1 << 14
# A strength is a share of so many steps, however few the request has.
_LOOK_STEPS = 20


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """Hold the size of a picture, and what reads it from top to bottom in bands, uint8 [n, width, 3]."""

    size: PixelSize
    walk: Callable[[], Iterator[NDArray[np.uint8]]]


def lay_out(source: SourcePicture, space: Workspace) -> PixelStore:
    """Copy the picture into the workspace, band by band.

    Raises:
        RequestError: the file is damaged.
        StorageError: the disk has no room for it.
    """
    # What an earlier process laid out may be gone; nobody counts on it.
    drop_source(space)
    store, top = open_source(source.size, space), 0
    for band in source.walk():
        store.write(PixelBox(0, top, source.size.width, top + len(band)), band)
        top += len(band)
    return store


def open_source(size: PixelSize, space: Workspace) -> PixelStore:
    """Return the picture as it was laid out."""
    return space.open_pixels(_NAME, size)


def drop_source(space: Workspace) -> None:
    """Remove what was laid out."""
    space.drop(_NAME)


def shrink_source(pixels: PixelStore, target: PixelSize, size: PixelSize) -> Image.Image:
    """Return at `size` the centred part of a picture that has the aspect of the target.

    A picture several times larger is averaged over squares first, in bands: resampling reads far around.
    """
    longest = _FINER * max(size.width, size.height)
    grain = count_grain(pixels.size, longest)
    left, top, right, bottom = (side / grain for side in fit_box(pixels.size, target))
    reduced = make_small(pixels, longest)
    return reduced.resize((size.width, size.height), Image.Resampling.LANCZOS, box=(left, top, right, bottom))


def choose_shown_size(picture: PixelSize, target: PixelSize, native: PixelSize) -> PixelSize:
    """Return a size of the target's aspect with about the area of the native, or that of the picture's part where it is less.

    Sides are whole pixels, so the aspect can be off; a little smaller there is nearly always a size where it is not.
    """
    left, _, right, _ = fit_box(picture, target)
    scale = min(math.sqrt(native.area / target.area), (right - left) / target.width)
    short, long = sorted((target.width, target.height))
    most = short * scale + _ROUNDING
    heights = range(max(1, math.ceil(LEAST_COPY_FRAC * most)), int(most) + 1)
    # Of sizes that are good enough, the largest.
    found = min(heights, key=lambda side: (max(_find_misfit(side * long / short), MISFIT_PX), -side), default=None)
    shown = scale if found is None else found / short
    return PixelSize(*(max(1, round(side * shown)) for side in (target.width, target.height)))


def _find_misfit(side: float) -> float:
    """Return how far a side is from whole pixels."""
    return abs(side - round(side))


def find_words(work: Work, clean: Float[Tensor, "1 c h w"], canvas: PixelSize, text: PromptPart) -> PhraseMaps:
    """Say where the phrases of the prompt are in a picture of size `canvas`, from a few looks at it under noise.

    A drawn base is listened to while it appears; here its latents get noise at a few levels of the middle,
    where the denoiser decides what is where. Cost: one guided evaluation for each of `LOOK_STRENGTHS`.
    """
    # A plan lays pictures out too, and needs no networks.
    from sfumato.nn.noise import normal_noise
    from sfumato.render.sampling.phrase_maps import make_phrase_maps
    from sfumato.render.sampling.run_steps import predict

    whole, _ = work.prompts.at_step(0, work.request.steps, canvas)
    sigmas = make_sigmas(work.request.schedule, work.model.contract.schedule, _LOOK_STEPS)
    box = LatentBox(0, 0, clean.shape[-1], clean.shape[-2])
    with work.model.watch_words(whole, canvas) as maps:
        for step, strength in enumerate(LOOK_STRENGTHS):
            sigma = float(sigmas[first_step(_LOOK_STEPS, strength)])
            noise = normal_noise(work.request.seed, LOOK_STAGES, step, box, clean.shape[1], clean.device)
            predict(work, clean + sigma * noise[None], sigma, step=0, steps=work.request.steps)

    def read(word: str) -> Tensor:
        return maps.read(work.model.text.find_words(text.segments, word))

    # The whole canvas shows the whole of the shrunk picture: it was cut to the aspect of the target before.
    return make_phrase_maps(text.segments[0], read, (0.0, 0.0, 1.0, 1.0))
