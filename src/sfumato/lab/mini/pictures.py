"""Many small pictures from a model, in batches: one prompt and one seed each.

The same sampler, schedule and noise as `sfumato render`, so every picture here can be rendered
again by its prompt and seed. Knows no world and no reader. Start reading at `make_pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.prompt.grammar import PromptPart, parse_prompt
from sfumato.core.request import RenderRequest
from sfumato.lab.reader.autoencoder_round_trip import to_bytes
from sfumato.models.contract import ModelContract
from sfumato.models.latent_model import LatentModel
from sfumato.models.text.conditioning import Conditioning, ConditioningPart
from sfumato.nn.noise import START_STEP, normal_noise
from sfumato.nn.samplers import make_sampler, run_sampler
from sfumato.nn.schedules import make_sigmas

OnDone = Callable[[int, int], None]
_USUAL = RenderRequest(prompt="", size=PixelSize(128, 128))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Say how pictures are made; the defaults are those of a render request, None is the model's own."""

    steps: int = 20
    sampler: str = _USUAL.sampler
    schedule: str = _USUAL.schedule
    guidance: float | None = None
    seed: int = 1
    batch: int = 32

    def find_guidance(self, contract: ModelContract) -> float:
        """Return the guidance asked for, else the model's own."""
        return contract.guidance if self.guidance is None else self.guidance


def make_pictures(
    model: LatentModel, prompts: Sequence[str], how: Sampling, *, on_done: OnDone | None = None
) -> NDArray[np.uint8]:
    """Make one picture of the native size per prompt, uint8 [N, H, W, 3]; picture i has seed + i.

    `on_done` gets (pictures done, all).

    Raises:
        RequestError: an unknown sampler or schedule, or a prompt that cannot be read.
        ModelError: the model gave numbers that are no picture.
    """
    side = model.contract.native
    pictures = np.zeros((len(prompts), side.height, side.width, 3), np.uint8)
    done = 0
    for chunks, picks in _split_batches(model, prompts, how.batch):
        seeds = tuple(how.seed + pick for pick in picks)
        latents = _sample(model, [prompts[pick] for pick in picks], how, seeds=seeds, chunks=chunks)
        pictures[list(picks)] = to_bytes(model.decode(latents))
        done += len(picks)
        if on_done is not None:
            on_done(done, len(prompts))
    return pictures


def _split_batches(model: LatentModel, prompts: Sequence[str], batch: int) -> list[tuple[int, tuple[int, ...]]]:
    """Group prompts of one length in chunks of the encoder; padding one to another's would change its picture."""
    groups: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        chunks = max(model.text.count_chunks(part.segments) for part in _read_prompt(prompt))
        groups.setdefault(chunks, []).append(number)
    return [
        (chunks, tuple(picks[start : start + batch]))
        for chunks, picks in sorted(groups.items())
        for start in range(0, len(picks), batch)
    ]


@torch.inference_mode()
def _sample(
    model: LatentModel, prompts: Sequence[str], how: Sampling, *, seeds: tuple[int, ...], chunks: int
) -> Tensor:
    contract = model.contract
    cells = contract.native.to_latent(contract.factor)
    cond = _join([_encode(model, prompt, chunks) for prompt in prompts])
    uncond = _encode(model, "", chunks, negative=True)

    guidance = how.find_guidance(contract)

    def denoise(x: Tensor, sigma: float, /) -> Tensor:
        return model.denoise_guided(x, sigma, cond, uncond, guidance)

    def noise(step: int, substep: int, /) -> Tensor:
        return _draw_noise(model, cells, seeds, (step, substep))

    sampler = make_sampler(how.sampler)
    sigmas = make_sigmas(how.schedule, contract.schedule, how.steps)
    start = noise(START_STEP, 0) * float(sigmas[0])
    return run_sampler(sampler, sampler.start(start, sigmas), denoise, noise).x


def _draw_noise(model: LatentModel, cells: LatentSize, seeds: tuple[int, ...], step: tuple[int, int]) -> Tensor:
    channels = model.contract.latent_channels
    drawn = [normal_noise(seed, 0, step[0], cells.box, channels, substep=step[1]) for seed in seeds]
    return torch.stack(drawn).to(model.device)


def _read_prompt(prompt: str) -> tuple[PromptPart, ...]:
    return parse_prompt(prompt).at_step(0, 1)


def _encode(model: LatentModel, prompt: str, chunks: int, *, negative: bool = False) -> Conditioning:
    return model.encode_prompt(_read_prompt(prompt), size=model.contract.native, chunks=chunks, negative=negative)


def _join(each: list[Conditioning]) -> Conditioning:
    """Stack one-part prompts into one conditioning whose rows go with the rows of a batch."""
    hidden = torch.cat([prompt.parts[0].hidden for prompt in each])
    return Conditioning((ConditioningPart(weight=1.0, hidden=hidden),))
