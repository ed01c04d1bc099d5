"""Where the base is drawn the truth is known: it loses nothing itself, and what is painted over is lost by the truth."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import GaussianModel
from lab.judged import find_row
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod
from sfumato.lab.hires.drawn_bases import LEAST_KEPT, TRUE_PARTS, compare_drawn_bases, draw_base, measure_grown
from sfumato.lab.hires.prompts import list_prompts
from sfumato.lab.hires.run import HiresEvaluation, open_studio
from sfumato.lab.self_check.synthetic_defects import erase_parts

SIZE, BASE = PixelSize(512, 512), PixelSize(128, 128)


@pytest.fixture(scope="module")
def portrait():
    prompt = next(prompt for prompt in list_prompts(24, seed=1) if prompt.shot == "portrait")
    return draw_base(prompt, SIZE, BASE)


def test_the_truth_has_lost_nothing_and_what_is_painted_over_is_lost(portrait):
    assert len(portrait.parts) >= 2
    found = measure_grown(portrait, Image.fromarray(portrait.truth))
    assert min(found.kept) == pytest.approx(1.0)
    assert all(ours == theirs for ours, theirs in found.octaves)
    erased = measure_grown(portrait, Image.fromarray(erase_parts(portrait.truth, portrait.parts[:1])))
    assert erased.kept[0] < LEAST_KEPT
    assert min(erased.kept[1:]) == pytest.approx(1.0)


def test_the_enlarged_base_shows_all_parts_paler(portrait):
    found = measure_grown(portrait, portrait.base.resize((SIZE.width, SIZE.height), Image.Resampling.LANCZOS))
    assert LEAST_KEPT < np.mean(found.kept) < 1.0
    assert found.octaves[0][0] < 0.3 * found.octaves[0][1]


def test_methods_grow_the_base_that_was_drawn(tmp_path):
    studio = open_studio(HiresEvaluation(out=tmp_path), GaussianModel())
    prompt, size = list_prompts(1, seed=1)[0], PixelSize(128, 128)
    base = Image.new("RGB", (64, 64), (200, 40, 90))
    for name, method in (("gobig", GobigMethod(strength=0.2)), ("cohesive", CohesiveMethod()), ("lanczos", None)):
        record = studio.grow(name, method, prompt, size, base)
        grown = np.asarray(studio.store.load(record["key"]))
        assert grown.shape == (128, 128, 3)
        assert record == studio.grow(name, method, prompt, size, base)
        other = studio.grow(name, method, prompt, size, Image.new("RGB", (64, 64)))
        assert other["key"] != record["key"]


def test_a_card_has_a_row_of_every_method(tmp_path):
    studio = replace(open_studio(HiresEvaluation(out=tmp_path), GaussianModel()), seed=1)
    card = compare_drawn_bases(studio, PixelSize(128, 128), 1, command="a command")
    assert find_row(card.rows, f"drawn: {TRUE_PARTS}").value in (0.0, pytest.approx(np.nan, nan_ok=True))
    assert {row.name.partition(": ")[0] for row in card.rows} == {"drawn", "lanczos", "gobig", "cohesive"}
