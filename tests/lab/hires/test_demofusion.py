"""The baseline follows its paper: phases, interleaved samples, a lead that fades."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import CONTRACT, GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.lab.hires.demofusion import Demofusion, Phase, grow_base, list_jittered, list_phases
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GUESSES, RenderBudget
from sfumato.render.plan.choose_method import make_method
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(192, 192), steps=3)


class Echo(GaussianModel):
    """Predicts what it is given: whatever is cut and joined has to come back as it was."""

    def denoise_guided(self, x, sigma, cond, uncond, guidance, *, rescale=0.0, controls=()):
        self.calls.append((*x.shape[:1], *x.shape[2:], float(sigma)))
        return x


def make_work(model, request=REQUEST):
    return Work(model=model, request=request, prompts=PromptSchedule(model, request), preview=Preview(model))


def drain(steps):
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def make_base(size=(64, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8))


def test_phases_are_the_multiples_of_the_base_and_end_at_the_target():
    assert list_phases(LatentSize(8, 8), LatentSize(32, 32)) == tuple(LatentSize(8 * n, 8 * n) for n in (2, 3, 4))
    assert list_phases(LatentSize(8, 4), LatentSize(20, 10)) == (LatentSize(16, 8), LatentSize(20, 10))


def test_the_picture_has_the_size_asked_for_and_repeats_to_the_byte():
    base = make_base()
    first, steps = drain(grow_base(make_work(GaussianModel()), base, Demofusion()))
    again, _ = drain(grow_base(make_work(GaussianModel()), base, Demofusion()))
    assert first.size == (192, 192)
    assert steps == 2 * 3
    assert first.tobytes() == again.tobytes()
    other, _ = drain(grow_base(make_work(GaussianModel(), replace(REQUEST, seed=9)), base, Demofusion()))
    assert other.tobytes() != first.tobytes()


@pytest.mark.parametrize("size", [PixelSize(160, 96), PixelSize(136, 136)])
def test_sizes_that_are_no_multiple_work(size):
    picture, _ = drain(grow_base(make_work(GaussianModel(), replace(REQUEST, size=size)), make_base(), Demofusion()))
    assert picture.size == (size.width, size.height)


@pytest.mark.parametrize("cells", [LatentSize(24, 16), LatentSize(19, 17)])
def test_dilated_samples_are_taken_apart_and_joined_without_loss(cells):
    model = Echo()
    x = torch.randn(1, 4, *cells.shape_hw, generator=torch.Generator().manual_seed(0))
    how = Demofusion(sigma=1e-3)
    phase = Phase(work=make_work(model), how=how, number=1, first=LatentSize(8, 8), reference=x)
    assert torch.allclose(phase._look_far(0, x, 14.0), x, atol=1e-5)
    assert torch.allclose(phase._look_near(0, x, 14.0), x, atol=1e-6)
    assert {call[1:3] for call in model.calls} >= {(8, 8)}


def test_a_blur_keeps_mean_and_spread_and_fades():
    x = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    phase = Phase(work=make_work(Echo()), how=Demofusion(), number=1, first=LatentSize(8, 8), reference=x)
    early, late = phase._blur(x, 14.0, 4), phase._blur(x, 0.03, 4)
    assert early.std() == pytest.approx(float(x.std()), rel=1e-3)
    assert (early - x).abs().mean() > 0.1 > (late - x).abs().mean()


def test_a_lead_that_never_fades_gives_back_the_base():
    base = Image.new("RGB", (64, 64), (40, 120, 200))
    led, _ = drain(grow_base(make_work(Echo()), base, Demofusion(skip=0.0, anchor=False)))
    free, _ = drain(grow_base(make_work(Echo()), base, Demofusion(skip=50.0, anchor=False)))
    target = np.array([40, 120, 200])
    assert np.abs(np.asarray(led).mean(axis=(0, 1)) - target).max() < np.abs(np.asarray(free) - target).mean()


def test_windows_of_every_step_cover_the_canvas_and_move():
    canvas = LatentSize(24, 24)
    each = [list_jittered(REQUEST, CONTRACT, Demofusion(), canvas, phase=1, step=step) for step in range(4)]
    assert len(set(each)) > 1
    for boxes in each:
        seen = np.zeros(canvas.shape_hw, int)
        for box in boxes:
            assert isinstance(box, LatentBox)
            seen[box.slices_hw] += 1
        assert seen.min() >= 1


def test_it_is_planned_and_drawn_through_the_engine_and_offered_to_nobody():
    request = replace(REQUEST, size=PixelSize(160, 128), method=Demofusion())
    assert RenderRequest.from_json(request.to_json()) == request
    plan = plan_render(request, CONTRACT, RenderBudget(memory_bytes=2**40, cost=GUESSES["mini"]))
    model = GaussianModel()
    result, ticks = drain(run_plan(plan, request, model))
    assert result.picture.size == (160, 128)
    assert ticks == sum(stage.ticks for stage in plan.stages)
    # Both halves of guidance are one evaluation of the stand-in.
    assert sum(call[0] for call in model.calls) * 2 == plan.evaluations
    with pytest.raises(RequestError, match="unknown method"):
        make_method("demofusion", CONTRACT)
