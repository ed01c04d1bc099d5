"""The proof of repair at tiny size: an auditor trained for two steps, twins with truth, counters by hand, ranges."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.critic.anatomy.auditor import AuditorShape, load_auditor
from sfumato.critic.anatomy.network import ParserShape
from sfumato.critic.anatomy.parser import make_parser
from sfumato.lab.critic.close_ups import FAULTS, draw_hand, find_hand_box, list_open_hands
from sfumato.lab.critic.counters import count_by_convexity, count_by_skeleton
from sfumato.lab.critic.drawn_hands import draw_hand_examples
from sfumato.lab.critic.evaluate_repair import RepairEvaluation, judge_auditor, judge_right, judge_twins
from sfumato.lab.critic.examples import SOLID, save_examples
from sfumato.lab.critic.train_auditor import RECIPE, AuditorTraining, mirror_directions, run_train_auditor
from sfumato.train.task import Budget

HANDS = 24


@pytest.fixture(scope="module")
def examples():
    return draw_hand_examples(5000, HANDS)


@pytest.fixture(scope="module")
def auditor(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("auditor")
    for name in ("hands3d_train", "hands3d_calibrate"):
        save_examples(folder, name, replace(examples, source=np.full(HANDS, SOLID, np.uint8)))
    for name in ("drawn_audit", "drawn_calibrate"):
        save_examples(folder, name, examples)
    budget = Budget(steps=2, validate_every_s=1e6, save_every_s=1e6, grid_every_s=1e6, log_every_steps=1)
    wanted = AuditorTraining(
        state=folder,
        out=folder / "out",
        budget=budget,
        recipe=replace(RECIPE, batch=4, warmup_steps=1),
        shape=AuditorShape(widths=(4, 4, 4), answers=4),
    )
    trained, result = run_train_auditor(wanted)
    assert result.step == 2
    assert {"right_drawn", "right_hands3d"} <= result.validation.keys()
    assert load_auditor(folder / "out").beliefs.fault == pytest.approx(trained.beliefs.fault, abs=1e-4)
    assert 0.0 <= trained.beliefs.most_fault <= 1.0
    return trained


def test_the_auditors_error_and_harm_are_told(auditor, examples):
    parser = make_parser(ParserShape(widths=(4, 4, 4, 4), answers=4))
    rows = [*judge_auditor("drawn", auditor, examples), *judge_right("drawn", parser, auditor, examples)]
    names = [row.name for row in rows]
    assert "auditor, drawn: count wrong, countable hands" in names
    assert "drawn: right hands that would be worked on" in names
    twins = judge_twins(parser, auditor, 4, lambda what, done, count: None)
    assert twins[0].n == 4


def test_a_twin_differs_by_its_fault_alone():
    hands = list(list_open_hands(0, 4))
    assert [fault for fault, _ in hands] == list(FAULTS)
    fault, seed = hands[0]
    wrong, sound = draw_hand(seed, fault), draw_hand(seed, "")
    assert wrong.faults
    assert not sound.faults
    changed = (wrong.image != sound.image).any(axis=2)
    box = find_hand_box(wrong)
    assert changed[box.slices_hw].sum() > 0.9 * changed.sum()


def test_directions_in_a_mirror():
    steep = torch.arange(8.0)[None, :, None, None].expand(1, 8, 2, 2)
    # East and west change places, north and south stay.
    assert mirror_directions(steep)[0, :, 0, 0].tolist() == [4, 3, 2, 1, 0, 7, 6, 5]


def draw_mask(digits):
    """Draw a round palm and fingers that leave it like rays, upwards."""
    rows, columns = np.mgrid[0:64, 0:64]
    down, across = rows - 44.0, columns - 32.0
    mask = np.hypot(down, across) < 11
    for angle in np.linspace(-1.1, 1.1, digits):
        along, beside = across * np.sin(angle) - down * np.cos(angle), across * np.cos(angle) + down * np.sin(angle)
        mask |= (along > 0) & (along < 38) & (np.abs(beside) < 2.2)
    return mask


@pytest.mark.parametrize("digits", [3, 4, 5])
def test_simple_counters_count_open_digits(digits):
    assert count_by_convexity(draw_mask(digits)) == digits
    assert count_by_skeleton(draw_mask(digits)) == digits


def test_no_hand_has_no_digits():
    assert count_by_convexity(np.zeros((64, 64), bool)) == count_by_skeleton(np.zeros((64, 64), bool)) == 0


@pytest.mark.parametrize("wrong", [{"hands": 1}, {"hands": 10_000}, {"renders": -1}, {"baselines": -1}, {"k": 1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(RequestError):
        RepairEvaluation(**wrong)
