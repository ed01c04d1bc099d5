"""The ladder stops at the first rung whose card passes, and refuses where nobody can judge."""

from pathlib import Path

import pytest

from bundles import tiny_mini
from concept_folders import make_concept
from sfumato.core.cards import Card, Measurement
from sfumato.core.errors import RequestError
from sfumato.workflows.personalize import ladder
from sfumato.workflows.personalize.ladder import climb, judge_rung
from sfumato.workflows.personalize.score import ConceptScores
from sfumato.workflows.personalize.teach import TeachOptions

BASE = str(tiny_mini())


def make_scores(identity, claims):
    values = {
        "identity": identity,
        "rest of the prompt right, the class alone": 100.0,
        "rest of the prompt right, with the concept": claims,
    }
    rows = tuple(Measurement(name=name, value=value, unit="", n=8) for name, value in values.items())
    return ConceptScores(card=Card(title="", rows=rows, seed=1, command=""), page=Path())


@pytest.mark.parametrize(("identity", "claims", "passed"), [(0.7, 95.0, True), (0.5, 100.0, False), (0.9, 80.0, False)])
def test_a_rung_passes_by_identity_and_by_what_else_the_prompt_says(identity, claims, passed):
    assert judge_rung("inversion", make_scores(identity, claims)).passed is passed


def test_it_stops_at_the_first_rung_that_passes(photos, monkeypatch):
    make_concept(photos, description="a red dog")
    cards = {"words": (0.2, 100.0), "inversion": (0.7, 100.0), "lora": (0.9, 100.0)}
    tried = []

    class Taught:
        def __init__(self, rung):
            self.scores = make_scores(*cards[rung])

    def teach(options, **_):
        tried.append((options.settings.rung, options.steps))
        return Taught(options.settings.rung)

    monkeypatch.setattr(ladder, "teach_concept", teach)
    monkeypatch.setattr(ladder, "make_likeness", lambda _: "somebody")
    climbed = climb(TeachOptions(concept="bo", model=BASE, steps=5))
    assert tried == [("words", None), ("inversion", 5)]
    assert [one.passed for one in climbed.rungs] == [False, True]


def test_a_base_that_nobody_reads_is_refused(photos):
    make_concept(photos)
    with pytest.raises(RequestError, match="the ladder needs a card"):
        climb(TeachOptions(concept="bo", model=BASE, steps=1))
