"""Say what a render costs, keep to a budget, and own up to how far the forecast was off."""

import pytest

GIB = 1024**3
LARGE = ("a cat", "--size", "192x128", "--method", "multidiffusion")


def test_a_render_says_how_far_its_plan_was_off(render):
    done = render(*LARGE, "--out", "a.png", "--json").json
    assert done["bytes_error"] == pytest.approx(done["planned_bytes"] / done["peak_bytes"] - 1, abs=2e-3)
    assert done["seconds_error"] == pytest.approx(done["planned_seconds"] / done["seconds"] - 1, rel=0.05, abs=0.05)
    assert done["basis"] == "guess"
    assert done["host_bytes_error"] is None
    assert [stage["name"] for stage in done["stages"]] == ["multidiffusion"]


def test_the_report_says_it_too(render, room):
    render(*LARGE, "--out", "a.png")
    page = (room / "a.html").read_text()
    assert "Memory: planned" in page
    assert "draws up to 4 tiles" in page


def test_a_smaller_budget_takes_fewer_windows_at_once_before_it_refuses(render, room):
    roomy = render(*LARGE, "--json", command="plan").json
    assert (roomy["window_batch"], roomy["memory_is"]) == (4, "shared")
    # Half of what four windows take beside the rest.
    tight = (roomy["memory_bytes"] - 5 * 2**20) / GIB
    planned = render(*LARGE, "--json", "--budget-gb", tight, command="plan").json
    assert planned["window_batch"] < 4
    done = render(*LARGE, "--json", "--budget-gb", tight, "--out", "a.png").json
    assert done["window_batch"] == planned["window_batch"]
    assert f"draws up to {done['window_batch']} tiles" in (room / "a.html").read_text()


def test_a_second_plan_goes_by_the_first_render(render):
    render(*LARGE, "--steps", 60, "--out", "a.png", "--no-report")
    assert render(*LARGE, "--steps", 60, "--json", command="plan").json["open_seconds"] > 0


@pytest.mark.slow
def test_a_probe_is_used_by_the_plan_that_asks_for_it_and_by_later_ones(render):
    assert render(*LARGE, "--probe", "--json", command="plan").json["seconds_basis"] == "probe"
    assert render(*LARGE, "--json", command="plan").json["seconds_basis"] == "probe"


def test_a_large_render_says_beforehand_what_it_will_cost(render):
    large = ("a cat", "--size", "192x128", "--no-report", "--out", "a.png")
    done = render(*large)
    first, second, *_ = done.err.splitlines()
    assert first.startswith("192x128 in 2 levels, ")
    assert first.endswith(" of disk in a.png.work")
    assert second == "opening the model"
    assert "of disk" not in done.out
    assert "of disk" not in render(*large, "--json").err
    assert "of disk" not in render("a cat", "--size", "64x64", "--out", "b.png").err
    grown = render("a.png", "--size", "288x192", "--no-report", "--out", "c.png", command="upscale")
    assert grown.err.splitlines()[0].startswith("288x192 in 1 level, ")
