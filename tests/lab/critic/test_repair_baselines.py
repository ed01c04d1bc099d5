"""Other ways to repair a hand: what is counted, that each one draws, and that a template lies where the hand is."""

import numpy as np
import pytest

from bundles import tiny_mini
from sfumato.critic.anatomy.parser import load_parser
from sfumato.lab.critic.close_ups import draw_hand, find_hand_box
from sfumato.lab.critic.judge_plans import see_hand
from sfumato.lab.critic.repair_baselines import BEST, REDRAW, RepairedHand, describe_way, lay_template, mend_by
from sfumato.models.load import load_model

SEED = 255500021


@pytest.fixture(scope="module")
def seen():
    sample = draw_hand(SEED, "missing_digit")
    parser = load_parser()
    return parser, sample, see_hand(parser, sample.image, find_hand_box(sample))


def make_hand(*, faulty, before, after, new=False):
    return RepairedHand(faulty=faulty, wrong_before=before, wrong_after=after, new_goof=new, seconds=2.0)


def test_repaired_and_harm_leave_out_what_the_reader_misread_before():
    hands = [
        make_hand(faulty=True, before=True, after=False),
        make_hand(faulty=True, before=True, after=True, new=True),
        make_hand(faulty=True, before=False, after=False),
        make_hand(faulty=False, before=False, after=True),
        make_hand(faulty=False, before=True, after=True),
    ]
    rows = {row.name.split(": ")[1]: (row.value, row.n) for row in describe_way("x", hands)}
    assert rows["repaired, of faulty hands"] == (50.0, 2)
    assert rows["harm, of right hands"] == (100.0, 1)
    assert rows["new things beside"] == (20.0, 5)
    assert rows["processor time of a hand"] == (2.0, 5)


def test_a_template_covers_the_palm_and_five_fingers(seen):
    _, sample, hand = seen
    laid = lay_template(hand)
    twin = draw_hand(SEED, "")
    whole = twin.truth.mask("hand1")
    # The right hand of the world lies over the one that was drawn without the fault, roughly.
    skin = np.median(sample.image[sample.truth.mask("hand1/palm")], axis=0)
    near = np.abs(laid.astype(float) - skin).mean(axis=2) < 40
    assert near[whole].mean() > 0.6
    assert (laid != sample.image).any()


def test_redrawing_changes_the_box_and_nothing_far_from_it(seen):
    parser, sample, hand = seen
    model = load_model(str(tiny_mini()))
    after = mend_by(REDRAW, model, parser, sample, hand, 1, 2)
    changed = (after != sample.image).any(axis=2)
    rows, columns = hand.judged.box.slices_hw
    assert changed[rows, columns].mean() > 0.5
    assert not changed[:2].any()
    best = mend_by(BEST, model, parser, sample, hand, 1, 2)
    # A model of random weights draws nothing that the critic likes better than the hand as it was, or what it likes.
    assert best.shape == sample.image.shape
