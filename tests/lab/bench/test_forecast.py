"""The card of forecasts: signs and sizes of errors are right, and a slow day is told from a wrong model."""

import json
import math

import pytest

from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.lab.bench import forecast as module
from sfumato.lab.bench.forecast import ForecastRow, Forecasts, judge, list_sizes, run_apart, run_bench_forecast
from sfumato.workflows.forecast.calibration_store import measure_error


def compared(name, *, seconds, peak_bytes=100):
    return ForecastRow(
        name=name,
        planned_s=10.0,
        seconds=seconds,
        planned_bytes=110,
        peak_bytes=peak_bytes,
        open_s=4.0,
        planned_open_s=5.0,
    )


def rows_of(card):
    return {row.name: row for row in card.rows}


def test_an_error_is_relative_to_what_happened():
    assert measure_error(12.0, 10.0) == pytest.approx(0.2)
    assert measure_error(8.0, 10.0) == pytest.approx(-0.2)
    assert measure_error(8.0, None) is None
    assert measure_error(8.0, 0.0) is None


def test_the_card_tells_size_and_sign_and_whether_the_aim_is_met():
    card = judge([compared("a", seconds=8.0), compared("b", seconds=20.0)], Forecasts())
    rows = rows_of(card)
    assert rows["memory, median"].value == rows["memory, worst"].value == pytest.approx(10.0)
    assert rows["memory, worst"].met
    assert (rows["time, worst"].value, rows["time, worst"].met) == (50.0, False)
    assert (rows["time, a"].value, rows["time, b"].value) == (25.0, -50.0)
    assert rows["opening, median"].value == pytest.approx(25.0)


def test_a_machine_that_is_slow_today_is_not_a_wrong_model():
    card = judge([compared(name, seconds=30.0) for name in "abc"], Forecasts())
    assert rows_of(card)["time, worst"].met is False
    assert rows_of(card)["time, at the pace of all, worst"].value == pytest.approx(0.0, abs=0.1)


def test_a_system_that_tells_no_memory_leaves_that_row_without_a_number():
    card = judge([compared("a", seconds=10.0, peak_bytes=None)], Forecasts())
    assert math.isnan(rows_of(card)["memory, worst"].value)
    assert json.loads(card.to_line())["rows"][0]["value"] is None


def test_sizes_follow_the_native_size():
    assert list_sizes("mini") == [PixelSize(256, 256), PixelSize(512, 512), PixelSize(1024, 576)]


def test_every_render_starts_from_the_probe_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    seen = []

    def run(words, cache):
        known = cache / "sfumato" / "costs.json"
        if words[0] == "bench":
            known.write_text("probed")
            return {}
        seen.append((words[words.index("--method") + 1], known.read_text()))
        known.write_text("learned from a render")
        return {
            "planned_seconds": 1.0,
            "seconds": 1.0,
            "planned_bytes": 1,
            "peak_bytes": 1,
            "open_seconds": 1.0,
            "planned_open_seconds": 1.0,
        }

    monkeypatch.setattr(module, "run_apart", run)
    told = []
    card = run_bench_forecast(Forecasts(), on_render=lambda *count: told.append(count))
    assert seen == [(method, "probed") for _ in range(3) for method in ("cohesive", "gobig")]
    assert told[-1] == ("render", 6, 6)
    assert rows_of(card)["memory, worst"].n == 6
    assert not (tmp_path / "mine").exists()


def test_a_render_that_fails_is_told_with_its_last_words(tmp_path):
    with pytest.raises(ModelError, match="nothing to draw"):
        run_apart(["render", "--json"], tmp_path)
