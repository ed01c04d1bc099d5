"""The true shapes of SD 1.5, SD 2.1 and SDXL with random weights: our latents against diffusers'.

Gigabytes and minutes each, so outside the default run; one case at a time:
`pytest -m slow tests/unit/models/test_true_shapes.py -k sd15`. What they measured is in docs/log/README.md.
"""

from __future__ import annotations

import gc
import shutil
import time

import pytest
import torch

from checkpoints import write_folder, write_single_file
from pictures import open_theirs, render_ours, render_theirs
from sfumato.models.describe import load_contract
from sfumato.models.load import load_model

# float32 sums of 2,048 products in another order, through hundreds of layers and two steps.
TOLERANCE = 1e-3
SIDE_CELLS = 16
STEPS = 2
PROMPT = "a photo of a cat"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd15", "sd21-base", "sd21", "sdxl"])
def test_a_picture_of_the_true_network_equals_the_diffusers_pipelines(tmp_path, family):
    """Half-precision files keep the disk small; both programs compute in float32."""
    noise = torch.randn(1, 4, SIDE_CELLS, SIDE_CELLS, generator=torch.Generator().manual_seed(1))
    folder = write_folder(tmp_path / "folder", family, tiny=False, dtype=torch.float16)
    said = load_contract(folder)
    theirs = render_theirs(open_theirs(folder), PROMPT, "", noise, guidance=5.0, steps=STEPS)
    gc.collect()
    print(f"\n{family}: largest latent {float(theirs.abs().max()):.3f}, native {said.native}")
    ours = render(folder, "folder", noise, said.prediction)
    check(ours, theirs)
    # One copy on the disk at a time.
    shutil.rmtree(folder)
    single = write_single_file(tmp_path / "one.safetensors", family, tiny=False, dtype=torch.float16)
    check(render(single, "single file", noise, said.prediction), theirs)


def render(path, name, noise, prediction):
    begun = time.perf_counter()
    model = load_model(path, device="cpu", dtype="fp32", prediction=prediction)
    loaded = time.perf_counter()
    latents = render_ours(model, PROMPT, "", noise, guidance=5.0, steps=STEPS)
    print(f"{name}: loaded in {loaded - begun:.0f} s, {STEPS} steps in {time.perf_counter() - loaded:.0f} s")
    del model
    gc.collect()
    return latents


def check(ours, theirs):
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    print(f"largest difference {difference:.2e} of the largest latent")
    assert difference <= TOLERANCE
