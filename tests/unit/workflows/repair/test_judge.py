"""What a round draws, and what puts a hand back: digits that are right stay, the goof is gone, the auditor agrees."""

import numpy as np
import pytest

from coloured_hands import BOX, GROUND, PALM_BOX, SIDE, ColourAuditor, ColourParser, draw_hand, place_bar
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.anatomy.judge import judge_hands
from sfumato.render.passes.repair import HandCrop, HandWork
from sfumato.workflows.repair.copy_fingers import insert_finger
from sfumato.workflows.repair.hand_masks import SeenHand
from sfumato.workflows.repair.judge import HandJudge
from sfumato.workflows.repair.plan_round import plan_round

SIZE, FRAME = PixelSize(SIDE, SIDE), PixelBox(10, 10, 182, 182)
STRENGTHS = (0.35, 0.55, 0.75)


class FaceFinder:
    """Finds one face where the lower left corner is black."""

    name, kinds = "face", frozenset(("face",))

    def find(self, pixels):
        values = pixels.read(pixels.size.box)
        rows, columns = np.nonzero((values < 5).all(axis=2))
        if not len(rows):
            return ()
        box = PixelBox(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        return (Found(kind="face", box=box, confidence=0.9, by=self.name),)


def see(digits, cause="extra", *, auditor=None, told=frozenset(), values=None):
    pixels = MemoryPixels(SIZE, draw_hand(digits) if values is None else values)
    found = Found(kind="hand", box=BOX, confidence=1.0, by="user")
    (hand,) = judge_hands(ColourParser(), pixels, [found], prompted=True)
    judge = HandJudge(parser=ColourParser(), auditor=auditor, finders=(FaceFinder(),), hands={BOX: hand}, told=told)
    crop = HandCrop(work=HandWork(box=BOX, cause=cause), frame=FRAME, before=pixels.read(FRAME))
    return pixels, judge, crop, SeenHand(judged=hand, frame=FRAME, before=crop.before)


def test_an_extra_digit_is_erased_and_the_others_are_frozen():
    _, judge, _, hand = see(6)
    assert judge.hands[BOX].verdict.word == "goof"
    for number in range(3):
        step = plan_round(hand, "extra", number, STRENGTHS)
        assert step.fills
        assert step.strength == STRENGTHS[number]
        extra = place_bar(5).shift(-FRAME.left, -FRAME.top)
        middle = PixelBox(extra.left, extra.top + 4, extra.right, extra.bottom - 6).slices_hw
        assert step.change[middle].mean() > 0.9
        assert np.abs(step.start[middle].astype(int) - GROUND).mean() < 12
        for other in range(5):
            bar = place_bar(other).shift(-FRAME.left, -FRAME.top)
            assert (step.change[bar.slices_hw] == 0).mean() > 0.9
    last = plan_round(hand, "extra", 3, STRENGTHS)
    assert last.change[place_bar(2).shift(-FRAME.left, -FRAME.top).slices_hw].min() > 0.9
    assert "whole hand" in last.words


@pytest.mark.parametrize("cause", ["missing", "fused", "third-limb", "wrong-side", "split", "extra"])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_every_cause_and_round_changes_something_inside_the_crop(cause, number):
    _, _, crop, hand = see(4, cause)
    step = plan_round(hand, cause, number, STRENGTHS)
    assert step.start.shape == crop.before.shape
    assert step.change.shape == crop.before.shape[:2]
    assert 0.0 <= step.change.min() < step.change.max() <= 1.0
    assert not step.change[0].any()


def test_a_missing_finger_is_copied_into_the_gap():
    values = draw_hand(5)
    values[place_bar(2).slices_hw] = GROUND
    _, _, _, hand = see(4, "missing", values=values)
    for number in range(2):
        step = insert_finger(hand, number, 0.5)
        slot = place_bar(2).shift(-FRAME.left, -FRAME.top)
        # The gap is three bars wide, and a copy that leans fills a third of it.
        gap = PixelBox(slot.left - 7, slot.top + 10, slot.right + 7, slot.bottom - 10).slices_hw
        assert (step.change[gap] > 0.5).mean() > 0.3
        assert (step.start[gap][..., 0] > 160).mean() > 0.25
        for other in (0, 1, 3, 4):
            bar = place_bar(other).shift(-FRAME.left, -FRAME.top)
            assert (step.change[bar.slices_hw] == 0).mean() > 0.8


def test_two_that_grew_together_become_two_copies_of_a_neighbour():
    values = draw_hand(5)
    both = PixelBox(place_bar(2).left, place_bar(2).top, place_bar(3).right, place_bar(3).bottom)
    values[both.slices_hw] = (230, 80, 30)
    _, _, _, hand = see(4, "fused", values=values)
    for number in range(2):
        step = plan_round(hand, "fused", number, STRENGTHS)
        slot = both.shift(-FRAME.left, -FRAME.top)
        upper = PixelBox(slot.left, slot.top + 6, slot.right, slot.bottom - 20).slices_hw
        assert (step.change[upper] > 0.5).mean() > 0.8
        # Background shows between and beside the copies, and both of them are there.
        red = step.start[upper][..., 0] > 160
        assert 0.3 < red.mean() < 0.9
        for other in (0, 1, 4):
            bar = place_bar(other).shift(-FRAME.left, -FRAME.top)
            assert (step.change[bar.slices_hw] == 0).mean() > 0.8


def test_a_hand_without_digits_is_planned_too():
    _, _, _, hand = see(0)
    assert plan_round(hand, "extra", 0, STRENGTHS).words == "draw the whole hand anew"


def choose(pixels, judge, crop, hand, *candidates):
    step = plan_round(hand, crop.work.cause, 0, STRENGTHS)
    return judge.choose(pixels, crop, step, candidates)


def cut(values):
    return values[FRAME.slices_hw].copy()


def test_the_best_candidate_is_chosen_and_the_others_say_why_not():
    pixels, judge, crop, hand = see(6)
    four = draw_hand(5)
    four[place_bar(4).slices_hw] = GROUND
    choice = choose(pixels, judge, crop, hand, crop.before, cut(four), cut(draw_hand(5)))
    assert choice.index == 2
    assert "nothing changed" in choice.reasons[0]
    assert "4 digits show" in choice.reasons[1]
    assert choice.facts["digits_after"] == [6, 4, 5]


def test_a_moved_palm_another_skin_and_a_new_face_are_refused():
    pixels, judge, crop, hand = see(6)
    moved = draw_hand(5)
    moved[PALM_BOX.slices_hw] = GROUND
    moved[PALM_BOX.shift(0, 26).slices_hw] = (60, 30, 230)
    face = draw_hand(5)
    face[100:150, 140:170] = 0
    choice = choose(pixels, judge, crop, hand, cut(moved))
    assert choice.index is None
    assert "palm moved" in choice.reasons[0]
    pale = draw_hand(5)
    pale[place_bar(5).slices_hw] = (60, 200, 230)
    assert "another colour" in choose(pixels, judge, crop, hand, cut(pale)).reasons[0]
    assert "a face is new" in choose(pixels, judge, crop, hand, cut(face)).reasons[0]
    there = draw_hand(6)
    there[100:150, 140:170] = 0
    pixels, judge, crop, hand = see(6, values=there)
    assert "a face lies in" in choose(pixels, judge, crop, hand, cut(face)).reasons[0]


@pytest.mark.parametrize(
    ("auditor", "words"),
    [
        (ColourAuditor(), ""),
        (ColourAuditor(stubborn=True), "still likely"),
        (ColourAuditor(blind=True), "no more wrong before"),
        (None, "nobody confirms"),
    ],
)
def test_the_auditor_has_to_agree(auditor, words):
    pixels, judge, crop, _ = see(6, auditor=auditor)
    answer = judge.audit(pixels, crop, cut(draw_hand(5)))
    assert (answer.index == 0) == (not words)
    assert words in answer.reasons[0]


def test_what_the_user_says_is_wrong_needs_no_goof_before():
    values = draw_hand(5)
    values[140:150, 60:70] = (61, 31, 231)
    pixels, judge, crop, hand = see(5, told=frozenset({BOX}), auditor=ColourAuditor(blind=True))
    other = cut(draw_hand(5))
    step = plan_round(hand, "extra", 0, STRENGTHS)
    other[step.change > 0.5] = (other[step.change > 0.5] * 0.9).astype(np.uint8)
    assert "still likely" not in judge.choose(pixels, crop, step, [other]).reasons[0]
    assert judge.audit(pixels, crop, other).index == 0


def test_a_limb_has_to_be_gone():
    pixels, judge, crop, hand = see(5, "third-limb", told=frozenset({BOX}))
    step = plan_round(hand, "third-limb", 0, STRENGTHS)
    empty = np.full_like(crop.before, GROUND)
    choice = judge.choose(pixels, crop, step, [cut(draw_hand(4)), empty])
    assert choice.index == 1
    assert "still seen" in choice.reasons[0]
    assert judge.audit(pixels, crop, empty).index == 0
