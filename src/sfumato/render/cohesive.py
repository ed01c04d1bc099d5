"""The cohesive engine: a native picture grown level by level, every window of every step held to the whole.

A level enlarges the picture below and walks the end of the noise schedule on a canvas twice as large.
Windows only predict; predictions are fused, guided, pulled towards a native prediction of the whole
picture and locked to the level below, and then the sampler takes one step on the whole canvas.
Start reading at `run_base` and `run_grow`, then `Level.predict`.

Sources: fused predictions, Barbero Jimenez 2023, Mixture of Diffusers; partial start, Meng et al. 2022,
SDEdit; low band kept, high band free, Kim et al. 2025, DiffuseHigh, and Vontobel et al. 2025, HiWave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from sfumato.core.geometry import LatentBox, PixelSize
from sfumato.core.phrases import join_phrases
from sfumato.core.request import CohesiveMethod
from sfumato.nn.bands import enlarge, shrink, take_low
from sfumato.nn.guidance import calm, guide_bands
from sfumato.nn.noise import normal_noise
from sfumato.nn.windows import Fusion, make_weights
from sfumato.render.lattice import GUIDE_EVERY, list_windows
from sfumato.render.layout import fit_box
from sfumato.render.native import report_steps, run_sample
from sfumato.render.phrase_maps import make_phrase_maps
from sfumato.render.pixels import to_picture, to_tensor
from sfumato.render.sampling import make_noise, predict, run_steps, split_batches, stage_sigmas

if TYPE_CHECKING:
    from collections.abc import Generator

    from PIL import Image
    from torch import Tensor

    from sfumato.core.geometry import LatentSize
    from sfumato.models.conditioning import Conditioning
    from sfumato.models.upscaler import Upscaler
    from sfumato.render.native import Inputs
    from sfumato.render.phrase_maps import PhraseMaps
    from sfumato.render.sampling import Work
    from sfumato.render.stages import Stage
    from sfumato.render.trace import Progress, Stopwatch

# A level doubles the picture, so what the level below cannot know is the upper half of the spectrum.
BAND_FACTOR = 2.0
# The guide's noise must not repeat that of any level.
GUIDE_STAGES = 1 << 12


def run_base(
    work: Work, stages: tuple[Stage, ...], inputs: Inputs, watch: Stopwatch
) -> Generator[Progress, None, tuple[Image.Image, PhraseMaps | None]]:
    """Draw the base and note where the phrases of the prompt are in it; None where a prompt changes or has parts."""
    base, last = stages[0], stages[-1].canvas
    text = work.words.find_text()
    if text is None or not _method_of(work).phrases:
        return (yield from run_sample(work, base, inputs, watch)), None
    whole, _ = work.words.at_step(0, base.steps, base.canvas)
    with work.model.watch_words(whole, base.canvas) as maps:
        picture = yield from run_sample(work, base, inputs, watch)
    left, top, right, bottom = fit_box(base.canvas, last)
    part = (left / base.canvas.width, top / base.canvas.height, right / base.canvas.width, bottom / base.canvas.height)

    def read(word: str) -> Tensor:
        return maps.read(work.model.text.find_words(text.segments, word))

    return picture, make_phrase_maps(text.segments[0], read, part)


def run_grow(
    work: Work, stage: Stage, below: Image.Image, watch: Stopwatch, upscaler: Upscaler
) -> Generator[Progress, None, Image.Image]:
    """Grow the picture of the level below onto the stage's canvas; return the picture."""
    source = PixelSize(*below.size)
    enlarged = upscaler.enlarge(below, stage.canvas, fit_box(source, stage.canvas))
    reference = work.model.encode_image(to_tensor(enlarged).to(work.model.device))
    level = Level(work=work, stage=stage, reference=reference)
    noise = make_noise(work, stage, (stage.canvas.to_latent(work.model.contract.factor).box,))
    start = reference + float(stage_sigmas(work, stage)[0]) * noise.initial()
    clean = yield from report_steps(work, stage, run_steps(work, stage, start, level.predict, noise), watch)
    return to_picture(work.model.decode(clean))


@dataclass(eq=False, kw_only=True)
class Level:
    """Predict the clean canvas of one level. A leaf.

    `reference` [1, C, h, w]: the enlarged picture of the level below.
    """

    work: Work
    stage: Stage
    reference: Tensor
    _low: Tensor = field(init=False)
    _pull: tuple[int, Tensor] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._low = take_low(self.reference, BAND_FACTOR)

    def predict(self, step: int, x: Tensor, sigma: float) -> Tensor:
        """Predict x0 of the whole canvas [1, C, h, w]."""
        method = _method_of(self.work)
        clean = self._fuse(step, x, sigma)
        if method.guide > 0.0:
            clean = clean + method.guide * self._measure_pull(step, clean, sigma)
        if method.lock > 0.0:
            clean = clean + method.lock * (self._low - take_low(clean, BAND_FACTOR))
        return clean

    def _fuse(self, step: int, x: Tensor, sigma: float) -> Tensor:
        """Predict with and without the prompt in every window, fuse both, and guide on the whole canvas."""
        size, stage = self._cells, self.stage
        window = stage.windows[0].size
        stride = min(window.width, window.height) - stage.overlap_cells
        told, plain = Fusion(size, x), Fusion(size, x)
        for boxes in split_batches(list_windows(size, window, max(1, stride), step), stage.window_batch):
            cuts = torch.cat([x[..., rows, columns] for rows, columns in (box.slices_hw for box in boxes)])
            cond, uncond = self.work.model.denoise_apart(cuts, sigma, *self._tell(boxes, step))
            for box, wanted, unwanted in zip(boxes, cond.split(1), uncond.split(1), strict=True):
                weights = make_weights(box, size, stage.overlap_cells)
                told.add(box, wanted, weights)
                plain.add(box, unwanted, weights)
        request, cond = self.work.request, told.finish()
        scales = (request.guidance, _method_of(self.work).low_guidance)
        return calm(guide_bands(cond, plain.finish(), *scales, factor=BAND_FACTOR), cond, request.guidance_rescale)

    def _tell(self, boxes: tuple[LatentBox, ...], step: int) -> tuple[Conditioning, Conditioning]:
        """Return what a batch of windows is told: the phrases that lie in each, else the whole prompt."""
        size = boxes[0].size.to_pixels(self.work.model.contract.factor)
        if self.work.phrases is None:
            return self.work.words.at_step(step, self.stage.steps, size)
        chosen = [self.work.phrases.choose(box, self._cells) for box in boxes]
        detail = self.work.model.contract.detail_words
        return self.work.words.at_windows([join_phrases(phrases, detail=detail) for phrases in chosen], size)

    def _measure_pull(self, step: int, clean: Tensor, sigma: float) -> Tensor:
        """Return where a native look at the whole picture differs from the canvas, enlarged to it.

        The state is shrunk to native size and given noise of its own, so the network sees the whole
        picture as it was trained to; the cost does not depend on the size of the canvas.
        """
        if self._pull is None or step >= self._pull[0] + GUIDE_EVERY:
            self._pull = (step, self._look(step, clean, sigma))
        return self._pull[1]

    def _look(self, step: int, clean: Tensor, sigma: float) -> Tensor:
        base = self.stage.guide
        assert base is not None, "a plan gives every level the size of its guide"
        cells = base.to_latent(self.work.model.contract.factor)
        small = shrink(clean, cells.shape_hw)
        stage = GUIDE_STAGES + self.stage.noise_stage
        box = LatentBox(0, 0, cells.width, cells.height)
        noise = normal_noise(self.work.request.seed, stage, step, box, clean.shape[1], clean.device)[None]
        seen = predict(self.work, small + sigma * noise, sigma, (step, self.stage.steps))
        return enlarge(seen - small, self._cells.shape_hw)

    @property
    def _cells(self) -> LatentSize:
        return self.stage.canvas.to_latent(self.work.model.contract.factor)


def _method_of(work: Work) -> CohesiveMethod:
    method = work.request.method
    assert isinstance(method, CohesiveMethod), "levels belong to the cohesive method"
    return method
