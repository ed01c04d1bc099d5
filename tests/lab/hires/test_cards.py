"""Cards side by side, the table for documents, and which places a sheet shows."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sfumato.core.cards import Card, Measurement
from sfumato.core.geometry import PixelSize
from sfumato.lab.hires.cards import Group, Outcome, make_card, make_table, sort_by_measure
from sfumato.lab.hires.judge import Case
from sfumato.lab.hires.prompts import ScenePrompt
from sfumato.lab.hires.rows import LOST, UNSURE
from sfumato.lab.hires.sheets import CROP_PX, cut_view, draw_views, list_plain, list_worst
from sfumato.lab.hires.store import Store

SIZE = PixelSize(512, 512)


def make_outcome(store: Store, number: int, phantoms: int) -> Outcome:
    made, judged = {}, {}
    for name, count in (("drawn", 0), ("gobig", phantoms), ("cohesive", 0)):
        picture = Image.new("RGB", (512, 512), (10 * number, 0, 50))
        record = {"engine": "code 0", "seconds": 4.0, "cpu_s": 6.0, "width": 512, "height": 512}
        made[name] = store.add(f"{name}{number}", picture, record)
        judged[name] = {
            "phantoms": [["person", 400, 400, 420, 420, 0.5 + 0.1 * n] for n in range(count)],
            "people": [["person", 0, 0, 100, 100, 0.9]],
            "lost": [], "unsure": [], "held": 1, "excess": 0, "blobs": 0, "lattice": 1.0, "psnr_db": 30.0, "drift": 0.1,
            "octaves": [1.0], "small_parts": [count, 20], "strongest_lost": 0.0, "sharpness": [5.0 + count, 0.1],
            "seams": [[1.0, 0.1]], "seams_last": [[1.0, 0.1]], "seams_off": [[1.0, 0.1]],
        }  # fmt: skip
    base = {"key": "base", "engine": "code 0", "seconds": 0.5, "cpu_s": 0.5, "width": 128, "height": 128}
    prompt = ScenePrompt(
        number, "crowd" if number else "people far", "group", number, f"prompt {number}", {"person": 1}
    )
    return Outcome(Case(prompt, SIZE, base, made), judged)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def group(store):
    return Group(title="16x", size=SIZE, outcomes=[make_outcome(store, n, 3) for n in range(2)], aims=True)


def test_the_engine_has_aims_and_rivals_a_ratio_to_reach(group, store):
    rows = {row.name: row for row in make_card(group, store, None, seed=1, command="do it").rows}
    assert rows["cohesive: phantoms per picture"].aim == 0.02
    assert rows["gobig: phantoms per picture"].aim is None
    assert rows["gobig over cohesive: phantoms"].aim == 10
    # 4 s over 0.5 s for 16 times the pixels.
    assert rows["cohesive: cost per native area, over one native render"].value == pytest.approx(0.5)


def test_cost_may_be_counted_in_cpu_seconds(group):
    assert replace(group, clock="cpu_s").show("cohesive")[0].cost_per_area == pytest.approx(0.75)


@pytest.mark.parametrize("which", ["base", "drawn", "gobig"])
def test_a_card_says_when_any_picture_comes_from_different_code(group, store, which):
    case = group.outcomes[1].case
    assert not any(
        "versions of the code" in note for note in make_card(group, store, None, seed=1, command="do it").notes
    )
    (case.base if which == "base" else case.made[which])["engine"] = "code 1"
    assert any(
        "2 versions of the code" in note for note in make_card(group, store, None, seed=1, command="do it").notes
    )


def test_a_card_says_what_was_asked_and_what_it_ran_with(group, store):
    notes = make_card(replace(group, run_with="device cpu"), store, None, seed=1, command="do it").notes
    assert "prompts: people far 1, crowd 1" in notes
    assert "made with device cpu" in notes


def test_a_card_says_what_keeps_an_object(group, store):
    notes = make_card(group, store, None, seed=1, command="do it").notes
    assert any(note.startswith(LOST) and "0.3 of its limit" in note for note in notes)
    assert any(note.startswith(UNSURE) for note in notes)


def test_methods_of_a_measure_stand_together():
    rows = [Measurement(name=name, value=1.0, unit="", n=1) for name in ("a: x", "a: y", "b: x", "b: y")]
    assert [row.name for row in sort_by_measure(rows)] == ["a: x", "b: x", "a: y", "b: y"]


def test_the_table_has_a_column_for_each_method_and_no_differences():
    rows = (
        Measurement(name="a: x", value=1.0, unit="", n=1, low=0.5, high=2.0),
        Measurement(name="cohesive: x", value=float("nan"), unit="", n=1),
        Measurement(name="a less cohesive: x", value=3.0, unit="", n=1),
    )
    table = make_table(Card(title="t", rows=rows, seed=1, command="c"))
    assert table.splitlines() == ["| t | a | cohesive |", "| --- | ---: | ---: |", "| x | 1 [0.5, 2] | – |"]


def test_a_sheet_shows_a_place_of_each_stratum_and_the_worst_of_each_method(group, store):
    plain, worst = list_plain(group), list_worst(group)
    assert [view.why for view in plain] == ["people far", "crowd"]
    assert plain[0].middle == (50, 50)
    assert [view.why for view in worst] == ["worst of gobig: person 0.70"] * 2
    sheet = draw_views([*plain, *worst], group.names, store)
    assert sheet.width >= 3 * CROP_PX
    assert sheet.height >= 4 * CROP_PX


def test_a_view_is_moved_inside_its_picture():
    levels = np.zeros((512, 512, 3), np.uint8)
    levels[-1, -1] = 255
    assert cut_view(Image.fromarray(levels), (510, 510)).getpixel((CROP_PX - 1, CROP_PX - 1)) == (255, 255, 255)
    assert cut_view(Image.new("RGB", (128, 64)), (3, 3)).size == (128, 64)
