"""Plans of missing and fused digits on drawn hands with their truth, read by the parser that ships."""

import pytest

from sfumato.critic.anatomy.parser import load_parser
from sfumato.lab.critic.close_ups import draw_hand, find_hand_box
from sfumato.lab.critic.judge_plans import STRENGTHS, judge_plans, measure_plan, see_hand
from sfumato.workflows.repair.copy_fingers import find_fused, list_fingers
from sfumato.workflows.repair.plan_round import plan_round


@pytest.fixture(scope="module")
def parser():
    return load_parser()


@pytest.mark.parametrize(
    ("fault", "seed", "words"),
    [
        ("missing_digit", 255500021, "copy a finger"),
        ("missing_digit", 255500032, "copy a finger"),
        ("fused_digits", 255510028, "two copies"),
    ],
    ids=["little", "index", "middle and ring"],
)
def test_the_place_that_lacks_is_freed_and_right_digits_stay(parser, fault, seed, words):
    sample, twin = draw_hand(seed, fault), draw_hand(seed, "")
    seen = see_hand(parser, sample.image, find_hand_box(sample))
    # A critic calls fused digits missing more often than not: the plan sees the wide finger by itself.
    step = plan_round(seen, "missing", 0, STRENGTHS)
    freed, kept = measure_plan(step, sample, twin)
    assert words in step.words
    assert freed > 0.7
    assert kept > 0.9


def test_no_finger_of_a_right_hand_is_taken_for_two(parser):
    sample = draw_hand(255510028, "")
    fingers = list_fingers(see_hand(parser, sample.image, find_hand_box(sample)))
    assert [one.is_thumb for one in fingers].count(True) == 1
    assert len(fingers) == 5
    assert find_fused(fingers) is None


def test_plans_are_counted_by_cause(parser):
    rows = {row.name: row for row in judge_plans(parser, 2, lambda what, done, count: None)}
    assert {row.n for row in rows.values()} == {1}
    assert "plans, fused: right digits stay" in rows
    assert "plans, missing: the place that lacks is freed" in rows
