"""The comparison end to end at tiny size: a formula for a model, a reader of random weights, a finder of marks."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from bundles import write_tiny_mini
from fakes import GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod
from sfumato.critic.reader.network import ReaderShape
from sfumato.critic.reader.reader import make_reader
from sfumato.lab.hires.methods import METHODS, list_ablations
from sfumato.lab.hires.objects import Watcher
from sfumato.lab.hires.prompts import list_prompts
from sfumato.lab.hires.rows import LOST, UNSURE
from sfumato.lab.hires.run import (
    CARDS,
    TABLE,
    HiresEvaluation,
    digest_code,
    find_size,
    open_studio,
    run_evaluate_hires,
)
from sfumato.lab.reader.words import make_vocabulary

SMALL = ReaderShape(widths=(8, 8, 16), blocks=(0, 0, 1))
NAMES = ("drawn", *METHODS)


@dataclass
class TrueBox:
    kind: str
    box: tuple[float, float, float, float]
    confidence: float


class Always:
    """Sees a person in the middle of whatever it is shown, and a house in the corner of what is drawn sharply."""

    def find(self, picture):
        height, width = picture.shape[:2]
        found = [TrueBox("person", (width / 4, height / 4, width / 2, height / 2), 0.9)]
        rough = np.abs(np.diff(picture.astype(int), axis=1)).mean() > 12
        return [*found, TrueBox("house", (0.0, 0.0, width / 8, height / 8), 0.8)] if rough and width >= 128 else found


WATCHER = Watcher(Always(), {"person": 0.5, "house": 0.5}, "marks")


@pytest.fixture(scope="module")
def reader():
    return make_reader(make_vocabulary(), SMALL)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    return HiresEvaluation(pictures={"4x": 2}, reference=8, out=tmp_path_factory.mktemp("hires"))


@pytest.fixture(scope="module")
def cards(wanted, reader):
    seen = []
    cards = run_evaluate_hires(
        wanted, model=GaussianModel(), reader=reader, watcher=WATCHER, on_progress=lambda *row: seen.append(row)
    )
    assert seen[-1][1:] == (2, 2)
    return cards


def test_every_method_has_every_measure(cards):
    names = {row.name for row in cards[0].rows}
    for method in NAMES:
        for measure in (
            "phantoms per picture",
            LOST,
            UNSURE,
            "objects beyond the caption per picture",
            "blobs of the free map per picture",
            "base consistency",
            "detail, octave 1 above the base, over drawn",
            "FID of native-size crops",
        ):
            assert f"{method}: {measure}" in names
    assert "gobig less cohesive: base consistency" in names
    assert "gobig less cohesive: FID of native-size crops" in names
    assert "demofusion over cohesive: detail, octave 1 above the base" in names
    assert "drawn: seconds" not in names
    assert "lanczos: cost per native area, over one native render" in names


def test_the_floor_is_a_floor(cards):
    rows = {row.name: row for row in cards[0].rows}
    assert rows["lanczos: phantoms per picture"].value == 0
    assert rows[f"lanczos: {LOST}"].value == 0
    assert rows["drawn: detail, octave 1 above the base, over drawn"].value == 1
    assert all(row.n == 2 for row in cards[0].rows if row.name.endswith("phantoms per picture"))


def test_cards_tables_and_sheets_are_kept(cards, wanted):
    lines = (wanted.out / CARDS).read_text().splitlines()
    assert json.loads(lines[0])["card"] == cards[0].title
    table = (wanted.out / TABLE).read_text()
    assert "| drawn | lanczos | gobig | txt2imghd | multidiffusion | demofusion | cohesive |" in table
    assert "less cohesive" not in table
    with Image.open(min((wanted.out / "sheets").glob("4x-*.png"))) as sheet:
        assert sheet.width > 6 * 128


def test_a_rerun_makes_nothing_again_and_a_changed_setting_only_itself(cards, wanted, reader, tmp_path):
    model = GaussianModel()
    again = run_evaluate_hires(wanted, model=model, reader=reader, watcher=WATCHER)
    assert again[0].to_json() == cards[0].to_json()
    studio = open_studio(wanted, model)
    prompt, size = list_prompts(1, seed=1)[0], PixelSize(128, 128)
    model.calls.clear()
    first = studio.make("gobig", GobigMethod(strength=studio.model.contract.slice_strength), prompt, size)
    assert not model.calls
    other = studio.make("gobig", GobigMethod(strength=0.6), prompt, size)
    assert model.calls
    assert other["key"] != first["key"]
    assert other["same_base"] is first["same_base"] is True


@pytest.mark.parametrize("other", [{"unet": "bf16"}, {"device_name": "meta"}])
def test_another_number_type_or_device_is_another_picture(tmp_path, other):
    model = GaussianModel()
    wanted, prompt, size = HiresEvaluation(out=tmp_path), list_prompts(1, seed=1)[0], PixelSize(64, 64)
    made = open_studio(wanted, model).make_base(prompt, size)
    assert open_studio(wanted, GaussianModel()).find_base(prompt, size) == made
    assert open_studio(wanted, GaussianModel(policy=replace(model.policy, **other))).find_base(prompt, size) is None


def test_other_weights_are_another_picture(tmp_path):
    folder = write_tiny_mini(tmp_path / "other")
    mini, other = (
        open_studio(HiresEvaluation(out=tmp_path, **ref), GaussianModel()) for ref in ({}, {"model": str(folder)})
    )
    assert mini.weights != other.weights != ""


def test_code_is_named_by_every_package_that_a_picture_depends_on(tmp_path):
    found = {digest_code(tmp_path)}
    for name in ("core", "canvas", "nn", "models", "render", "world"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.py").write_text("1")
        found.add(digest_code(tmp_path))
    assert len(found) == 7


def test_time_that_is_up_begins_one_prompt_and_keeps_what_is_finished(cards, wanted, reader, tmp_path):
    short = replace(wanted, minutes=1e-9, out=tmp_path)
    (one,) = run_evaluate_hires(short, model=GaussianModel(), reader=reader, watcher=WATCHER)
    assert {row.n for row in one.rows if row.name.endswith("pictures with a phantom")} == {1}
    (again,) = run_evaluate_hires(short, model=GaussianModel(), reader=reader, watcher=WATCHER)
    assert again.title == one.title
    (whole,) = run_evaluate_hires(replace(wanted, minutes=1e-9), model=GaussianModel(), reader=reader, watcher=WATCHER)
    assert whole.to_json() == cards[0].to_json()


def test_the_ablation_switches_off_what_there_is():
    method = CohesiveMethod()
    variants = list_ablations(method)
    assert variants["no low-band lock"] == replace(method, lock=0.0)
    assert variants["fixed lattice"] == replace(method, shift=False)
    assert "no low-band lock" not in list_ablations(replace(method, lock=0.0))
    assert all(variant != method for variant in variants.values())


def test_sizes_are_multiples_of_the_native_sides():
    assert find_size("16x", PixelSize(128, 128)) == PixelSize(512, 512)
    assert find_size("wide", PixelSize(128, 128)) == PixelSize(1024, 576)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, "--seed"),
        ({"seed": 80}, "--seed"),
        ({"pictures": {"5x": 1}}, "4x, 16x, 64x, wide"),
        ({"pictures": {"16x": -1}}, "--pictures-16x"),
        ({"pictures": {"16x": 10**9}}, "--pictures-16x"),
        ({"ablation_pictures": -1}, "--pictures-ablation"),
        ({"pictures": {"16x": 0}}, "nothing to compare"),
        ({"pictures": {}, "ablations": True, "ablation_pictures": 0}, "nothing to compare"),
        ({"reference": 1}, "drawn scenes"),
        ({"methods": ("magic",)}, ", ".join(METHODS)),
        ({"methods": ("16x",)}, ", ".join(METHODS)),
        ({"methods": ()}, ", ".join(METHODS)),
        ({"minutes": -1.0}, "--minutes"),
        ({"minutes": 0.0}, "--minutes"),
        ({"minutes": math.nan}, "--minutes"),
        ({"minutes": math.inf}, "--minutes"),
    ],
)
def test_what_cannot_be_compared_is_refused(wrong, words):
    with pytest.raises(RequestError) as refused:
        HiresEvaluation(**wrong)
    assert words in f"{refused.value.what} {refused.value.do}"


def test_the_command_repeats_the_comparison():
    wanted = HiresEvaluation(pictures={"4x": 2, "16x": 1}, ablations=True, ablation_pictures=3, seed=4)
    expected = "sfumato evaluate hires --pictures-4x 2 --pictures-16x 1 --pictures-64x 0 --ablations --pictures-ablation 3 --seed 4"
    assert wanted.command == expected
    short = HiresEvaluation(pictures={"wide": 2}, device="cpu", dtype="bf16")
    counts = "--pictures-4x 0 --pictures-16x 0 --pictures-64x 0 --pictures-wide 2"
    assert short.command == f"sfumato evaluate hires {counts} --device cpu --dtype bf16 --seed 1"
