"""The same short render by this program and by the diffusers pipeline, for comparisons.

Three Euler steps on Karras sigmas from given noise. Start reading at `render_ours`.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from sfumato.core.geometry import PixelSize
from sfumato.core.prompt import parse_prompt
from sfumato.nn.schedules import NoiseSchedule, make_sigmas

STEPS = 3


def render_ours(
    model: Any, prompt: str, negative: str, noise: Tensor, *, guidance: float, steps: int = STEPS
) -> Tensor:
    """Render latents with `LatentModel`."""
    size = PixelSize(noise.shape[-1] * 8, noise.shape[-2] * 8)
    cond = model.encode_prompt(parse_prompt(prompt).at_step(0, steps), size=size)
    uncond = model.encode_prompt(parse_prompt(negative).at_step(0, steps), size=size, negative=True)
    sigmas = make_sigmas("karras", model.contract.schedule, steps)
    x = noise * sigmas[0]
    for now, then in itertools.pairwise(sigmas):
        clean = model.denoise_guided(x, float(now), cond, uncond, guidance)
        x = x + (x - clean) / now * (then - now)
    return x


def render_theirs(
    folder: Path, prompt: str, negative: str, noise: Tensor, *, schedule: NoiseSchedule, guidance: float,
    steps: int = STEPS,
) -> Tensor:  # fmt: skip
    """Render latents with the diffusers pipeline of a folder."""
    kind = StableDiffusionXLPipeline if "XL" in (folder / "model_index.json").read_text() else StableDiffusionPipeline
    pipe: Any = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    # "trailing" starts at sigma times noise; the other spacings at the root of sigma squared plus one.
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt,
        negative_prompt=negative,
        height=noise.shape[-2] * 8,
        width=noise.shape[-1] * 8,
        sigmas=make_sigmas("karras", schedule, steps)[:-1].tolist(),
        latents=noise,
        guidance_scale=guidance,
        output_type="latent",
    ).images
