"""A probe is remembered, changes what plans say, and its table tells measured from fitted."""

import json
import os
from dataclasses import replace

import pytest

from bundles import tiny_mini
from fakes import CONTRACT, CPU
from sfumato.core.errors import BudgetError, ModelError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.models.hardware.detect import detect_hardware
from sfumato.models.load import load_model
from sfumato.render.plan.budget import GIB, GUESSES, RUNTIME_BYTES, Budget, guess_footprint
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.forecast import calibrate
from sfumato.workflows.forecast.calibrate import choose_batches, probe_loaded, run_probe
from sfumato.workflows.forecast.calibration_process import measure
from sfumato.workflows.forecast.calibration_store import Known, load_known, name_place, save_known
from sfumato.workflows.forecast.plan_request import Wishes, plan_request

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(64, 64), model=str(tiny_mini()), steps=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def model():
    return load_model(tiny_mini(), dtype="fp32")


@pytest.fixture
def in_this_process(model, monkeypatch):
    """Do here what a child does: starting one takes longer than all it measures."""

    def run(asked):
        return json.loads(json.dumps(measure(model, tuple(asked["batches"]))))

    monkeypatch.setattr(calibrate, "_run_child", run)


def test_a_plan_goes_by_a_probe_and_says_so(in_this_process, tmp_path):
    wishes = Wishes(out=tmp_path / "a.png", dtype="fp32")
    assert plan_request(REQUEST, wishes).basis == "guess"
    found = run_probe(str(tiny_mini()), dtype="fp32")
    plan = plan_request(REQUEST, wishes)
    assert plan.basis == "probe"
    assert plan.open_s == found.known.open_s > 0
    assert plan.memory_bytes > found.known.loaded_bytes[0] > 0


def test_the_table_has_a_row_for_every_call_and_the_line_is_json(in_this_process):
    found = run_probe(str(tiny_mini()), dtype="fp32")
    text, said = found.to_text(), json.loads(found.to_line())
    assert len(said["trials"]) == 7
    assert text.count("denoise") == 3
    assert said["cost"]["basis"] == "probe"
    assert said["place"].startswith("cpu/float32/")
    # With twice the factor a tile has four times the pixels.
    assert replace(found, factor=2 * found.factor).to_text() != text
    assert "fitted" in text


def test_what_others_take_of_the_machine_meanwhile_is_told_until_renders_say_better(
    in_this_process, monkeypatch, tmp_path
):
    cores = detect_hardware().usable_cores
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5 * cores, 0.0, 0.0))
    found = run_probe(str(tiny_mini()), dtype="fp32")
    assert "other work kept 50% of the processors busy" in found.to_text()
    plan = plan_request(REQUEST, Wishes(out=tmp_path / "a.png", dtype="fp32"))
    assert plan.to_json()["seconds_busy_frac"] == 0.5
    assert found.known.cost.scaled(2.0).busy_frac == 0.0
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0 * cores, 0.0, 0.0))
    assert run_probe(str(tiny_mini()), dtype="fp32").known.cost.busy_frac == 1.0


def test_a_new_probe_forgets_the_pace_of_the_old_one(in_this_process, model):
    place = name_place(model.policy)
    save_known(model.contract, place, Known(pace=3.0))
    run_probe(str(tiny_mini()), dtype="fp32")
    assert load_known(model.contract, place).pace is None


def test_an_error_of_the_child_is_the_same_error_here():
    with pytest.raises(ModelError, match="no such model"):
        calibrate.read_result(json.dumps({"error": ModelError("no such model", got="x").to_json()}), "", 0)
    with pytest.raises(BudgetError):
        calibrate.read_result(json.dumps({"error": BudgetError("too much").to_json()}), "", 0)
    with pytest.raises(ModelError, match="Killed"):
        calibrate.read_result("", "loading\nKilled", -9)


def test_the_second_batch_is_what_memory_holds():
    window = 64 * 2 * guess_footprint(CONTRACT, 4).cell
    model = RUNTIME_BYTES + CONTRACT.weights_bytes
    assert choose_batches(CONTRACT, CPU, 2**40) == (1, 4)
    # Three quarters of what is free are for the model and the windows.
    assert choose_batches(CONTRACT, CPU, (model + 4 * window) * 4 // 3 + 4) == (1, 4)
    assert choose_batches(CONTRACT, CPU, (model + 4 * window) * 4 // 3 - 4) == (1, 2)


def make_plan(size, steps):
    request = RenderRequest(prompt="a", size=PixelSize(size, size), steps=steps, method=CohesiveMethod())
    return plan_render(request, CONTRACT, Budget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))


def test_only_a_long_render_is_preceded_by_a_probe_and_only_once(model):
    place = name_place(model.policy)
    assert not probe_loaded(model, make_plan(128, 4))
    assert load_known(model.contract, place) == Known()
    long = make_plan(1024, 30)
    assert probe_loaded(model, long)
    known = load_known(model.contract, place)
    assert known.cost.basis == "probe"
    # The count of the peak belongs to the render, so no memory was measured.
    assert known.footprint is None
    assert not probe_loaded(model, long)


@pytest.mark.slow
def test_a_process_of_its_own_measures_the_same_things(model):
    found = run_probe(str(tiny_mini()), dtype="fp32")
    assert len(found.trials) == 7
    assert found.known.loaded_bytes[0] > model.contract.weights_bytes
