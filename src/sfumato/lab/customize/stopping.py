"""`sfumato evaluate customize --stop-rule`: the state that the stop rule keeps, against the best state by truth.

New people of the world are taught by a LoRA, longer than the rule wants. At every candidate the rule looks as it does in
the product, by the photos; besides, pictures of other prompts and seeds are judged against new drawings of the same person.
Start reading at `evaluate_stop_rule`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.cards import Card, Measurement
from sfumato.core.request import RenderRequest
from sfumato.customize.create import PROMPTS
from sfumato.customize.learn import Learner
from sfumato.customize.settings import ConceptSettings
from sfumato.lab.customize.character import draw_character, make_character
from sfumato.lab.customize.proof import FIRST_SUBJECT, TRIGGER, TRUE_PICTURES, make_concept, read_drawn
from sfumato.lab.customize.proof import SEEDS as TRUE_SEEDS
from sfumato.lab.customize.proof import STEPS as TRUE_STEPS
from sfumato.models.describe import MINI
from sfumato.models.load import load_model
from sfumato.workflows.personalize import candidates as rules
from sfumato.workflows.personalize.likeness import make_likeness, measure_mean, score_identity
from sfumato.workflows.personalize.score import draw_all, load_photos

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

# Steps that recipes for a LoRA name for five pictures.
RECIPE_STEPS = 800


@dataclass(frozen=True, kw_only=True)
class StopTrial:
    """What one person showed: identity by truth at each candidate, what the rule kept, and where it stopped.

    `stopped` is the last step where the rule never wanted to stop.
    """

    steps: tuple[int, ...]
    truth: tuple[float, ...]
    kept: int
    stopped: int

    @property
    def best(self) -> float:
        """Return the best identity by truth."""
        return max(self.truth)

    @property
    def lost(self) -> float:
        """Return how much less identity the kept state has than the best."""
        return self.best - self.truth[self.steps.index(self.kept)]


def evaluate_stop_rule(
    subjects: int = 4, steps: int = 900, *, seed: int = 1, on_event: Callable[[str], object] | None = None
) -> Card:
    """Teach `subjects` people for `steps` steps each and compare the rule's choice with the best by truth.

    Cost: 0.7 CPU seconds a step, and 14 pictures every 75 steps; about 15 CPU minutes a person at 900 steps.
    """
    tell = on_event or (lambda _said: None)
    model = load_model(MINI, dtype="fp32")
    found: list[StopTrial] = []
    for number in range(subjects):
        tell(f"subject {FIRST_SUBJECT + number}")
        found.append(_run_subject(FIRST_SUBJECT + number, model, steps, seed))
        tell(f"kept {found[-1].kept}, stopped {found[-1].stopped}, lost {found[-1].lost:.2f}")
    return make_card(found, steps, seed)


def make_card(found: Sequence[StopTrial], steps: int, seed: int) -> Card:
    """Return the card of some people."""
    share = np.asarray([1.0 if one.best <= 0 else 1 - one.lost / one.best for one in found]) * 100
    rows = (
        measure_mean("identity kept, of the best by truth", share, "%", note="aim: 98"),
        measure_mean("identity lost to the best by truth", np.asarray([one.lost for one in found]), "of 1"),
        measure_mean("steps until the rule stops", np.asarray([float(one.stopped) for one in found]), "steps"),
        Measurement(
            name="those over the recipe's",
            value=float(np.mean([one.stopped for one in found])) / RECIPE_STEPS * 100,
            unit="%",
            n=len(found),
            note=f"{RECIPE_STEPS} steps; aim: 50",
        ),
    )
    return Card(
        title=f"stop rule against truth: {len(found)} new people, {steps} steps, base mini",
        rows=rows,
        seed=seed,
        command=f"sfumato evaluate customize --stop-rule --subjects {len(found)} --steps {steps}",
        notes=(
            "the rule sees photos, two prompts and three seeds; truth is new drawings, other seeds and all prompts",
            "both are read by mini's reader, and the best of several noisy values is flattered: losses read too large",
        ),
    )


def follow_rule(steps: Sequence[int], rates: Sequence[np.ndarray], last: int) -> tuple[int, int]:
    """Return the step that the rule keeps of candidates with these ratings, and the step where it stops."""
    rule = rules.CandidateRule()
    for step, rate in zip(steps, rates, strict=True):
        rule.add(step, rate)
        if rule.reason:
            return rule.best_step or step, step
    return rule.best_step or last, last


def _run_subject(subject: int, model: LatentModel, steps: int, seed: int) -> StopTrial:
    with TemporaryDirectory(prefix="sfumato-stop-") as folder:
        concept = make_concept(Path(folder), subject)
        likeness = make_likeness(load_photos(concept, model.contract.native))
        assert likeness is not None, "pictures of mini have the reader's size"
        usual = RenderRequest(
            prompt="-", size=model.contract.native, guidance=model.contract.guidance, model=MINI, steps=TRUE_STEPS
        )
        floor = read_drawn(draw_all(PROMPTS, f"a {concept.noun}", TRUE_SEEDS, usual, model))
        drawn = draw_character(make_character(subject), TRUE_PICTURES, subject + 10_000)
        true = read_drawn(np.stack([one.pixels for one in drawn]))
        learner = Learner(concept, model, ConceptSettings(rung="lora", seed=seed))
        at, rates, truth = list[int](), list[np.ndarray](), list[float]()
        try:
            for step in range(1, steps + 1):
                learner.step()
                if step % rules.CANDIDATE_EVERY:
                    continue
                with learner.averaged():
                    few = draw_all(
                        PROMPTS[: rules.PROMPTS], TRIGGER, rules.SEEDS, replace(usual, steps=rules.STEPS), model
                    )
                    judged = read_drawn(draw_all(PROMPTS, TRIGGER, TRUE_SEEDS, usual, model))
                at.append(step)
                rates.append(likeness.rate(few))
                truth.append(next(row.value for row in score_identity(judged, floor, true) if row.name == "identity"))
        finally:
            learner.close()
    kept, stopped = follow_rule(at, rates, steps)
    return StopTrial(steps=tuple(at), truth=tuple(truth), kept=kept, stopped=stopped)
