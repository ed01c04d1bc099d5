"""A plan looks at the disks there are, knows two names of one disk, and counts what saving holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from bundles import tiny_mini
from sfumato.core.errors import BudgetError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.models.describe import load_contract
from sfumato.models.hardware.policy import choose_policy
from sfumato.render.plan.budget import GIB
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.forecast import plan_request
from sfumato.workflows.forecast.plan_request import make_budget
from sfumato.workflows.run_options import RunOptions


@pytest.mark.parametrize(
    ("spill", "is_one"), [("spill", True), ("spill/not/there/yet", True), (Path("/proc"), False), (Path("/dev"), False)]
)
def test_where_maps_go_may_be_the_disk_of_the_picture(tmp_path, monkeypatch, spill, is_one):
    monkeypatch.setattr(plan_request, "find_offload_folder", lambda: tmp_path / spill)
    contract, policy = load_contract(tiny_mini()), choose_policy("cpu", "fp32")
    assert make_budget(contract, policy, RunOptions(out=tmp_path / "new" / "a.png")).spill_shared is is_one


@pytest.mark.parametrize("separate", [False, True])
def test_a_format_that_is_saved_whole_takes_the_memory_of_the_host(tmp_path, separate):
    contract, policy = load_contract(tiny_mini()), choose_policy("cpu", "fp32")
    request = RenderRequest(prompt="", size=PixelSize(16384, 16384), method=CohesiveMethod())

    def make(name, limit):
        budget = make_budget(contract, policy, RunOptions(out=tmp_path / name, budget_bytes=limit * GIB))
        limits = {"separate": True, "host_bytes": limit * GIB} if separate else {}
        # What the test process itself holds is beside the point.
        limits |= {"base_bytes": GIB // 2, "host_base_bytes": GIB // 2}
        return replace(budget, free_bytes=None, disk_bytes=None, spill_bytes=None, **limits)

    def count(plan):
        return plan.host_bytes if separate else plan.memory_bytes

    banded, whole = (plan_render(request, contract, make(name, limit)) for name, limit in (("a.png", 4), ("a.jpg", 64)))
    assert banded.size == request.size
    assert count(whole) > 4 * request.size.area > count(banded)
    with pytest.raises(BudgetError) as caught:
        plan_render(request, contract, make("a.webp", 4))
    assert "to be saved" in caught.value.got
    assert ".png, .tif or .dzi" in caught.value.do


def test_a_process_that_holds_more_plans_more():
    contract, policy, options = load_contract(tiny_mini()), choose_policy("cpu", "fp32"), RunOptions(budget_bytes=GIB)
    before = make_budget(contract, policy, options, loaded=True)
    kept = b"x" * (64 * 2**20)
    after = make_budget(contract, policy, options, loaded=True)
    assert after.base_bytes - before.base_bytes >= 0.9 * len(kept)
    assert after.memory_bytes == GIB
    assert after.free_bytes > make_budget(contract, policy, options).free_bytes
