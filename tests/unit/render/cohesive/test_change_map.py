"""A map says who is free when, the same for windows, rows and the whole, and a cell that is not keeps its anchor."""

from dataclasses import replace

import torch

from fakes import CONTRACT, GaussianModel
from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.core.prompt.phrases import Phrase
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.cohesive.certainty import measure_predictability
from sfumato.render.cohesive.change_map import ChangeMap
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.sampling.phrase_maps import PhraseMaps
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work

STEPS = torch.tensor([[2.0, 2.0, 6.0, 6.0], [2.0, 2.0, 6.0, 6.0]])
FREEDOM = ChangeMap(first_steps=STEPS, share=STEPS / 6, part=(0.0, 0.0, 1.0, 1.0), canvas=LatentSize(32, 16))
REQUEST = RenderRequest(prompt="a cat", size=PixelSize(192, 128), steps=6, seed=5, method=CohesiveMethod())


def make_work(model):
    return Work(model=model, request=REQUEST, prompts=PromptSchedule(model, REQUEST), preview=Preview(model))


def test_rows_are_cut_from_the_whole_map():
    whole = FREEDOM.open_rows(slice(0, 16), 3)
    assert torch.equal(FREEDOM.open_rows(slice(5, 9), 3), whole[5:9])
    assert whole[:, :8].all()
    assert not whole[:, 24:].any()
    assert FREEDOM.open_rows(slice(0, 16), 6).all()


def test_a_window_is_open_when_one_of_its_cells_is():
    assert FREEDOM.is_open(LatentBox(0, 0, 8, 8), 2)
    assert not FREEDOM.is_open(LatentBox(24, 0, 32, 8), 5)
    assert FREEDOM.is_open(LatentBox(10, 0, 32, 8), 2)


def test_only_the_part_that_the_canvas_shows_counts():
    right = replace(FREEDOM, part=(0.5, 0.0, 1.0, 1.0))
    assert not right.open_rows(slice(0, 16), 3)[:, 4:].any()


def test_places_without_a_thing_or_without_detail_are_kept():
    model = GaussianModel()
    left = torch.zeros(8, 8)
    left[:, :3] = 1.0
    phrases = PhraseMaps((Phrase("a cat"), Phrase("in a garden")), torch.stack([left, 1.0 - left]))
    flat, busy = torch.zeros(1, 3, 64, 64), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    clean = torch.zeros(1, 4, 8, 8)
    assert measure_predictability(make_work(model), clean, flat, phrases).max() < 0.01
    shares = measure_predictability(make_work(model), clean, busy, phrases)
    assert shares[:, :3].min() > 0.0
    assert shares[:, 5:].max() == 0.0


def test_windows_that_nobody_may_change_are_not_drawn():
    counts = []
    for predict in (True, False):
        model = GaussianModel()
        request = replace(REQUEST, steps=20, method=CohesiveMethod(predict=predict, strength=0.4))
        plan = plan_render(request, CONTRACT, RenderBudget(memory_bytes=4 * GIB, cost=GUESSES["mini"]))
        for progress in run_plan(plan, request, model):
            assert progress.done_frac <= 1.0
        # The windows of levels come with both halves apart, after the base.
        counts.append(sum(call[0] for call in model.calls[20:]))
    # The map costs a dozen calls; what it spares in two levels is more.
    assert counts[0] - 12 < counts[1]
