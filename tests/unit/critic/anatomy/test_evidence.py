"""Digits from maps by hand, counters, and verdicts from evidence by hand."""

import dataclasses

import numpy as np
import pytest

from sfumato.critic.anatomy.belief import Beliefs
from sfumato.critic.anatomy.evidence import HandEvidence, gather_evidence, log_softmax
from sfumato.critic.anatomy.instances import count_tips, find_digits
from sfumato.critic.anatomy.labels import CAUSES, DIGITS, MOST_DIGITS, NAIL, PARTS
from sfumato.critic.anatomy.network import ANSWERS
from sfumato.critic.anatomy.parser import HandMaps
from sfumato.critic.anatomy.verdict import judge_evidence

SIDE = 64


def paint_hand(digits=5, *, name_all=None, nails=()):
    """Maps of a comb: a palm below, digits as bars 5 cells wide with three segments each."""
    parts = np.zeros((len(PARTS), SIDE, SIDE), np.float32)
    named = np.zeros((len(DIGITS), SIDE, SIDE), np.float32)
    tips, cores = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    parts[PARTS.index("palm"), 40:60] = 1
    for number in range(digits):
        left = 4 + 9 * number
        for segment in range(3):
            parts[3 + segment, 30 - 10 * segment : 40 - 10 * segment, left : left + 5] = 1
        if number in nails:
            parts[3:, 10:13, left + 1 : left + 4] = 0
            parts[NAIL, 10:13, left + 1 : left + 4] = 1
        named[min(number, 5) if name_all is None else name_all, 10:40, left : left + 5] = 1
        cores[12:38, left + 2] = 1
        tips[12, left + 2] = 0.9
    parts[0] = 1 - parts[1:].sum(0)
    answers = {name: np.zeros(count, np.float32) for name, count in ANSWERS.items()}
    return HandMaps(parts, named, tips, cores, answers)


def speak(count=5, *, cause="none", sure=6.0, countable=6.0, cartoon=-6.0, hand=6.0, middles=None):
    """Evidence of a hand by hand: the count head's number, the cause head's word."""
    counts, causes = np.zeros(MOST_DIGITS), np.zeros(len(CAUSES))
    counts[count], causes[CAUSES.index(cause)] = sure, sure
    other = count if middles is None else middles
    return HandEvidence((), log_softmax(counts), other, other, log_softmax(causes), countable, 1.0, cartoon, hand)


def test_each_bar_is_a_digit_with_its_segments_and_nail():
    digits = find_digits(paint_hand(5, nails=(1,)))
    assert sorted(digit.digit for digit in digits) == sorted(DIGITS[:5])
    assert {digit.digit: digit.segments for digit in digits} == dict(zip(DIGITS[:5], (2, 3, 3, 3, 3), strict=True))
    assert [digit.digit for digit in digits if digit.nail] == ["index"]


def test_a_second_digit_of_a_name_is_extra():
    digits = find_digits(paint_hand(2, name_all=2))
    assert sorted(digit.digit for digit in digits) == ["extra", "middle"]


def test_cells_of_digits_do_not_overlap():
    digits = find_digits(paint_hand(6))
    assert sum(digit.cells.astype(int) for digit in digits).max() == 1


def test_nothing_is_seen_on_empty_maps():
    maps = paint_hand(0)
    assert find_digits(maps) == ()
    assert count_tips(maps) == 0
    assert gather_evidence(maps).middles == 0


@pytest.mark.parametrize("count", [1, 4, 6])
def test_tips_are_counted_once(count):
    assert count_tips(paint_hand(count)) == count


def test_a_right_hand_is_ok_and_one_with_six_a_goof():
    assert judge_evidence(speak(5), Beliefs()).word == "ok"
    six = judge_evidence(speak(6, cause="extra"), Beliefs())
    assert (six.word, six.digits, six.findings[0].cause) == ("goof", 6, "extra")


def test_what_does_not_show_every_digit_is_not_countable_even_with_six():
    verdict = judge_evidence(speak(6, cause="extra", countable=-3.0), Beliefs())
    assert verdict.word == "not-countable"
    assert verdict.findings == ()


def test_what_is_no_hand_is_not_countable():
    assert judge_evidence(speak(5, hand=-4.0), Beliefs()).word == "not-countable"


def test_a_missing_digit_without_a_prompt_is_no_goof():
    four = speak(4, cause="missing")
    assert judge_evidence(four, Beliefs()).word == "abstain"
    assert judge_evidence(four, Beliefs(), prompted=True).word == "goof"


def test_a_cartoon_has_four_digits():
    assert judge_evidence(speak(4, cartoon=6.0), Beliefs()).word == "ok"
    assert judge_evidence(speak(4, cartoon=-6.0), Beliefs()).word != "ok"


def test_a_licence_covers_a_goof_and_leaves_a_right_hand_right():
    goof = judge_evidence(speak(6, cause="extra"), Beliefs(), licences=("cartoon",), prompted=True)
    assert goof.word == "licensed"
    assert "cartoon" in goof.reason
    assert judge_evidence(speak(5), Beliefs(), licences=("fist",), prompted=True).word == "ok"


def test_between_the_limits_it_abstains():
    unsure = dataclasses.replace(Beliefs(), least_goof=0.9999, most_ok=1e-9)
    assert judge_evidence(speak(5, sure=2.0), unsure).word == "abstain"


def test_counters_that_agree_outweigh_a_head_that_hesitates():
    beliefs = dataclasses.replace(Beliefs(), count=(1.0, 2.0, 2.0, 0.0))
    assert judge_evidence(speak(5, sure=0.5, middles=4), beliefs).digits == 4


def test_beliefs_survive_json_and_refuse_what_does_not_fit():
    beliefs = Beliefs(count=(1.25, 0.5, 0.25, -1.0))
    assert Beliefs.from_json(beliefs.to_json()) == beliefs
    for change in ({"count": [1.0]}, {"fault": [1.0, 2.0, float("nan"), 0.0]}):
        with pytest.raises(ValueError, match="weight"):
            Beliefs.from_json({**beliefs.to_json(), **change})
