"""Candidates are compared picture by picture, the best stays, and two that may be chance end the training."""

import numpy as np

from sfumato.workflows.personalize.candidates import MISSES, CandidateRule, RatedPictures, sweep_strength


def test_the_best_stays_and_gains_that_may_be_chance_stop():
    rule = CandidateRule()
    base = np.asarray([0.3, 0.4, 0.5, 0.4])
    assert rule.add(75, base)
    assert rule.add(150, base + 0.1)
    assert rule.reason == ""
    assert not rule.add(225, base + np.asarray([0.2, 0, 0.2, -0.05]))
    assert rule.best_step == 150
    assert not rule.add(300, base)
    assert rule.misses == MISSES
    assert rule.reason
    assert CandidateRule(**rule.to_json()).to_json() == rule.to_json()


def test_the_strength_with_most_likeness_that_keeps_the_prompt_is_taken():
    rated = {0.5: (0.5, 1.0), 0.75: (0.6, 1.0), 1.0: (0.6, 0.9), 1.25: (0.9, 0.3)}
    found = sweep_strength(lambda at: RatedPictures(likeness=rated[at][0], claims=rated[at][1]), tuple(rated))
    assert found == 0.75
