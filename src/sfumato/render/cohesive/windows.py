"""The windows of one step: what the denoiser says in each, fused row of windows by row of windows.

Only the rows under one row of windows are held; those that no later window reaches are handed on. Knows
boxes and words; no sampler and no journal. Start reading at `WindowRows`.

Source: fused predictions, Barbero Jimenez 2023, Mixture of Diffusers.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.core.prompt.phrases import join_phrases
from sfumato.nn.windows import make_weights
from sfumato.render.sampling.run_steps import split_batches
from sfumato.render.sampling.window_grid import list_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.core.geometry import LatentBox, LatentSize
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.text.conditioning import Conditioning
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Stage


@contextmanager
def full_precision(model: LatentModel) -> Generator[None]:
    """Compute in float32 while open; the weights are bit-identical afterwards, as float32 holds every half.

    Cost: memory for the weights in float32, and twice the time to convert them.
    """
    policy = model.policy
    if policy.unet == "fp32":
        yield
        return
    networks = (model.unet, *model.controls.values())
    for network in networks:
        network.to(torch.float32)
    model.policy = replace(policy, unet="fp32")
    try:
        yield
    finally:
        for network in networks:
            network.to(policy.unet_dtype)
        model.policy = policy


def list_window_rows(stage: Stage, canvas: LatentSize, step: int) -> list[tuple[LatentBox, ...]]:
    """Return the windows of a step, those of one height together, from top to bottom."""
    window = stage.windows[0].size
    stride = max(1, min(window.width, window.height) - stage.overlap_cells)
    rows: dict[int, list[LatentBox]] = {}
    for box in list_windows(canvas, window, stride, step, moving=stage.moving):
        rows.setdefault(box.top, []).append(box)
    return [tuple(boxes) for _, boxes in sorted(rows.items())]


@dataclass(eq=False)
class Rolling:
    """Hold weighted sums of the rows under the current row of windows: [C, rows, w] and [rows, w]."""

    top: int
    sums: Tensor
    weight: Tensor

    def add(self, box: LatentBox, values: Tensor, weights: Tensor) -> None:
        """Add a window [C, h, w]."""
        columns = slice(box.left, box.right)
        self.sums[..., columns] += values * weights
        self.weight[:, columns] += weights

    def take(self, rows: slice) -> Tensor:
        """Return finished rows, 0 where no window has been."""
        local = slice(rows.start - self.top, rows.stop - self.top)
        return self.sums[:, local] / self.weight[local].clamp_min(1e-12)

    def roll(self, top: int) -> None:
        """Let go of the rows above `top`."""
        gone = min(top - self.top, self.sums.shape[1])
        for held in (self.sums, self.weight):
            held[..., : held.shape[-2] - gone, :] = held[..., gone:, :].clone()
            held[..., held.shape[-2] - gone :, :] = 0.0
        self.top = top


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowRows:
    """Predict x0 under the rows of windows of a level. A leaf."""

    work: Work
    stage: Stage
    canvas: LatentSize
    is_open: Callable[[LatentBox, int], bool]

    def make_rolling(self, height: int) -> Rolling:
        """Return empty sums for the first row of windows, `height` cells high."""
        contract = self.work.model.contract
        sums = torch.zeros(contract.latent_channels, height, self.canvas.width, device=self.work.model.device)
        return Rolling(0, sums, torch.zeros_like(sums[0]))

    def add_row(self, boxes: tuple[LatentBox, ...], x: Tensor, rolling: Rolling, *, step: int, sigma: float) -> None:
        """Add one row of windows; x [C, h, w] are the rows under it.

        Raises:
            ModelError: a window is no picture, in full precision neither; names it.
        """
        rolling.roll(boxes[0].top)
        wanted = tuple(box for box in boxes if self.is_open(box, step))
        for batch in split_batches(wanted, self.stage.window_batch):
            cuts = torch.stack([x[:, :, box.left : box.right] for box in batch])
            for box, values in zip(batch, self._predict(batch, cuts, step, sigma), strict=True):
                weights = make_weights(box, self.canvas, self.stage.overlap_cells).to(x)
                rolling.add(box, values, weights)

    def _predict(self, boxes: tuple[LatentBox, ...], cuts: Tensor, step: int, sigma: float) -> Tensor:
        """Return the guided x0 of a batch of windows, [B, C, h, w]."""
        try:
            return self._guide(boxes, cuts, step, sigma)
        except ModelError:
            return self._predict_again(boxes, cuts, step, sigma)

    def _guide(self, boxes: tuple[LatentBox, ...], cuts: Tensor, step: int, sigma: float) -> Tensor:
        request, controls = self.work.request, self.work.controls
        # A level walks the end of the schedule: a control that acts on its first half alone is over by then.
        acting = () if controls is None else controls.cut(self.stage, boxes, step, self.stage.steps)
        prompt, negative = self._condition(boxes, step)
        return self.work.model.denoise_guided(
            cuts, sigma, prompt, negative, request.guidance, rescale=request.guidance_rescale, controls=acting
        )

    def _predict_again(self, boxes: tuple[LatentBox, ...], cuts: Tensor, step: int, sigma: float) -> Tensor:
        """Predict window by window in full precision: half precision overflows where float32 does not."""
        found = list[Tensor]()
        with full_precision(self.work.model):
            for box, cut in zip(boxes, cuts, strict=True):
                try:
                    found.append(self._guide((box,), cut[None], step, sigma))
                except ModelError as error:
                    raise self._name(error, box, step) from error
        return torch.cat(found)

    def _name(self, error: ModelError, box: LatentBox, step: int) -> ModelError:
        pixels = box.to_pixels(self.work.model.contract.factor)
        corners = f"({pixels.left}, {pixels.top}) to ({pixels.right}, {pixels.bottom}) px"
        where = f"{self.stage.name}, step {step + 1} of {self.stage.steps}, window {corners}, also in float32"
        return ModelError(error.what, got=where, do="Use another sampler, a lower `guidance`, or another model.")

    def _condition(self, boxes: tuple[LatentBox, ...], step: int) -> tuple[Conditioning, Conditioning]:
        """Return (prompts, negative prompt) of a batch of windows: the phrases that lie in each, else the whole prompt."""
        size = boxes[0].size.to_pixels(self.work.model.contract.factor)
        if self.work.phrases is None:
            return self.work.prompts.at_step(step, self.stage.steps, size)
        chosen = [self.work.phrases.choose(box, self.canvas) for box in boxes]
        detail = self.work.model.contract.detail_words
        return self.work.prompts.at_windows([join_phrases(phrases, detail=detail) for phrases in chosen], size)
