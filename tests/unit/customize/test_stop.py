"""The stop rule keeps the best check, and stops when the held-out loss rises, the base drifts, or numbers end."""

import pytest

from sfumato.customize.stop import RISES, LossCheck, StopRule


def make_check(step, held_out, *, drift=0.0, spread=0.001):
    rows = tuple(held_out + (spread if at % 2 else -spread) for at in range(8))
    return LossCheck(step=step, train=held_out, held_out=held_out, drift=drift, rows=rows)


def test_the_best_is_kept_and_not_the_last():
    rule = StopRule()
    assert [rule.add(make_check(step, loss)) for step, loss in ((25, 0.3), (50, 0.2), (75, 0.25))] == [
        True,
        True,
        False,
    ]
    assert rule.best.step == 50
    assert rule.reason == ""


def test_a_rise_that_lasts_stops():
    rule = StopRule()
    rule.add(make_check(25, 0.2))
    for number in range(RISES):
        assert rule.reason == ""
        rule.add(make_check(50 + 25 * number, 0.25))
    assert rule.reason == "the held-out loss rises"


def test_what_lies_within_the_noise_does_not_stop():
    rule = StopRule()
    rule.add(make_check(25, 0.2))
    for number in range(6):
        rows = tuple(0.2 + (0.05 if at % 2 else -0.0499) for at in range(8))
        rule.add(LossCheck(step=50 + number, train=0.2, held_out=0.20005, drift=0.0, rows=rows))
    assert rule.reason == ""


@pytest.mark.parametrize(
    ("check", "said"), [(make_check(50, 0.1, drift=0.5), "drifts"), (make_check(50, float("nan")), "no number")]
)
def test_drift_and_broken_numbers_never_win_and_stop(check, said):
    rule = StopRule()
    rule.add(make_check(25, 0.2))
    for _ in range(RISES):
        assert not rule.add(check)
    assert rule.best.step == 25
    assert said in rule.reason
