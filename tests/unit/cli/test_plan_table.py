"""A plan for people: one memory or two, what it costs meanwhile, and where the numbers are from."""

from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.cli.plan_table import write_plan
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, Budget, guess_footprint
from sfumato.render.plan.make_plan import plan_render

REQUEST = RenderRequest(prompt="a house", size=PixelSize(512, 512), steps=10, method=CohesiveMethod())
BUDGET = Budget(memory_bytes=8 * GIB, cost=GUESSES["mini"])


def table(budget=BUDGET, **changes):
    return write_plan(replace(plan_render(REQUEST, CONTRACT, budget), **changes))


def test_one_memory_is_one_number_and_said_to_be():
    assert "device and host are one" in table()
    assert "\nhost " not in table()


def test_a_device_with_memory_of_its_own_has_a_line_and_the_host_another():
    text = table(replace(BUDGET, separate=True, host_bytes=8 * GIB))
    assert "\ndevice " in text
    assert "\nhost " in text


@pytest.mark.parametrize(
    ("basis", "words"), [("probe", "probe of this"), ("measured", "earlier"), ("guess", "a guess")]
)
def test_the_source_of_the_numbers_is_named(basis, words):
    assert words in table(basis=basis)


def test_a_probe_that_had_little_of_the_machine_is_no_secret():
    assert "other work kept 90% of it busy" in table(basis="probe", busy_frac=0.9)
    assert "other work" not in table(basis="probe", busy_frac=0.1)


def test_memory_is_a_formula_until_a_probe_has_weighed_the_model():
    half = replace(BUDGET, loaded_bytes=(GIB, GIB))
    assert "by a formula" in table(half)
    weighed = replace(half, footprint=guess_footprint(CONTRACT, 4))
    assert "by a formula" not in table(weighed)
    assert plan_render(REQUEST, CONTRACT, weighed).to_json()["memory_basis"] == "probe"


def test_opening_is_named_and_windows_at_once():
    text = table()
    assert "to open the model" in text
    assert "at once" in text.splitlines()[0]


def test_disk_is_the_most_at_once_and_what_stays():
    assert "disk         3.00 GiB at most at once, 1.00 GiB when it is done" in table(
        peak_disk_bytes=3 * GIB, disk_bytes=GIB // 2, batch=2
    )
    assert "disk         1.00 GiB at most\n" in table(peak_disk_bytes=GIB, disk_bytes=GIB)


def test_what_is_not_counted_is_said():
    plan = plan_render(REQUEST, CONTRACT, BUDGET)
    assert 0 < plan.again_bytes <= 2 * plan.stages[-1].work_bytes
    assert 0 < plan.again_s < plan.seconds
    assert "not counted: about" in table()
    assert "every window is counted" in table()
    assert "counted" not in table(again_bytes=0, again_s=0.0)


def test_what_the_autoencoder_does_for_want_of_room_is_said():
    assert "autoencoder" not in table()
    assert "want of memory" in table(cut_for_memory=True)
    assert "2.00 GiB with temporary files" in table(spill_bytes=2 * GIB)
    assert "temporary" not in table(spill_bytes=2 * GIB, map_bytes=2 * GIB)
    assert "2.00 GiB beside the picture" in table(unkept_bytes=2 * GIB)
