"""Training and judging a detector end to end at tiny size: resumable, calibrated, saved, counted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.core.errors import RequestError
from sfumato.critic.detector.detector import Detection, load_detector
from sfumato.critic.detector.network import KINDS, DetectorNetwork, DetectorShape
from sfumato.lab.detector.evaluate import DetectorEvaluation, run_evaluate_detector
from sfumato.lab.detector.judging import SETS, DetectionCounts, calibrate_detector, group_found, judge_picture
from sfumato.lab.detector.rows import describe_set
from sfumato.lab.detector.task import DetectorTask, Views, mirror_marks, pack_marks
from sfumato.lab.detector.train import RECIPE, DetectorTraining, run_train_detector
from sfumato.lab.detector.truth import TrueBox
from sfumato.lab.train_mini.run import train_mini_detector
from sfumato.lab.train_mini.stages import MiniTraining
from sfumato.models.files.bundle import check_bundle
from sfumato.train.task import Budget

TINY = DetectorShape(widths=(8, 8, 8, 8), head=8)


class Passing:
    """An autoencoder that loses nothing."""

    def encode_image(self, pixels):
        return pixels

    def decode(self, latents):
        return latents


@pytest.fixture
def wanted(tmp_path):
    budget = Budget(steps=2, validate_every_s=1e6, save_every_s=1e6, log_every_steps=1)
    return DetectorTraining(
        state=tmp_path / "state",
        out=tmp_path / "out",
        budget=budget,
        views=10,
        calibration=1,
        recipe=replace(RECIPE, batch=4, warmup_steps=1),
        shape=TINY,
    )


def test_a_run_ends_with_a_detector_that_loads_and_a_longer_budget_goes_on(wanted):
    rows: list[dict[str, float | str]] = []
    detector, result = run_train_detector(wanted, report=rows.append)
    assert {"train", "validation"} == {row["kind"] for row in rows}
    assert {"loss", "centres", "boxes"} <= result.validation.keys()
    again = load_detector(wanted.out)
    assert again.shape == TINY
    for kind in KINDS:
        assert again.calibration[kind].least == pytest.approx(detector.calibration[kind].least, abs=1e-4)
    _, result = run_train_detector(replace(wanted, budget=replace(wanted.budget, steps=3)))
    assert result.step == 3


def test_the_stage_writes_below_the_state_alone(tmp_path):
    before = check_bundle()
    train_mini_detector(MiniTraining(state=tmp_path / "state", steps=1, pictures=2))
    assert len(list((tmp_path / "state" / "eyes" / "detector").iterdir())) == 2
    assert check_bundle() == before


def make_task():
    stream = np.random.default_rng(0)
    pictures = stream.integers(0, 256, (6, 32, 32, 3), np.uint8)
    marks = pack_marks([[[row % 4, 4, 4, 24, 20, 1.0]] for row in range(6)])
    networks = nn.ModuleDict({"detector": DetectorNetwork(TINY)})
    return DetectorTask(networks=networks, tables=[Views(pictures, marks)], held_out=Views(pictures[:2], marks[:2]))


def test_a_batch_depends_on_its_generator_alone():
    task = make_task()
    batches = [task.load_batch(step, 4, torch.Generator().manual_seed(7)) for step in (0, 0)]
    assert torch.equal(batches[0]["pixels"], batches[1]["pixels"])
    assert torch.equal(batches[0]["marks"], batches[1]["marks"])
    assert {tuple(mark[1:5].tolist()) for mark in batches[0]["marks"][:, 0]} <= {(4, 4, 24, 20), (8, 4, 28, 20)}
    assert task.compute_losses(task.networks, batches[0], torch.Generator())["loss"] > 0


def test_mirrors_turn_left_and_right_and_nothing_else():
    marks = torch.tensor([[[2.0, 4, 6, 24, 20, 1]]])
    assert mirror_marks(marks, 32).tolist() == [[[2.0, 8, 6, 28, 20, 1]]]
    assert torch.equal(mirror_marks(mirror_marks(marks, 32), 32), marks)


def test_what_is_told_is_right_wrong_or_not_asked():
    marks = (
        TrueBox("face", (0, 0, 20, 20)),
        TrueBox("face", (50, 0, 80, 20)),
        TrueBox("face", (100, 100, 104, 104), counts=False),
        TrueBox("hand", (0, 0, 20, 20)),
    )
    found = (
        Detection("face", (1, 0, 21, 20), 0.9),
        Detection("face", (2, 0, 20, 18), 0.8),
        Detection("face", (100, 100, 105, 104), 0.7),
        Detection("face", (97, 97, 104, 104), 0.7),
        Detection("hand", (0, 0, 12, 12), 0.6),
        Detection("person", (0, 0, 20, 20), 0.5),
    )
    judged = judge_picture(group_found(found), marks)
    assert [(round(score, 1), right) for score, _, right in judged.told["face"]] == [(0.9, True), (0.8, False)]
    assert judged.there["face"] == [(20.0, True), (30.0, False)]
    assert judged.told["hand"][0][2]
    assert [right for _, _, right in judged.told["person"]] == [False]
    assert judged.there["person"] == []


def test_rows_say_the_shares_by_size():
    judged = DetectionCounts()
    judged.told["face"] += [(0.9, 20.0, True), (0.8, 40.0, False)]
    judged.there["face"] += [(20.0, True), (10.0, False), (70.0, True)]
    rows = {row.name: row for row in describe_set("512 px", judged)}
    assert rows["512 px: face precision"].value == 50.0
    assert rows["512 px: face precision"].met is False
    assert rows["512 px: face recall, 16 px and more"].value == 100.0
    assert rows["512 px: face recall, 8-16 px"].value == 0.0
    assert "512 px: face recall, 32-64 px" not in rows


def test_limits_are_chosen_on_pictures_that_are_not_judged(wanted):
    detector, _ = run_train_detector(wanted)
    again = calibrate_detector(detector, 120_000_000, 1)
    assert again.calibration == calibrate_detector(detector, 120_000_000, 1).calibration
    assert [chosen.name for chosen in SETS if chosen.is_empty] == ["512 px empty"]


def test_a_small_evaluation_is_a_card(wanted):
    run_train_detector(wanted)
    seen: list[tuple[str, int, int]] = []
    evaluation = DetectorEvaluation(pictures=4, seed=2, folder=wanted.out)
    card = run_evaluate_detector(evaluation, autoencoder=Passing(), on_progress=lambda *row: seen.append(row))
    rows = {row.name: row for row in card.rows}
    assert rows["512 px empty: false detections"].unit == "per Mpx"
    assert rows["512 px: person recall, 16 px and more"].aim == 90.0
    assert {what for what, _, _ in seen} == {chosen.name for chosen in SETS}
    assert json.loads(card.to_line())["command"].startswith("sfumato evaluate detector --n 4 --seed 2")


@pytest.mark.parametrize("wrong", [{"pictures": 1}, {"seed": 90}])
def test_sizes_and_seeds_out_of_range_are_refused(wrong):
    with pytest.raises(RequestError):
        DetectorEvaluation(**wrong)
