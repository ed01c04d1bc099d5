"""A calibration is remembered, corrected by renders, believed only where it was made, and changes what plans say."""

import json
from dataclasses import replace

import pytest
import torch

from bundles import tiny_mini
from fakes import CONTRACT
from sfumato.core.geometry import PixelSize
from sfumato.core.memory import measure_peak_memory
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.models.hardware.policy import choose_policy
from sfumato.models.load import load_model
from sfumato.render.plan.budget import GIB, GUESSES, CostModel, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import StageTrace
from sfumato.workflows.forecast import calibration_store
from sfumato.workflows.forecast.calibrate import measure_speed, probe_loaded, run_probe
from sfumato.workflows.forecast.calibration_store import (
    MachineCalibration,
    find_path,
    load_calibration,
    measure_error,
    name_place,
    save_calibration,
    save_pace,
)
from sfumato.workflows.forecast.plan_request import make_budget, measure_program_bytes, plan_request
from sfumato.workflows.run_options import RunOptions

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(64, 64), model=str(tiny_mini()), steps=2)
PLACE = "cpu/float32/2 threads"
COST = CostModel(call_s=1.0, cell_s=0.1, decode_s=0.2, encode_s=0.3, basis="probe")
KNOWN = MachineCalibration(cost=COST, device_bytes=9, host_bytes=10)
UNKNOWN = MachineCalibration(cost=GUESSES["mini"])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def model():
    return load_model(tiny_mini(), dtype="fp32")


def took(seconds, planned=10.0):
    return (StageTrace(name="a", size="64x64", steps=1, evaluations=1, planned_s=planned, seconds=seconds),)


def test_what_is_known_comes_back_and_only_here(monkeypatch):
    save_calibration(CONTRACT, PLACE, KNOWN)
    assert load_calibration(CONTRACT, PLACE) == KNOWN
    assert load_calibration(CONTRACT, "cuda/float16/a card") == UNKNOWN
    assert load_calibration(replace(CONTRACT, weights_bytes=7), PLACE) == UNKNOWN
    monkeypatch.setattr(calibration_store, "name_machine", lambda: "another chip, torch 9")
    assert load_calibration(CONTRACT, PLACE) == UNKNOWN


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_file_is_as_good_as_none(text):
    find_path().parent.mkdir(parents=True)
    find_path().write_text(text)
    assert load_calibration(CONTRACT, PLACE) == UNKNOWN
    save_calibration(CONTRACT, PLACE, KNOWN)
    assert load_calibration(CONTRACT, PLACE) == KNOWN


def test_an_entry_with_other_fields_is_as_good_as_none():
    save_calibration(CONTRACT, PLACE, KNOWN)
    table = json.loads(find_path().read_text())
    (entry,) = table.values()
    entry["cost"]["call_ms"] = entry["cost"].pop("call_s")
    find_path().write_text(json.dumps(table))
    assert load_calibration(CONTRACT, PLACE) == UNKNOWN


def test_renders_correct_a_calibration_and_replace_a_guess():
    save_pace(CONTRACT, PLACE, took(20.0))
    assert load_calibration(CONTRACT, PLACE).cost.call_s == pytest.approx(2 * GUESSES["mini"].call_s)
    save_calibration(CONTRACT, PLACE, KNOWN)
    save_pace(CONTRACT, PLACE, took(20.0))
    corrected = load_calibration(CONTRACT, PLACE)
    # Twice as long as planned; the calibration keeps more than half of its say.
    assert 1.2 < corrected.cost.call_s < 1.5
    assert (corrected.cost.basis, corrected.device_bytes) == ("measured", KNOWN.device_bytes)


def test_speed_settles_where_plans_are_right_and_long_renders_teach_more():
    found = []
    for took_s, planned_s in ((20.0, 20.0), (1.0, 0.5), (1000.0, 500.0)):
        save_calibration(CONTRACT, PLACE, KNOWN)
        save_pace(CONTRACT, PLACE, took(took_s, planned_s))
        found.append(load_calibration(CONTRACT, PLACE).cost.call_s)
    assert found[0] == pytest.approx(1.0)
    assert 1.0 < found[1] < found[2] < 2.0


def test_a_moment_teaches_no_speed_but_how_long_opening_took_and_what_is_held():
    save_pace(CONTRACT, PLACE, took(0.1), open_s=3.0)
    known = load_calibration(CONTRACT, PLACE)
    assert known.cost == replace(GUESSES["mini"], open_s=3.0)
    assert 0 < known.device_bytes <= measure_peak_memory()
    save_pace(CONTRACT, PLACE, took(0.1))
    assert load_calibration(CONTRACT, PLACE) == known


def test_a_process_with_work_of_its_own_teaches_nothing_about_memory():
    save_calibration(CONTRACT, PLACE, KNOWN)
    save_pace(CONTRACT, PLACE, took(0.1), open_s=3.0)
    assert load_calibration(CONTRACT, PLACE).device_bytes == KNOWN.device_bytes
    save_calibration(CONTRACT, PLACE, replace(KNOWN, device_bytes=2**50, host_bytes=2**50))
    save_pace(CONTRACT, PLACE, took(0.1), open_s=3.0)
    assert load_calibration(CONTRACT, PLACE).device_bytes < 2**50


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    save_pace(CONTRACT, PLACE, took(20.0), open_s=1.0)
    assert load_calibration(CONTRACT, PLACE) == UNKNOWN


def test_a_plan_goes_by_a_calibration_and_says_so(tmp_path):
    options = RunOptions(out=tmp_path / "a.png", dtype="fp32")
    assert plan_request(REQUEST, options).basis == "guess"
    found = run_probe(str(tiny_mini()), dtype="fp32")
    plan = plan_request(REQUEST, options)
    assert plan.basis == "probe"
    assert plan.memory_bytes > found.known.device_bytes > 0
    said = json.loads(found.to_line())
    assert said["known"]["cost"]["basis"] == "probe"
    assert said["place"].startswith("cpu/float32/")
    assert f"{1e3 * found.known.cost.call_s:.1f} ms a call" in found.to_text()


def test_only_a_long_render_is_preceded_by_a_calibration_and_only_once(model):
    def plan(side, steps):
        request = RenderRequest(prompt="a", size=PixelSize(side, side), steps=steps, method=CohesiveMethod())
        return plan_render(request, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))

    place, long = name_place(model.policy), plan(1024, 30)
    assert not probe_loaded(model, plan(128, 4))
    assert load_calibration(model.contract, place).cost.basis == "guess"
    assert probe_loaded(model, long)
    assert load_calibration(model.contract, place).cost.basis == "probe"
    assert not probe_loaded(model, long)


def test_a_call_of_several_windows_takes_what_the_line_says(model):
    # A pause of the machine can hide a slope in one measurement, not in three.
    costs = [measure_speed(model, 4) for _ in range(3)]
    assert min(cost.call_s for cost in costs) >= 0
    assert min(max(cost.cell_s for cost in costs), *(min(cost.decode_s, cost.encode_s) for cost in costs)) > 0


def test_the_program_is_measured_and_what_comes_later_allowed_for(tmp_path):
    contract, policy = CONTRACT, choose_policy("cpu", "fp32")
    budget = make_budget(contract, policy, RunOptions(out=tmp_path / "a.png"))
    assert budget.base_bytes == measure_program_bytes() + contract.weights_bytes
    # This process held at least the libraries of arrays when it was measured, and threads are allowed for.
    assert measure_program_bytes() > 300 * 2**20 + torch.get_num_threads()
    save_calibration(contract, name_place(policy), KNOWN)
    assert make_budget(contract, policy, RunOptions(out=tmp_path / "a.png")).base_bytes == KNOWN.device_bytes


def test_an_error_is_a_share_of_what_happened():
    assert (measure_error(3.0, 2.0), measure_error(1.0, 2.0), measure_error(1.0, None)) == (0.5, -0.5, None)
