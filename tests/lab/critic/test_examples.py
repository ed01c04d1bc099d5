"""Crops of hands with labels: from the drawn world, from a pool, and after a move."""

import numpy as np
import pytest
import torch

from sfumato.critic.anatomy.labels import CAUSES, CROP_PX, DIGITS, STATES
from sfumato.lab.critic.drawn_hands import draw_hand_example, draw_hand_examples
from sfumato.lab.critic.examples import CORE_BIT, UNKNOWN, convert_hands3d, mark_cores, open_examples, save_examples
from sfumato.lab.critic.task import DIGIT_TABLE, IGNORE, draw_moves, move_crops, stack_examples
from sfumato.lab.hands3d.pool import FAULT_IDS, HandBatch
from sfumato.world.hands3d.labels import PALM, digit_of_part, segment_id
from sfumato.world.truth import STATES as WORLD_STATES


@pytest.fixture(scope="module")
def open_hands():
    """Open drawn hands without a fault, large enough to look at."""
    found = draw_hand_examples(77_000, 24)
    return found.take(np.flatnonzero(found.countable & (found.count_digits() >= 4)))


def find_digits(labels, tips):
    """The digit under each visible tip, as place in DIGITS; a tip may lie a pixel beyond its label."""
    found = []
    for row, spots in enumerate(tips):
        for digit, (x, y) in enumerate(spots):
            if np.isfinite(x) and 2 <= x < CROP_PX - 2 and 2 <= y < CROP_PX - 2:
                around = labels[row, int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].astype(np.int64)
                near = DIGIT_TABLE[torch.as_tensor(around & (CORE_BIT - 1))]
                found.append(digit in near)
    return found


def test_the_states_of_the_critic_are_those_of_the_world():
    assert STATES == WORLD_STATES


def test_a_seed_repeats_and_a_fault_shows_in_the_labels():
    plain = draw_hand_example(5, shot="hand", fault="", style="photo")
    again = draw_hand_example(5, shot="hand", fault="", style="photo")
    assert (plain.images == again.images).all()
    assert plain.cause[0] == 0
    six = draw_hand_example(5, shot="hand", fault="extra_digit", style="photo")
    digits = digit_of_part()[np.minimum(six.labels[0] & (CORE_BIT - 1), 27)]
    assert (digits == DIGITS.index("extra") + 1).any()
    assert six.cause[0] in (CAUSES.index("extra"), UNKNOWN)


def test_a_crop_without_a_hand_has_no_digits():
    none = draw_hand_example(9, shot="none")
    assert not none.countable[0]
    assert none.count_digits()[0] == 0
    assert none.cause[0] == UNKNOWN


def test_tips_lie_on_their_digits(open_hands):
    assert len(open_hands) >= 4
    assert np.mean(find_digits(open_hands.labels, open_hands.tips)) > 0.9


def test_cores_are_inside_and_apart():
    labels = np.full((64, 64), PALM, np.uint8)
    labels[5:45, 10:20], labels[5:45, 20:30] = segment_id(2, 1), segment_id(3, 1)
    marked = mark_cores(labels)
    assert (marked & (CORE_BIT - 1) == labels).all()
    core = (marked & CORE_BIT) > 0
    assert core[25, 15]
    assert core[25, 24]
    assert not core[25, 19:21].any()
    assert not core[50].any()


def test_moves_keep_tips_on_digits_and_mirror_hands(open_hands):
    rng = np.random.default_rng(3)
    batch = stack_examples([open_hands])
    moves = draw_moves(len(open_hands), rng)
    moved = move_crops(batch, moves, rng)
    seen = moved["states"] == STATES.index("visible")
    tips = np.where(seen.numpy()[..., None], moved["tips"].numpy(), np.nan)
    assert np.mean(find_digits(moved["labels"].numpy(), tips)) > 0.85
    mirrored = torch.as_tensor(np.linalg.det(moves[:, :, :2]) < 0)
    known = batch["right"] >= 0
    assert (moved["right"][known] == batch["right"][known] ^ mirrored[known].long()).all()


def test_a_hand_that_is_cut_is_not_countable_any_more(open_hands):
    rng = np.random.default_rng(0)
    away = np.tile(np.array([[[1, 0, 1.2], [0, 1, 0]]], np.float32), (len(open_hands), 1, 1))
    moved = move_crops(stack_examples([open_hands]), away, rng)
    assert not moved["countable"].any()
    assert (moved["states"] == STATES.index("out-of-frame")).any()
    still = np.tile(np.array([[[1, 0, 0], [0, 1, 0]]], np.float32), (len(open_hands), 1, 1))
    same = move_crops(stack_examples([open_hands]), still, rng)
    assert same["countable"].all()
    assert (same["labels"].numpy() == open_hands.labels).all()


def make_batch(fault, *, countable, extra="absent"):
    """Two pixels of truth of one 3-D hand."""
    states = np.full((1, 6), STATES.index("visible"), np.uint8)
    states[0, 5] = STATES.index(extra)
    parts = np.zeros((1, CROP_PX, CROP_PX), np.uint8)
    parts[0, 20:60, 30:44] = segment_id(2, 1)
    return HandBatch(
        images=np.zeros((1, CROP_PX, CROP_PX, 3), np.uint8), parts=parts, joints=np.ones((1, 25, 2), np.float32),
        states=states, seen=np.ones((1, 6), np.float32), countable=np.array([countable]),
        faults=np.array([FAULT_IDS.index(fault)], np.uint8), right=np.array([True]), views=np.zeros(1, np.uint8),
        captions=np.array([["", "", "", ""]]), labels=np.array(["{}"]), seeds=np.array([1]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "countable", "extra", "cause"),
    [
        ("", True, "absent", 0),
        ("extra_digit", True, "visible", CAUSES.index("extra")),
        ("extra_digit", False, "visible", CAUSES.index("extra")),
        ("extra_digit", False, "folded", UNKNOWN),
        ("fused_digits", False, "absent", UNKNOWN),
        ("missing_digit", True, "absent", CAUSES.index("missing")),
    ],
)
def test_a_fault_that_does_not_show_is_not_asked_for(fault, countable, extra, cause):
    found = convert_hands3d(make_batch(fault, countable=countable, extra=extra))
    assert found.cause[0] == cause
    assert np.isnan(found.tips[0, 5]).all() == (extra != "visible")


def test_sets_are_kept_on_disk(tmp_path, open_hands):
    assert open_examples(tmp_path, "set") is None
    save_examples(tmp_path, "set", open_hands)
    again = open_examples(tmp_path, "set")
    assert again is not None
    assert (again.labels == open_hands.labels).all()
    assert len(again) == len(open_hands)


def test_what_is_unknown_is_not_learned():
    batch = stack_examples([convert_hands3d(make_batch("fused_digits", countable=False))])
    assert batch["cause"].tolist() == [IGNORE]
