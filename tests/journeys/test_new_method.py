"""A new method is one file and one row: here a toy that draws the canvas once from its middle and mirrors it."""

import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import NativeMethod, RenderRequest
from sfumato.core.serialize import to_json
from sfumato.render.engine import run_plan
from sfumato.render.methods import registry
from sfumato.render.methods.registry import MethodRow, find_method, register_method
from sfumato.render.plan.budget import GUESSES, RenderBudget
from sfumato.render.plan.choose_method import make_method
from sfumato.render.plan.make_plan import plan_render
from toy_method import MirrorMethod, list_mirror_stages, run_mirror

REQUEST = {"prompt": "a cat", "size": PixelSize(128, 64), "steps": 3}
BUDGET = RenderBudget(memory_bytes=2**40, cost=GUESSES["mini"])


@pytest.fixture
def row():
    row = MethodRow(settings=MirrorMethod, list_stages=list_mirror_stages, run=run_mirror)
    register_method(row)
    yield row
    del registry.METHODS["mirror"]


def draw(request, model):
    steps, shares = run_plan(plan_render(request, CONTRACT, BUDGET), request, model), []
    while True:
        try:
            shares.append(next(steps).done_frac)
        except StopIteration as end:
            return end.value, shares


def test_one_file_and_one_row_are_planned_and_drawn(row):
    request = RenderRequest(**REQUEST, method=MirrorMethod(wide=0.5))
    plan = plan_render(request, CONTRACT, BUDGET)
    assert [stage.name for stage in plan.stages] == ["half"]
    model = GaussianModel()
    result, shares = draw(request, model)
    assert result.picture.size == (128, 64)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])
    # Both halves of guidance are one evaluation of the stand-in.
    assert 2 * sum(call[0] for call in model.calls) == plan.evaluations
    left, right = (result.picture.crop(box) for box in ((0, 0, 64, 64), (64, 0, 128, 64)))
    assert left.transpose(0).tobytes() == right.tobytes()


def test_its_settings_travel_and_its_own_checks_are_asked(row):
    request = RenderRequest(**REQUEST, method=MirrorMethod(wide=0.25))
    assert RenderRequest.from_json(request.to_json()) == request
    assert make_method("mirror", CONTRACT) == MirrorMethod()
    assert find_method(request.method) is row
    with pytest.raises(RequestError, match="unknown keys"):
        RenderRequest.from_json(request.to_json() | {"method": {"kind": "mirror", "high": 2}})


def test_settings_without_a_row_are_refused_and_a_name_is_taken_once(row):
    class OtherMirror(NativeMethod):
        kind = "mirror"

    with pytest.raises(RequestError, match="two classes have the kind"):
        register_method(MethodRow(settings=OtherMirror, list_stages=list_mirror_stages, run=run_mirror))
    unknown = to_json(RenderRequest(**REQUEST)) | {"method": {"kind": "no-such-method"}}
    with pytest.raises(RequestError, match="no known kind"):
        RenderRequest.from_json(unknown)
    del registry.METHODS["mirror"]
    with pytest.raises(RequestError, match="no method is registered"):
        plan_render(RenderRequest(**REQUEST, method=MirrorMethod()), CONTRACT, BUDGET)
    registry.METHODS["mirror"] = row
