"""The engine does what the plan says, with every method and source, and says where it failed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import CONTRACT, MEAN, SPREAD, GaussianModel
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    MultidiffusionMethod,
    NativeMethod,
    RenderRequest,
)
from sfumato.nn.samplers import list_samplers
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render

BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"])
REQUEST = RenderRequest(prompt="a house", size=PixelSize(64, 64), steps=6, sampler="Euler", seed=3)
DIGEST = "0" * 64


def run(request, model=None, inputs=None):
    """Return the result, all progress, and the model."""
    model = model or GaussianModel()
    steps = run_plan(plan_render(request, CONTRACT, BUDGET), request, model, inputs)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen, model


def pixels(picture):
    return np.asarray(picture, dtype=np.float32) / 127.5 - 1.0


def test_native_draws_the_gaussian():
    result, _, _ = run(replace(REQUEST, size=PixelSize(256, 256), steps=30))
    values = pixels(result.picture)[::8, ::8]
    assert values.mean() == pytest.approx(MEAN, abs=0.03)
    assert values.std() == pytest.approx(SPREAD, abs=0.03)
    assert result.base is None


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        replace(REQUEST, size=PixelSize(160, 96), method=MultidiffusionMethod()),
        replace(REQUEST, size=PixelSize(160, 96), method=GobigMethod()),
        replace(REQUEST, sampler="Heun"),
        replace(REQUEST, size=PixelSize(160, 96), method=CohesiveMethod(predict=False)),
        replace(
            REQUEST,
            size=PixelSize(288, 160),
            method=CohesiveMethod(strength=1.0, predict=False),
            sampler="Heun",
            guidance=1.0,
        ),
    ],
    ids=["native", "multidiffusion", "gobig", "heun", "cohesive", "cohesive heun"],
)
def test_evaluations_and_reports_are_those_of_the_plan(request_):
    plan = plan_render(request_, CONTRACT, BUDGET)
    result, seen, model = run(request_)
    halves = 1 if request_.guidance == 1.0 else 2
    assert halves * sum(batch for batch, *_ in model.calls) == plan.evaluations
    assert [progress.done_frac for progress in seen] == sorted(progress.done_frac for progress in seen)
    assert seen[-1].done_frac == pytest.approx(1.0)
    assert len(seen) == sum(stage.ticks for stage in plan.stages)
    assert [stage.name for stage in result.trace] == [stage.name for stage in plan.stages]
    assert result.picture.size == (request_.size.width, request_.size.height)


@pytest.mark.parametrize("sampler", list_samplers())
def test_windows_give_the_same_picture_as_the_whole(sampler):
    """A denoiser that looks at single cells cannot tell windows from the canvas, noise included."""
    request = replace(REQUEST, size=PixelSize(160, 96), sampler=sampler, steps=4)
    whole, _, _ = run(request)
    fused, _, _ = run(replace(request, method=MultidiffusionMethod(overlap=0.6)))
    assert np.abs(pixels(whole.picture) - pixels(fused.picture)).max() < 0.02


@pytest.mark.parametrize("sampler", list_samplers())
def test_moving_windows_give_the_same_picture_as_one_that_holds_the_canvas(sampler, monkeypatch):
    """A denoiser that looks at single cells cannot tell windows from the canvas, the lock included."""
    request = replace(REQUEST, size=PixelSize(160, 96), sampler=sampler, steps=4)
    request = replace(request, method=CohesiveMethod(strength=1.0))
    many, _, few_calls = run(request)
    one = lambda _stage, canvas, _step: [(canvas.box,)]  # noqa: E731
    monkeypatch.setattr("sfumato.render.cohesive.level.list_window_rows", one)
    whole, _, calls = run(request)
    assert len(calls.calls) < len(few_calls.calls)
    assert np.abs(pixels(many.picture) - pixels(whole.picture)).max() < 0.02


def test_cohesive_keeps_its_base():
    """The lock and the start below full noise hold the low band; both undone, the picture is another."""
    size = PixelSize(256, 256)
    held = run(replace(REQUEST, size=size, method=CohesiveMethod(strength=0.4, lock=1.0), steps=10))[0]
    free = run(
        replace(
            REQUEST,
            size=size,
            method=CohesiveMethod(strength=1.0, lock=0.0, hold=False, guard=False, predict=False),
            steps=10,
        )
    )[0]
    likeness = []
    for result in (held, free):
        small = np.asarray(result.picture.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
        base = np.asarray(result.base.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
        likeness.append(np.corrcoef(small.ravel(), base.ravel())[0, 1])
    assert likeness[0] > 0.95 > 0.5 > likeness[1]


def test_slices_agree_where_they_overlap():
    """Noise comes from the canvas, so two slices see the same noise in the cells they share."""
    request = replace(REQUEST, size=PixelSize(128, 128), method=GobigMethod(strength=1.0, overlap=0.5))
    few, _, _ = run(replace(request, method=replace(request.method, overlap=0.0)))
    many, _, _ = run(request)
    assert np.abs(pixels(few.picture) - pixels(many.picture)).max() < 0.02


def test_gobig_keeps_its_base_and_enlarges_it():
    result, _, _ = run(replace(REQUEST, size=PixelSize(256, 256), method=GobigMethod(strength=0.2), steps=10))
    assert result.base.size == (64, 64)
    small = np.asarray(result.picture.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    base = np.asarray(result.base.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    assert np.corrcoef(small.ravel(), base.ravel())[0, 1] > 0.9


def test_the_same_request_gives_the_same_picture_and_another_seed_another():
    for method in (NativeMethod(), MultidiffusionMethod(), GobigMethod(), CohesiveMethod()):
        request = replace(REQUEST, size=PixelSize(128, 128), sampler="Euler a", method=method)
        first, second, third = (run(one)[0].picture for one in (request, request, replace(request, seed=4)))
        assert first.tobytes() == second.tobytes() != third.tobytes()


def test_img2img_at_little_strength_stays_close():
    start = Image.new("RGB", (64, 64), (200, 40, 40))
    request = replace(REQUEST, steps=20, source=ImageSource(path="a", sha256=DIGEST, strength=0.1))
    result, _, model = run(request, inputs=Inputs(picture=start))
    assert len(model.calls) == 2
    assert np.abs(pixels(result.picture) - pixels(start)).mean() < 0.35


@pytest.mark.parametrize("method", [NativeMethod(), MultidiffusionMethod(window=PixelSize(64, 64))])
@pytest.mark.parametrize("size", [PixelSize(160, 96), PixelSize(75, 101)])
def test_inpainting_keeps_the_outside_to_the_bit(method, size):
    rng = np.random.default_rng(1)
    start = Image.fromarray(rng.integers(0, 256, (*size.shape_hw, 3), dtype=np.uint8))
    mask = Image.new("L", start.size)
    mask.paste(255, (40, 20, 97, 61))
    source = InpaintSource(path="a", sha256=DIGEST, mask="b", mask_sha256=DIGEST, strength=1.0)
    request = replace(REQUEST, size=size, source=source, method=method)
    result, _, _ = run(request, inputs=Inputs(picture=start, mask=mask))
    assert result.picture.size == start.size
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(result.picture)[outside], np.asarray(start)[outside])
    assert not np.array_equal(np.asarray(result.picture)[~outside], np.asarray(start)[~outside])


def test_a_mask_of_another_size_is_refused():
    source = InpaintSource(path="a", sha256=DIGEST, mask="b", mask_sha256=DIGEST)
    inputs = Inputs(picture=Image.new("RGB", (64, 64)), mask=Image.new("L", (32, 32), 255))
    with pytest.raises(RequestError, match="size of its picture"):
        run(replace(REQUEST, source=source), inputs=inputs)


@pytest.mark.parametrize(
    ("request_", "call", "place"),
    [
        (REQUEST, 3, "native, step 3 of 6"),
        (replace(REQUEST, size=PixelSize(128, 128), method=GobigMethod()), 8, "round 1 of 1, step 6 of 6"),
    ],
)
def test_a_nan_names_stage_and_step(request_, call, place):
    with pytest.raises(ModelError) as caught:
        run(request_, GaussianModel(poison=call))
    assert caught.value.got == place


def test_prompts_are_encoded_once_for_each_change_and_window_size():
    request = replace(REQUEST, prompt="[a cat:a dog:0.5]", size=PixelSize(128, 128), method=MultidiffusionMethod())
    _, _, model = run(request)
    # Two prompts over time, each with its negative, all at the size of a window.
    assert len(model.prompts) == 4
    assert {size for _, size in model.prompts} == {PixelSize(64, 64)}


def test_every_step_can_be_previewed():
    for method in (NativeMethod(), MultidiffusionMethod(), GobigMethod(), CohesiveMethod()):
        _, seen, _ = run(replace(REQUEST, size=PixelSize(96, 96), method=method, steps=3))
        for progress in seen:
            assert progress.preview().mode == "RGB"


def test_closing_the_generator_stops_at_once():
    model = GaussianModel()
    steps = run_plan(plan_render(REQUEST, CONTRACT, BUDGET), REQUEST, model)
    next(steps)
    steps.close()
    assert len(model.calls) == 1


def test_a_linear_preview_has_the_colours_of_the_picture():
    from sfumato.render.sampling.preview import Preview

    model = GaussianModel(contract=replace(CONTRACT, autoencoder="kl"))
    picture = Image.new("RGB", (64, 64), (220, 60, 20))
    latents = model.encode_image(torch.from_numpy(pixels(picture)).permute(2, 0, 1)[None])
    drawn = np.asarray(Preview(model).draw(latents), dtype=int)
    assert drawn.shape == (8, 8, 3)
    assert np.abs(drawn - (220, 60, 20)).max() <= 2
