"""Every window sees the part of the control picture that lies under it, in the steps that the request says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import CONTRACT, GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    MultidiffusionMethod,
    PictureMethod,
    PictureSource,
    RenderRequest,
)
from sfumato.core.request_parts.control import ControlRef
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Inputs
from sfumato.render.sampling import control_pictures

BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"])
REF = ControlRef(network="net", network_sha256="0" * 64, picture="picture.png", sha256="0" * 64)
REQUEST = RenderRequest(prompt="a house", size=PixelSize(160, 96), steps=4, sampler="Euler", seed=3, controls=(REF,))


def draw_places(size):
    """Return a picture whose red counts columns and whose green counts rows."""
    columns, rows = np.meshgrid(np.arange(size.width), np.arange(size.height))
    return Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8))


class Ring(GaussianModel):
    """A model that decodes a part of a canvas too."""

    def decode_box(self, latents, box):
        return self.decode(latents[..., box.top : box.bottom, box.left : box.right])


def run(request, control=None, **inputs):
    """Return the plan, and for each call its windows' pictures, [windows, 3, H, W] in 0 to 255; None without control."""
    plan, model = plan_render(request, CONTRACT, BUDGET), Ring(controls={"net": "the network"})
    shown = control or draw_places(request.size)
    for _ in run_plan(plan, request, model, Inputs(controls=(shown,) * len(request.controls), **inputs)):
        pass
    assert all(one.network == "the network" for call in model.steered for one in call)
    return plan, [[one.picture * 255 for one in call] for call in model.steered], model


def is_at(shown, left, top, size=None):
    """Tell whether a window shows the picture from a column and a row on, around the edges of a size where there is one."""
    height, width = shown.shape[-2:]
    columns, rows = torch.arange(left, left + width), torch.arange(top, top + height)
    if size is not None:
        columns, rows = columns % size.width, rows % size.height
    wanted = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width), torch.zeros(height, width)])
    return bool(torch.equal(shown.round(), wanted.float()))


def test_native_sees_the_whole_picture():
    request = replace(REQUEST, size=PixelSize(64, 72))
    _, calls, _ = run(request)
    assert len(calls) == request.steps
    assert all(is_at(call[0][0], 0, 0) for call in calls)


@pytest.mark.parametrize("seamless", ["off", "both"])
def test_tiles_see_what_lies_under_them(seamless):
    size = PixelSize(192, 128)
    request = replace(REQUEST, size=size, method=MultidiffusionMethod(overlap=0.3), seamless=seamless)
    plan, calls, _ = run(request)
    windows = plan.stages[0].windows
    seen = [picture for call in calls for picture in call[0]]
    assert len(seen) == request.steps * len(windows) > request.steps
    for index, picture in enumerate(seen):
        box = windows[index % len(windows)]
        assert picture.shape[-2:] == (8 * box.height, 8 * box.width)
        assert is_at(picture, 8 * box.left, 8 * box.top, size)


def test_slices_see_what_lies_under_them():
    plan, calls, _ = run(replace(REQUEST, method=GobigMethod(strength=0.5)))
    last = plan.stages[-1]
    steps = last.steps - last.first_step
    batch = -(-len(last.windows) // last.window_batch)
    slices = [picture for call in calls[-steps * batch :: steps] for picture in call[0]]
    assert len(slices) == len(last.windows)
    for box, picture in zip(last.windows, slices, strict=True):
        assert is_at(picture, 8 * box.left, 8 * box.top)


def test_cohesive_windows_see_what_lies_under_them_wherever_they_move():
    request = replace(REQUEST, method=CohesiveMethod(strength=0.6, predict=False, phrases=False))
    plan, calls, _ = run(request)
    base = plan.stages[0]
    assert all(call[0].shape[-2:] == (base.canvas.height, base.canvas.width) for call in calls[: base.steps])
    windows = [picture for call in calls[base.steps :] for picture in call[0]]
    corners = {(int(one[0, 0, 0].round()), int(one[1, 0, 0].round())) for one in windows}
    assert len(corners) > len(plan.stages[-1].windows)
    assert all(is_at(one, int(one[0, 0, 0].round()), int(one[1, 0, 0].round())) for one in windows)


def test_a_picture_on_a_large_canvas_is_cut_window_by_window(monkeypatch):
    request = replace(REQUEST, size=PixelSize(192, 128), method=MultidiffusionMethod())
    monkeypatch.setattr(control_pictures, "MOST_LAID_PX", 0)
    plan, calls, _ = run(request)
    seen = [picture for call in calls for picture in call[0]]
    for index, picture in enumerate(seen):
        box = plan.stages[0].windows[index % len(plan.stages[0].windows)]
        assert is_at(picture, 8 * box.left, 8 * box.top)


def test_a_picture_of_another_shape_is_cropped_in_its_middle():
    request = replace(REQUEST, size=PixelSize(64, 64))
    _, calls, _ = run(request, draw_places(PixelSize(96, 64)))
    assert is_at(calls[0][0][0], 16, 0)


def test_a_masked_canvas_begins_where_the_picture_does():
    size = PixelSize(60, 61)
    source = InpaintSource(path="i", sha256="0" * 64, mask="m", mask_sha256="0" * 64, strength=1.0)
    mask = Image.new("L", (60, 61), 255)
    _, calls, _ = run(replace(REQUEST, size=size, source=source), mask=mask, **start(size))
    assert is_at(calls[0][0][0][:, :61, :60], 0, 0)


def start(size):
    return {"picture": Image.new("RGB", (size.width, size.height))}


def test_a_control_acts_in_its_share_of_the_steps():
    first, last = replace(REF, end=0.5), replace(REF, start=0.75, weight=0.5)
    request = replace(REQUEST, size=PixelSize(64, 64), controls=(first, last))
    _, _, model = run(request)
    assert [[one.weight for one in call] for call in model.steered] == [[1.0], [1.0], [], [0.5]]


def test_of_a_started_picture_the_share_counts_what_is_walked():
    source = ImageSource(path="i", sha256="0" * 64, strength=0.5)
    size = PixelSize(64, 64)
    request = replace(REQUEST, size=size, steps=8, source=source, controls=(replace(REF, end=0.5),))
    _, _, model = run(request, **start(size))
    assert [len(call) for call in model.steered] == [1, 1, 0, 0]


def test_a_plan_counts_networks():
    plain = replace(REQUEST, controls=())
    budget = replace(BUDGET, control_parameters=10**8)
    before, after = (plan_render(one, CONTRACT, both) for one, both in ((plain, BUDGET), (REQUEST, budget)))
    assert after.memory_bytes >= before.memory_bytes + 4 * 10**8
    assert after.seconds > before.seconds


def test_what_draws_no_canvas_of_its_own_is_refused():
    source = PictureSource(path="i", sha256="0" * 64, size=PixelSize(64, 64))
    with pytest.raises(RequestError, match="takes no control"):
        replace(REQUEST, source=source, method=CohesiveMethod())
    with pytest.raises(RequestError, match="takes no `control`"):
        plan_render(replace(REQUEST, method=PictureMethod()), CONTRACT, BUDGET)
