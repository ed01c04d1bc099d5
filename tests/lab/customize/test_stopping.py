"""The stop rule against truth: what is kept, where it stops, and what that cost."""

import numpy as np
import pytest

from sfumato.lab.customize.stopping import RECIPE_STEPS, StopTrial, follow_rule, make_card


def test_the_rule_stops_after_two_misses_and_keeps_the_best_so_far():
    rates = [np.full(6, rate) for rate in (0.2, 0.6, 0.5, 0.6, 0.9)]
    assert follow_rule((75, 150, 225, 300, 375), rates, 400) == (150, 300)
    assert follow_rule((75, 150), rates[:2], 200) == (150, 200)
    assert follow_rule((), [], 50) == (50, 50)


def test_the_card_says_what_was_lost_and_what_it_cost():
    trials = [
        StopTrial(steps=(75, 150), truth=(0.8, 0.4), kept=75, stopped=150),
        StopTrial(steps=(75, 150), truth=(0.5, 1.0), kept=75, stopped=450),
    ]
    rows = {row.name: row.value for row in make_card(trials, 900, 1).rows}
    assert rows["identity kept, of the best by truth"] == pytest.approx(75)
    assert rows["identity lost to the best by truth"] == pytest.approx(0.25)
    assert rows["those over the recipe's"] == pytest.approx(300 / RECIPE_STEPS * 100)
