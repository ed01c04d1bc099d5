"""Opening checkpoints of every family and layout, tiny but of the true architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import FAMILIES, write_folder, write_single_file
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

from sfumato.core.geometry import PixelSize
from sfumato.core.prompt import parse_prompt
from sfumato.models.load import load_model
from sfumato.nn.schedules import make_sigmas

SIDE = 64
# Two float32 programs of the same network: the sums run in another order.
TOLERANCE = 2e-4


def render_ours(model, prompt: str, negative: str, noise: torch.Tensor, *, steps: int, guidance: float):
    size = PixelSize(noise.shape[-1] * 8, noise.shape[-2] * 8)
    cond = model.encode_prompt(parse_prompt(prompt).at_step(0, steps), size=size)
    uncond = model.encode_prompt(parse_prompt(negative).at_step(0, steps), size=size, negative=True)
    sigmas = make_sigmas("karras", model.contract.schedule, steps)
    x = noise * sigmas[0]
    for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
        clean = model.denoise_guided(x, float(now), cond, uncond, guidance)
        x = x + (x - clean) / now * (then - now)
    return x


def render_theirs(folder: Path, prompt: str, negative: str, noise: torch.Tensor, *, sigmas, guidance: float):
    kind = StableDiffusionXLPipeline if "XL" in (folder / "model_index.json").read_text() else StableDiffusionPipeline
    pipe = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt,
        negative_prompt=negative,
        height=noise.shape[-2] * 8,
        width=noise.shape[-1] * 8,
        sigmas=sigmas[:-1].tolist(),
        latents=noise,
        guidance_scale=guidance,
        output_type="latent",
    ).images


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    return write_folder(root / "folder", request.param), write_single_file(root / "one.safetensors", request.param)


@pytest.mark.parametrize("negative", ["", "blurry"])
def test_a_picture_equals_the_diffusers_pipelines(pair, negative):
    folder, single = pair
    model = load_model(folder, device="cpu", dtype="fp32")
    prediction = model.contract.prediction
    other = load_model(single, device="cpu", dtype="fp32", prediction=prediction)
    noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(1))
    sigmas = make_sigmas("karras", model.contract.schedule, 3)
    theirs = render_theirs(folder, "a photo of a cat", negative, noise, sigmas=sigmas, guidance=5.0)
    for one in (model, other):
        ours = render_ours(one, "a photo of a cat", negative, noise, steps=3, guidance=5.0)
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
