"""The same short render by this program and by the diffusers pipeline, for comparisons.

Euler steps at whole timesteps from given noise: between whole ones the two programs interpolate in
tables that differ in the seventh digit, which random networks turn into the fourth. Start reading
at `render_ours`.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.nn.schedules import make_sigmas

STEPS = 3


def render_ours(
    model: Any, prompt: str, negative: str, noise: Tensor, *, guidance: float, steps: int = STEPS
) -> Tensor:
    """Render latents with `LatentModel`."""
    size = PixelSize(noise.shape[-1] * 8, noise.shape[-2] * 8)
    cond = model.encode_prompt(parse_prompt(prompt).at_step(0, steps), size=size)
    uncond = model.encode_prompt(parse_prompt(negative).at_step(0, steps), size=size, negative=True)
    sigmas = make_sigmas("trailing", model.contract.schedule, steps)
    x = noise * sigmas[0]
    for now, then in itertools.pairwise(sigmas):
        clean = model.denoise_guided(x, float(now), cond, uncond, guidance)
        x = x + (x - clean) / now * (then - now)
    return x


def open_theirs(folder: Path) -> Any:
    """Open a folder as the diffusers pipeline."""
    kind = StableDiffusionXLPipeline if "XL" in (folder / "model_index.json").read_text() else StableDiffusionPipeline
    pipe: Any = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    # "trailing" starts at sigma times noise; the other spacings at the root of sigma squared plus one.
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def render_theirs(
    pipe: Any, prompt: str, negative: str, noise: Tensor, *, guidance: float, steps: int = STEPS
) -> Tensor:
    """Render latents with what `open_theirs` opened; an empty negative prompt is none."""
    return pipe(
        prompt,
        # SDXL takes zeros for a negative prompt that is absent, as we do for one that is empty.
        negative_prompt=negative or None,
        height=noise.shape[-2] * 8,
        width=noise.shape[-1] * 8,
        num_inference_steps=steps,
        latents=noise,
        guidance_scale=guidance,
        output_type="latent",
    ).images
