"""Where the things of a prompt are in a finished picture, by the model's own attention to their words.

Any checkpoint can say so: nothing was taught to find a watch. A wall, leaves or a sky are attended to everywhere, so
they have no box. Knows no finder and no judge. Start reading at `find_word_boxes`.

Source: attention as a map of words, Tang et al. 2022, DAAM; looked at under noise as in `render.cohesive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from sfumato.canvas.pixels import make_small
from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.nn.noise import normal_noise
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render.cohesive.stages import LOOK_STRENGTHS
from sfumato.render.plan.sizes import SMALLEST_SIDE_CELLS
from sfumato.render.sampling.pixels import to_tensor
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.prompt.grammar import PromptPart
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.models.latent_model import LatentModel

# The noise of these looks and trials must not repeat that of any level, look, trial or pass.
WORD_STAGES = 5 << 13
# A strength is a share of so many steps, however few the request has.
_LOOK_STEPS = 20
# A thing is where attention to its word is above so much of the way from its mean to its most.
RISE_FRAC = 0.4
# Attention that nowhere rises above its mean by this factor is spread over the picture: the word names no place in it.
LEAST_PEAK = 1.8
# A thing has at least so many cells of the look, and at most this share of them; more is the place itself.
LEAST_CELLS, MOST_FRAC = 2, 0.5


@dataclass(frozen=True, kw_only=True)
class WordBox:
    """Name a place, px of the picture, to which a word is attended, and how far above the mean, as a factor."""

    word: str
    box: PixelBox
    peak: float


def find_word_boxes(
    pixels: PixelStore, words: Sequence[str], text: PromptPart, request: RenderRequest, model: LatentModel
) -> tuple[WordBox, ...]:
    """Return where words of the prompt `text` are in a picture: its small copy is looked at under noise three times.

    Cost: three guided evaluations at native size, whatever the number of words.
    """
    canvas = _fit_native(pixels.size, model.contract)
    small = make_small(pixels, 4 * max(canvas.width, canvas.height)).convert("RGB")
    fitted = small.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
    clean = model.encode_image(to_tensor(fitted)).to(model.device)
    work = Work(model=model, request=request, prompts=PromptSchedule(model, request), preview=Preview(model))
    whole, _ = work.prompts.at_step(0, request.steps, canvas)
    sigmas = make_sigmas(request.schedule, model.contract.schedule, _LOOK_STEPS)
    box = LatentBox(0, 0, clean.shape[-1], clean.shape[-2])
    with model.watch_words(whole, canvas) as maps:
        for step, strength in enumerate(LOOK_STRENGTHS):
            sigma = float(sigmas[first_step(_LOOK_STEPS, strength)])
            noise = normal_noise(request.seed, WORD_STAGES, step, box, clean.shape[1], clean.device)
            predict(work, clean + sigma * noise[None], sigma, step=0, steps=request.steps)
        heard = {word: maps.read(model.text.find_words(text.segments, word)).numpy() for word in words}
    return tuple(box for word, attention in heard.items() for box in cut_boxes(word, attention, pixels.size))


def cut_boxes(word: str, attention: NDArray[np.float32], size: PixelSize) -> tuple[WordBox, ...]:
    """Return the boxes in a picture where a map [h, w] of attention rises, the strongest first; none where it is flat."""
    mean, most = float(attention.mean()), float(attention.max())
    if mean <= 0.0 or most < LEAST_PEAK * mean:
        return ()
    labels, count = ndimage.label(attention >= mean + RISE_FRAC * (most - mean), np.ones((3, 3)))
    found = list[WordBox]()
    height, width = attention.shape
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels, count), start=1):
        cells = int((labels[rows, columns] == number).sum())
        if not LEAST_CELLS <= cells <= MOST_FRAC * attention.size:
            continue
        box = PixelBox(
            columns.start * size.width // width,
            rows.start * size.height // height,
            -(-columns.stop * size.width // width),
            -(-rows.stop * size.height // height),
        )
        peak = float(attention[rows, columns][labels[rows, columns] == number].max()) / mean
        found.append(WordBox(word=word, box=box, peak=peak))
    return tuple(sorted(found, key=lambda one: (-one.peak, one.box)))


def _fit_native(size: PixelSize, contract: ModelContract) -> PixelSize:
    """Return the canvas of a picture's small copy: its aspect, about native area, whole cells."""
    scale, factor = (contract.native.area / size.area) ** 0.5, contract.factor
    sides = (
        max(SMALLEST_SIDE_CELLS * factor, round(side * scale / factor) * factor) for side in (size.width, size.height)
    )
    return PixelSize(*sides)
