"""A model without networks: its world is one Gaussian, so the right denoiser is a formula.

It has the shape of `LatentModel` and answers in microseconds. Start reading at `GaussianModel`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.models.contract import ModelContract
from sfumato.models.hardware.policy import Policy
from sfumato.models.text.conditioning import Conditioning, ConditioningPart
from sfumato.nn.schedules import NoiseSchedule
from sfumato.nn.tiled import TileCheckpoint

CONTRACT = ModelContract(
    family="mini",
    name="gaussian",
    native=PixelSize(64, 64),
    prediction="epsilon",
    schedule=NoiseSchedule.from_betas(),
    text_width=4,
    weights_bytes=1_000_000,
    autoencoder="tiny",
)
CPU = Policy("cpu", "fp32", "fp32", "fp32")
MEAN, SPREAD = 0.2, 0.3
BAND_CELLS = 8


class OneChunk:
    """The text side: every prompt is one chunk long."""

    def count_chunks(self, segments) -> int:
        return 1

    def find_words(self, segments, text) -> tuple[int, ...]:
        return (1,)


class FirstColumn:
    """Attention of every word: the left half of the picture."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.map = torch.zeros(size_hw)
        self.map[:, : size_hw[1] // 2] = 1.0

    def read(self, positions) -> Tensor:
        return self.map

    def to_tensors(self) -> dict[str, Tensor]:
        return {"map": self.map}

    def go_on(self, tensors) -> None:
        assert not tensors or torch.equal(tensors["map"], self.map)


@dataclass
class GaussianModel:
    """Pictures whose every latent number is normal with mean 0.2 and spread 0.3, whatever the prompt.

    Latents are the mean colours of cells of 8x8 pixels and a zero. `calls` keeps (batch, height,
    width, sigma) of every prediction, `steered` what controls it, `coded` the bands that were encoded and decoded; `poison` makes the n-th
    prediction NaN.
    """

    contract: ModelContract = CONTRACT
    policy: Policy = CPU
    poison: int | None = None
    calls: list[tuple[int, int, int, float]] = field(default_factory=list)
    controls: dict[str, object] = field(default_factory=dict)
    steered: list[list] = field(default_factory=list)
    coded: list[tuple[str, int]] = field(default_factory=list)
    prompts: list[tuple[object, PixelSize]] = field(default_factory=list)
    text: OneChunk = field(default_factory=OneChunk)

    @property
    def device(self) -> torch.device:
        return self.policy.device

    @property
    def dtype(self) -> torch.dtype:
        return self.policy.unet_dtype

    def encode_prompt(self, parts, *, size, clip_skip=1, chunks=1, negative=False) -> Conditioning:
        self.prompts.append((parts, size))
        return Conditioning(tuple(ConditioningPart(part.weight, torch.zeros(1, 77, 4)) for part in parts))

    def denoise_guided(self, x: Tensor, sigma: float, cond, uncond, guidance, *, rescale=0.0, controls=()) -> Tensor:
        """Return the mean of x0 given x: exact for this Gaussian."""
        self.calls.append((*x.shape[:1], *x.shape[2:], float(sigma)))
        self.steered.append([*controls])
        share = SPREAD**2 / (SPREAD**2 + float(sigma) ** 2)
        clean = MEAN + share * (x - MEAN)
        return clean * float("nan") if self.poison == len(self.calls) else clean

    def watch_words(self, conditioning, size: PixelSize):
        return nullcontext(FirstColumn((size.height // 8, size.width // 8)))

    def encode_image(self, pixels: Tensor) -> Tensor:
        cells = F.avg_pool2d(pixels, 8)
        return torch.cat([cells, torch.zeros_like(cells[:, :1])], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents[:, :3], scale_factor=8, mode="nearest")

    def decode_into(self, read, size, write, kept=None, wanted=None) -> None:
        for count, box in list_unfinished(size, kept):
            if wanted is not None and not any(box.to_pixels(8).find_overlap(one) for one in wanted):
                continue
            write(box.to_pixels(8), self.decode(read(box)))
            self.coded.append(("decode", box.top))
            if kept is not None:
                kept.notes.note(TileCheckpoint(tiles=count))

    def encode_into(self, read, size: PixelSize, write, kept=None) -> None:
        for count, box in list_unfinished(size.to_latent(8), kept):
            write(box, self.encode_image(read(box.to_pixels(8))))
            self.coded.append(("encode", box.top))
            if kept is not None:
                kept.notes.note(TileCheckpoint(tiles=count))


def list_unfinished(cells: LatentSize, kept) -> list[tuple[int, LatentBox]]:
    """Return the bands of a canvas that no mark says are done, each with its number from 1."""
    tops = range(0, cells.height, BAND_CELLS)
    boxes = [LatentBox(0, top, cells.width, min(cells.height, top + BAND_CELLS)) for top in tops]
    done = 0 if kept is None or kept.notes.checkpoint is None else kept.notes.checkpoint.tiles
    return list(enumerate(boxes, start=1))[done:]
