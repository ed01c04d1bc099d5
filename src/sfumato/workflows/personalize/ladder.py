"""The ladder: the cheapest way to learn a concept first, and no further than is needed.

Words need no training, vectors change no weight, a LoRA does; full tuning is tried with many pictures alone. Start reading at `climb`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sfumato.core.errors import RequestError
from sfumato.customize.concept import ConceptFolder, find_concept
from sfumato.customize.settings import RUNGS, Rung
from sfumato.models.describe import load_contract
from sfumato.workflows.personalize.likeness import make_likeness
from sfumato.workflows.personalize.score import ConceptScores, load_photos
from sfumato.workflows.personalize.teach import OnTeach, TaughtConcept, TeachEvent, TeachOptions, teach_concept

# The aim that issue and docs name for vectors; a rung below it is not enough.
LEAST_IDENTITY = 0.6
# With fewer pictures a model learns them by heart.
LEAST_FOR_FULL = 500
# The rest of the prompt may be right so many points less often than for the class alone.
MOST_LOST_POINTS = 10.0


@dataclass(frozen=True, kw_only=True)
class RungResult:
    """Hold one rung that was tried: its identity (0 class, 1 photos), the points lost of prompts, and the verdict."""

    rung: Rung
    identity: float
    lost_points: float
    passed: bool

    def __str__(self) -> str:
        """Say it in one line."""
        word = "enough" if self.passed else "not enough"
        return f"{self.rung}: identity {self.identity:.2f}, {self.lost_points:.0f} points of the prompt lost: {word}"


@dataclass(frozen=True, kw_only=True)
class ClimbedConcept:
    """Hold the rung that is kept, with all that were tried."""

    taught: TaughtConcept
    rungs: tuple[RungResult, ...]


def climb(
    options: TeachOptions, *, on_event: OnTeach | None = None, should_stop: Callable[[], bool] | None = None
) -> ClimbedConcept:
    """Teach by one rung after the other until a card passes; the last rung is kept, passed or not.

    `options.settings.rung` counts for nothing. The rung words is tried where the concept has a description.

    Raises:
        RequestError: nobody can read pictures of this base, so no rung can be judged.
        Others: as `teach_concept`.
    """
    concept = find_concept(options.concept)
    if not options.score or make_likeness(load_photos(concept, load_contract(options.model).native)) is None:
        do = "Choose a rung: words, inversion, lora, oft or full."
        raise RequestError("the ladder needs a card, and nobody reads pictures of this base", got=options.model, do=do)
    report = on_event or (lambda _event: None)
    tried: list[RungResult] = []
    taught: TaughtConcept | None = None
    for rung in _list_rungs(concept):
        report(TeachEvent(what=f"trying the rung {rung}"))
        taught = teach_concept(_choose(options, rung), on_event=on_event, should_stop=should_stop)
        assert taught.scores is not None, "cards are wanted"
        tried.append(judge_rung(rung, taught.scores))
        report(TeachEvent(what=str(tried[-1])))
        if tried[-1].passed:
            break
    assert taught is not None, "the last rung is always tried"
    return ClimbedConcept(taught=taught, rungs=tuple(tried))


def _list_rungs(concept: ConceptFolder) -> list[Rung]:
    """Return the rungs to try: an OFT is a LoRA's twin and chosen by name alone."""
    wanted = {"words": bool(concept.description), "oft": False, "full": len(concept.pictures) >= LEAST_FOR_FULL}
    return [rung for rung in RUNGS if wanted.get(rung, True)]


def judge_rung(rung: Rung, scores: ConceptScores) -> RungResult:
    """Judge a rung by its card."""
    rows = {row.name: row.value for row in scores.card.rows}
    identity = rows.get("identity", 0.0)
    whole = rows.get("rest of the prompt right, the class alone", 0.0)
    lost = whole - rows.get("rest of the prompt right, with the concept", whole)
    passed = identity >= LEAST_IDENTITY and lost <= MOST_LOST_POINTS
    return RungResult(rung=rung, identity=identity, lost_points=lost, passed=passed)


def _choose(options: TeachOptions, rung: Rung) -> TeachOptions:
    # Vectors and whole models have no LoRA in the text encoders.
    settings = replace(options.settings, rung=rung, text_lora=options.settings.text_lora and rung == "lora")
    if rung == "words":
        return replace(options, settings=settings, minutes=None, steps=None)
    return replace(options, settings=settings)
