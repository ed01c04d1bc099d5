"""What a render that was stopped keeps besides its canvases: who it is, and what memory decided when it began."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
import torch

from fakes import CONTRACT, CPU
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import WeightDigests
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.files.resume import open_work

REQUEST = RenderRequest(prompt="a house", size=PixelSize(256, 256), steps=4, sampler="Euler", method=CohesiveMethod())


@pytest.fixture
def plan():
    return plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))


def begin(path, plan):
    """Leave work in progress, as a process does that is killed."""
    space, _ = open_work(path, request=REQUEST, digests=WeightDigests(), plan=plan, policy=CPU, resume=False)
    with closing(space):
        space.note(Entry({"stage": 0, "phase": "draw"}))


@pytest.mark.parametrize("room", [GIB, None])
def test_what_memory_decided_stays_as_it_was_when_the_work_began(tmp_path, plan, room):
    begun = replace(plan, autoencoder_bytes=room, stages=tuple(replace(one, window_batch=3) for one in plan.stages))
    begin(tmp_path / "a.png", begun)
    now = replace(plan, autoencoder_bytes=5, stages=tuple(replace(one, window_batch=1) for one in plan.stages))
    space, kept = open_work(
        tmp_path / "a.png", request=REQUEST, digests=WeightDigests(), plan=now, policy=CPU, resume=True
    )
    space.close()
    assert kept == begun


def test_it_goes_on_with_the_threads_that_it_began_with(tmp_path, plan):
    """Sums that other threads share add up in another order."""
    threads = torch.get_num_threads()
    begin(tmp_path / "a.png", plan)
    torch.set_num_threads(threads + 1)
    try:
        open_work(tmp_path / "a.png", request=REQUEST, digests=WeightDigests(), plan=plan, policy=CPU, resume=True)[
            0
        ].close()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads)


def test_who_resumes_another_render_is_told_what_differs(tmp_path, plan):
    begin(tmp_path / "a.png", plan)
    half = replace(CPU, unet="bf16")
    weaker = replace(REQUEST, steps=5, method=CohesiveMethod(strength=0.25))
    for request, policy, said in (
        (weaker, CPU, ("steps: 4 in the work, 5 asked", "method.strength: 0.35 in the work, 0.25 asked")),
        (REQUEST, half, ("dtype: float32 in the work, bfloat16 asked",)),
    ):
        with pytest.raises(RequestError) as caught:
            open_work(
                tmp_path / "a.png", request=request, digests=WeightDigests(), plan=plan, policy=policy, resume=True
            )
        assert caught.value.got == "; ".join(said)
        assert str(tmp_path / "a.png.work") in caught.value.do
