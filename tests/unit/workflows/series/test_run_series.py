"""A series is drawn picture by picture with one seed, each checked before the first is drawn."""

import dataclasses

import pytest
from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.series.axes import GridAxis
from sfumato.workflows.series.series import SHEET, SeriesPlan, draw_series, list_series, run_series
from sfumato.workflows.values import RequestValues

VALUES = RequestValues(prompt="a red house", size=(64, 64), steps=1, seed=3)


def test_a_series_varies_in_one_way(tmp_path):
    for wrong in ({}, {"matrix": True, "prompts": "a"}):
        with pytest.raises(RequestError, match="one way"):
            SeriesPlan(**wrong)
    with pytest.raises(RequestError, match="batch"):
        list_series(dataclasses.replace(VALUES, batch=2), SeriesPlan(prompts="a"))
    with pytest.raises(RequestError, match="no picture"):
        list_series(VALUES, SeriesPlan(inits=tmp_path))


def test_a_random_seed_is_one_for_all():
    found = list_series(dataclasses.replace(VALUES, seed=None), SeriesPlan(prompts="a\nb\nc"))
    assert len({variant.settings["seed"] for variant in found}) == 1


def test_each_picture_of_a_folder_is_started_from(tmp_path):
    for name in ("b.png", "a.png", "notes.txt"):
        Image.new("RGB", (64, 64)).save(tmp_path / name, "PNG")
    found = list_series(VALUES, SeriesPlan(inits=tmp_path))
    assert [variant.labels for variant in found] == [("a",), ("b",)]


def test_a_sheet_has_a_row_for_each_value_of_the_second_axis():
    plan = SeriesPlan(axes=(GridAxis.parse("steps=1,2"), GridAxis.parse("guidance=3,4,5")))
    variants = list_series(VALUES, plan)
    sheet = draw_series([Image.new("RGB", (64, 64))] * 6, variants, plan)
    assert sheet.height > 3 * 64
    assert sheet.width > 2 * 64


def test_a_grid_is_drawn_into_a_folder_with_its_sheet(tmp_path):
    done = run_series(VALUES, SeriesPlan(axes=(GridAxis.parse("steps=1,2"),)), RunOptions(out=tmp_path, report=False))
    assert [picture.request.steps for picture in done.pictures] == [1, 2]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["000.png", "001.png", SHEET]
    assert done.to_json()["pictures"][1]["labels"] == ["steps: 2"]


def test_what_is_wrong_in_the_last_picture_is_told_before_the_first_is_drawn(tmp_path):
    with pytest.raises(RequestError):
        run_series(VALUES, SeriesPlan(axes=(GridAxis.parse("steps=1,2,-1"),)), RunOptions(out=tmp_path, report=False))
    assert not list(tmp_path.glob("*.png"))
