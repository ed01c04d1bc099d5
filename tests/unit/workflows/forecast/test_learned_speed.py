"""What is known of this machine survives a round trip, is learned from renders, and is never believed blindly."""

import json
from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.render.plan.budget import GUESSES, CostModel, Footprint
from sfumato.render.progress import StageTrace
from sfumato.workflows.forecast import calibration_store
from sfumato.workflows.forecast.calibration_store import Known, find_path, load_known, save_known
from sfumato.workflows.forecast.learned_speed import load_cost, save_pace

PLACE = "cpu/float32/2 threads"
KNOWN = Known(
    cost=CostModel(call_s=1.0, cell_s=0.1, decode_s=0.2, encode_s=0.3, basis="probe"),
    footprint=Footprint(cell=5, call=6, tile=7, decode_pixel=8, encode_pixel=9),
    loaded_bytes=(9, 10),
    probed="2026-01-01",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def took(seconds, planned=10.0):
    return (StageTrace(name="a", size="64x64", steps=1, evaluations=1, planned_s=planned, seconds=seconds),)


def test_what_is_known_comes_back():
    save_known(CONTRACT, PLACE, KNOWN)
    assert load_known(CONTRACT, PLACE) == KNOWN
    assert load_known(CONTRACT, "cuda/float16/a card") == Known()
    assert load_known(replace(CONTRACT, weights_bytes=7), PLACE) == Known()


def test_another_machine_or_torch_is_not_believed(monkeypatch):
    save_known(CONTRACT, PLACE, KNOWN)
    monkeypatch.setattr(calibration_store, "name_machine", lambda: "another chip, torch 9")
    assert load_known(CONTRACT, PLACE) == Known()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_file_is_as_good_as_none(text):
    find_path().parent.mkdir(parents=True)
    find_path().write_text(text)
    assert load_known(CONTRACT, PLACE) == Known()
    save_known(CONTRACT, PLACE, KNOWN)
    assert load_known(CONTRACT, PLACE) == KNOWN


def test_an_entry_with_other_fields_is_as_good_as_none():
    save_known(CONTRACT, PLACE, KNOWN)
    table = json.loads(find_path().read_text())
    (entry,) = table.values()
    entry["cost"]["call_ms"] = entry["cost"].pop("call_s")
    find_path().write_text(json.dumps(table))
    assert load_known(CONTRACT, PLACE) == Known()


def test_nothing_known_is_a_guess():
    assert load_cost(CONTRACT, PLACE) == GUESSES["mini"]


def test_a_probe_is_taken_as_it_is_until_a_render_corrects_it():
    save_known(CONTRACT, PLACE, KNOWN)
    assert load_cost(CONTRACT, PLACE) == KNOWN.cost
    save_pace(CONTRACT, PLACE, took(20.0), open_s=None)
    corrected = load_cost(CONTRACT, PLACE)
    # Twice as long as planned; the probe keeps more than half of its say.
    assert 1.2 < corrected.call_s < 1.5
    assert corrected.basis == "measured"
    assert load_known(CONTRACT, PLACE).footprint == KNOWN.footprint


def test_a_first_render_replaces_a_guess():
    save_pace(CONTRACT, PLACE, took(20.0), open_s=None)
    assert load_cost(CONTRACT, PLACE).call_s == pytest.approx(2 * GUESSES["mini"].call_s)


def test_pace_settles_where_plans_are_right_and_long_renders_teach_more():
    save_pace(CONTRACT, PLACE, took(20.0), open_s=None)
    settled = load_known(CONTRACT, PLACE).pace
    save_pace(CONTRACT, PLACE, took(20.0, planned=20.0), open_s=None)
    assert load_known(CONTRACT, PLACE).pace == pytest.approx(settled)
    save_pace(CONTRACT, PLACE, took(1.0, planned=0.5), open_s=None)
    short = load_known(CONTRACT, PLACE).pace
    save_known(CONTRACT, PLACE, Known(pace=settled))
    save_pace(CONTRACT, PLACE, took(1000.0, planned=500.0), open_s=None)
    assert settled < short < load_known(CONTRACT, PLACE).pace < 2 * settled


def test_a_moment_teaches_no_pace_but_how_long_opening_took():
    save_pace(CONTRACT, PLACE, took(0.1), open_s=3.0)
    known = load_known(CONTRACT, PLACE)
    assert (known.pace, known.open_s) == (None, 3.0)
    assert load_cost(CONTRACT, PLACE) == replace(GUESSES["mini"], open_s=3.0)
    save_pace(CONTRACT, PLACE, took(0.1), open_s=None)
    assert load_known(CONTRACT, PLACE).open_s == 3.0


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    save_pace(CONTRACT, PLACE, took(20.0), open_s=1.0)
    assert load_known(CONTRACT, PLACE) == Known()
