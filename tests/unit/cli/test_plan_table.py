"""A plan for people: one memory or two, what it costs meanwhile, and where the numbers are from."""

from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.cli.plan_table import write_plan
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render

REQUEST = RenderRequest(prompt="a house", size=PixelSize(512, 512), steps=10, method=CohesiveMethod())
BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"])


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


def test_opening_is_named_and_windows_at_once():
    text = table()
    assert "to open the model" in text
    assert "at once" in text.splitlines()[0]


def test_disk_is_the_most_at_once_and_what_stays():
    assert "disk         3.00 GiB at most at once, 1.00 GiB when it is done" in table(
        peak_disk_bytes=3 * GIB, disk_bytes=GIB // 2, batch=2
    )
    assert "disk         1.00 GiB at most\n" in table(peak_disk_bytes=GIB, disk_bytes=GIB)


def test_disk_elsewhere_is_said():
    assert "autoencoder" not in table()
    assert "2.00 GiB with temporary files" in table(spill_bytes=2 * GIB)
