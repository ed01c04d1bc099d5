"""Teach a base a concept: train, check every 25 steps, keep the best, write the build, score it, write the card.

A stop at any moment keeps everything: the next run of the same settings goes on where it was. Start reading at
`teach_concept`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.errors import InterruptedRender, RequestError
from sfumato.core.request import RenderRequest
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.core.settings import LARGEST_BUDGET_GB
from sfumato.core.validate import check_float, check_int
from sfumato.customize.build import BASE_DIGITS, ConceptBuild, check_base, hash_base, write_build, write_full_build
from sfumato.customize.concept import ConceptFolder, check_pictures, find_concept
from sfumato.customize.file_forms import OFT_ROLE
from sfumato.customize.full import FullLearner
from sfumato.customize.learn import Learner
from sfumato.customize.memory.plan import GB, MemoryPlan, choose_settings, estimate_pictures, plan_memory
from sfumato.customize.settings import ConceptSettings
from sfumato.customize.stop import CHECK_EVERY, LossCheck, StopRule
from sfumato.customize.trigger import check_trigger, is_known_to_clip
from sfumato.models.describe import MINI
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.train.checkpoints import Checkpoint, clear_checkpoints, load_checkpoint, save_checkpoint
from sfumato.workflows.forecast.plan_request import measure_program_bytes
from sfumato.workflows.personalize.begun import (
    RenamedTensors,
    find_begun,
    name_state_folder,
    note_settings,
    plan_begun,
    split_networks,
)
from sfumato.workflows.personalize.candidates import (
    CANDIDATE_EVERY,
    PROMPTS,
    SEEDS,
    STEPS,
    CandidateRule,
    RatedPictures,
    sweep_strength,
)
from sfumato.workflows.personalize.likeness import Likeness, make_likeness, rate_claims
from sfumato.workflows.personalize.score import (
    ConceptScores,
    draw_all,
    draw_preview,
    load_photos,
    read_evaluation,
    score_concept,
)

# What first light measured to be worth its time on two cores; see docs/log.
USUAL_MINUTES = 3.0
MOST_MINUTES, MOST_STEPS = 24 * 60.0, 100_000
# A picture costs as much as some steps.
PREVIEW_EVERY = 4 * CHECK_EVERY
# A state of more bytes is saved at most so often: writing it takes as long as many steps.
LARGE_STATE_BYTES, LARGE_STATE_S = 1_000_000_000, 600.0
_BEST = "best."


@dataclass(frozen=True, kw_only=True)
class TeachOptions:
    """Say how to train: for `minutes`, or until so many `steps` in all; `fresh` forgets stopped training.

    Within `budget_gb` of memory settings are chosen that fit; of `any_rung`, vectors alone too where a LoRA does not.
    """

    concept: str
    model: str = MINI
    settings: ConceptSettings = field(default_factory=ConceptSettings)
    minutes: float | None = None
    steps: int | None = None
    fresh: bool = False
    device: str = "auto"
    score: bool = True
    budget_gb: float | None = None
    any_rung: bool = False

    def __post_init__(self) -> None:
        if self.budget_gb is not None:
            check_float("`budget_gb`", self.budget_gb, low=0.1, high=LARGEST_BUDGET_GB)
        if self.minutes is not None:
            check_float("`minutes`", self.minutes, low=0.05, high=MOST_MINUTES)
        if self.steps is not None:
            check_int("`steps`", self.steps, low=1, high=MOST_STEPS)
        if self.settings.rung == "words" and (self.minutes is not None or self.steps is not None):
            raise RequestError("`minutes` and `steps` have no effect with the rung words", do="Leave them out.")

    @property
    def most_minutes(self) -> float | None:
        """Return the minutes that training may take; None where steps alone end it."""
        return USUAL_MINUTES if self.minutes is None and self.steps is None else self.minutes


@dataclass(frozen=True, kw_only=True)
class TeachEvent:
    """Say how far training is: `left_s` estimates the seconds left, `preview` is a picture that was drawn just now."""

    kind: ClassVar[str] = "teach"
    what: str
    step: int = 0
    loss: float | None = None
    check: LossCheck | None = None
    left_s: float | None = None
    preview: Path | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        if self.check is None:
            return self.what
        found = self.check
        left = "" if self.left_s is None else f", {self.left_s // 60:.0f}:{self.left_s % 60:02.0f} left"
        shown = f", picture {self.preview}" if self.preview else ""
        losses = f"loss {found.train:.4f}, held out {found.held_out:.4f}, drift {100 * found.drift:.2f} %"
        return f"step {self.step}: {losses}{left}{shown}"


@dataclass(frozen=True, kw_only=True)
class TaughtConcept:
    """Hold what training gave: the build, and its scores where they were wanted."""

    concept: ConceptFolder
    build: ConceptBuild
    scores: ConceptScores | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `concept train --json` prints."""
        return {
            "concept": self.concept.to_json(),
            "build": self.build.to_json(),
            "card": self.scores.card.to_json() if self.scores else None,
            "page": str(self.scores.page) if self.scores else None,
            "warnings": list(self.warnings),
        }


OnTeach = Callable[[TeachEvent], object]


def teach_concept(
    options: TeachOptions, *, on_event: OnTeach | None = None, should_stop: Callable[[], bool] | None = None
) -> TaughtConcept:
    """Train a concept on a base whose files are only read, and write its build and its card.

    `should_stop` is asked after every step.

    Raises:
        RequestError: the concept, a word or a setting is wrong, or stopped training had other settings.
        InterruptedRender: stopped; everything is kept.
        ModelError: the base cannot be trained on, gave no numbers, or changed meanwhile.
        StorageError: the disk refuses; what was saved before stays.
        BudgetError: no settings fit the memory.
    """
    report = on_event or (lambda _event: None)
    concept = find_concept(options.concept)
    check_trigger(concept.trigger)
    check_pictures(concept)
    base, wanted = hash_base(options.model), options.settings
    if options.budget_gb is not None:
        plan = plan_teaching(options)
        options = replace(options, settings=plan.settings)
        report(TeachEvent(what=plan.to_text()))
    work = _TrainingWork(options=options, concept=concept, base=base, wanted=wanted)
    saved = work.load()
    report(TeachEvent(what="opening the model"))
    model = _open_for_training(options)
    learner = _make_learner(work, model)
    try:
        if saved is not None:
            work.restore(learner, saved)
        likeness = make_likeness(load_photos(concept, model.contract.native)) if options.score else None
        with closing(_train(work, learner, likeness, should_stop)) as events:
            for event in events:
                report(event)
        if likeness is not None:
            work.consider_end(learner, likeness)
        if likeness is not None and isinstance(learner, Learner) and learner.layers is not None and work.best:
            report(TeachEvent(what="trying strengths of the LoRA"))
            work.strength = _find_strength(work, learner, likeness)
        build = work.write(learner)
    finally:
        learner.close()
    check_base(options.model, base)
    scores = None
    if options.score:
        if options.settings.rung == "full":
            # Training took the model over.
            del learner, model
            model = _open_for_training(options)
        report(TeachEvent(what="drawing the pictures of the card"))
        scores = score_concept(concept, build, model, options.model)
    return TaughtConcept(concept=concept, build=build, scores=scores, warnings=_list_warnings(concept, options.model))


def plan_teaching(options: TeachOptions) -> MemoryPlan:
    """Plan the memory of a training before anything is loaded; with a budget, choose what fits.

    Training that was stopped goes on with the settings that it began with, whatever would fit by now.

    Raises:
        BudgetError: nothing fits; says the least that would.
        RequestError: there is no such concept.
        ModelError, UnsafeFileError: the base is no checkpoint that can be opened.
    """
    concept, program = find_concept(options.concept), measure_program_bytes()
    if options.budget_gb is None:
        return plan_memory(options.model, options.settings, program_bytes=program)
    if not options.fresh:
        begun = find_begun(concept, hash_base(options.model), options.settings, any_rung=options.any_rung)
        if begun is not None:
            return plan_begun(options.model, begun, options.budget_gb, program_bytes=program)
    budget = round(options.budget_gb * GB)
    return choose_settings(options.model, options.settings, budget, program_bytes=program, is_free=options.any_rung)


def _make_learner(work: _TrainingWork, model: LatentModel) -> Learner | FullLearner:
    concept, settings = work.concept, work.options.settings
    if settings.rung == "full":
        return FullLearner(concept, model, settings, base=work.base, folder=concept.state / "cache")
    return Learner(concept, model, settings)


def _open_for_training(options: TeachOptions) -> LatentModel:
    number_type = options.settings.number_type
    if options.budget_gb is None and options.settings.rung != "full":
        return load_model(options.model, device=options.device, dtype=number_type)
    # Packed copies of the weights are for speed.
    plain = Arithmetic(number_type=number_type)
    model = load_model(options.model, device=options.device, dtype=number_type, arithmetic=plain)
    model.autoencoder_bytes = estimate_pictures(model.contract)
    return model


def _list_warnings(concept: ConceptFolder, base: str) -> tuple[str, ...]:
    if base == MINI or not is_known_to_clip(concept.trigger):
        return ()
    return (f"CLIP knows the word {concept.trigger}: prompts that say it for another reason mean the concept",)


@dataclass(eq=False, kw_only=True)
class _TrainingWork:
    """Hold one training: what it is for, its history, and the best weights so far. A leaf."""

    options: TeachOptions
    concept: ConceptFolder
    base: str
    rule: StopRule = field(default_factory=StopRule)
    candidates: CandidateRule = field(default_factory=CandidateRule)
    strength: float = 1.0
    end_step: int | None = None
    best: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    seconds: float = 0.0
    stopped: str = ""
    # What was asked for before a budget chose.
    wanted: ConceptSettings
    saved_s: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        return name_state_folder(self.concept, self.base, self.options.settings.rung)

    @property
    def identity(self) -> str:
        """Digest everything that has to be the same for training to go on."""
        said = [self.concept.trigger, self.concept.noun, self.concept.description, self.base]
        rows = [asdict(picture) for picture in self.concept.pictures]
        text = json.dumps([said, rows, self.options.settings.to_json()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> Checkpoint | None:
        if self.options.fresh:
            clear_checkpoints(self.folder)
            return None
        # A whole model's state is read tensor by tensor.
        saved = load_checkpoint(self.folder, at_once=self.options.settings.rung != "full")
        if saved is not None and saved.values.get("identity") != self.identity:
            do = "Say the settings of before, or train with `fresh`."
            got = "pictures, words or settings differ"
            raise RequestError("stopped training of this concept had other settings", got=got, do=do)
        return saved

    def restore(self, learner: Learner | FullLearner, saved: Checkpoint) -> None:
        learner.restore(saved)
        self.seconds = float(saved.values["seconds"])
        history = json.loads(str(saved.values["history"]))
        checks = [replace(LossCheck(**row), rows=tuple(row["rows"])) for row in history["checks"]]
        best = next((check for check in checks if check.step == history["best"]), None)
        self.rule = StopRule(checks=checks, best=best, rises=history["rises"])
        self.candidates = CandidateRule(**history.get("candidates", {}))
        self.best = learner.take_best(RenamedTensors(saved.tensors, _BEST))

    def save_check(self, learner: Learner | FullLearner) -> None:
        """Save after a check; what takes long to write, now and then alone."""
        size = sum(tensor.nbytes for tensor in learner.state(copied=False).tensors.values())
        if size < LARGE_STATE_BYTES or time.monotonic() - self.saved_s > LARGE_STATE_S:
            self.save(learner)

    def save(self, learner: Learner | FullLearner) -> None:
        state = learner.state(copied=False)
        best = self.rule.best
        history = {
            "checks": [asdict(check) for check in self.rule.checks],
            "best": None if best is None else best.step,
            "rises": self.rule.rises,
            "candidates": self.candidates.to_json(),
        }
        values = {**state.values, "identity": self.identity, "seconds": self.seconds, "history": json.dumps(history)}
        values |= note_settings(self.options.settings, self.wanted)
        tensors = {**state.tensors, **{f"{_BEST}{name}": value for name, value in self.best.items()}}
        save_checkpoint(self.folder, learner.steps, Checkpoint(tensors, values))
        self.saved_s = time.monotonic()

    def check(self, learner: Learner | FullLearner) -> LossCheck:
        """Take a check into the history; keep the weights where it is the best."""
        found = learner.check()
        if learner.steps == 0:
            self.rule.checks.append(found)
        elif self.rule.add(found) and self.candidates.best is None:
            self.best = learner.keep_best()
        return found

    def consider(self, learner: Learner | FullLearner, likeness: Likeness) -> None:
        """Draw a candidate; where its pictures are the best so far, its weights are kept, whatever its loss."""
        with learner.averaged():
            pictures = _draw_few(self, learner)
        if self.candidates.add(learner.steps, likeness.rate(pictures)):
            self.best = learner.keep_best()

    def consider_end(self, learner: Learner | FullLearner, likeness: Likeness) -> None:
        """Compare the end with the best candidate; history stays as it is, for a run that goes on must not see it."""
        if self.candidates.best is None or learner.steps in self.candidates.steps:
            return
        rule = CandidateRule(**deepcopy(self.candidates.to_json()))
        with learner.averaged():
            pictures = _draw_few(self, learner)
        if rule.add(learner.steps, likeness.rate(pictures)):
            self.best = learner.keep_best()
            self.end_step = learner.steps

    @property
    def reason(self) -> str:
        """Say why to stop; pictures outweigh a held-out loss that rises."""
        return self.candidates.reason or ("" if self.candidates.best is not None else self.rule.reason)

    def write(self, learner: Learner | FullLearner) -> ConceptBuild:
        """Write the best weights: of a check, or those at the end where they are better."""
        settings, steps = self.options.settings, learner.steps
        # The end is no check of the history: a run that goes on must not see where it was stopped.
        rule, best = replace(self.rule, checks=list(self.rule.checks)), self.best
        if settings.rung == "words":
            best = learner.averages
        elif (steps % CHECK_EVERY and rule.add(learner.check()) and self.candidates.best is None) or not best:
            best = learner.keep_best()
        build = ConceptBuild(
            folder=self.concept.builds / self.base[:BASE_DIGITS],
            base=str(self.options.model),
            base_sha256=self.base,
            embedding="",
            settings=settings.to_json(),
            steps=steps,
            best_step=self.end_step or self.candidates.best_step or (rule.best.step if rule.best else steps),
            strength=self.strength,
            seconds=round(self.seconds, 1),
            stopped=self.stopped,
            checks=tuple(check.to_json() for check in rule.checks),
        )
        if settings.rung == "full":
            return write_full_build(split_networks(best), build)
        return write_build(self.concept, best, build, learner.model.contract)


def _train(
    work: _TrainingWork,
    learner: Learner | FullLearner,
    likeness: Likeness | None,
    should_stop: Callable[[], bool] | None,
) -> Generator[TeachEvent]:
    """Train until time, steps, the stop rule or a caller ends it; yield an event after every check."""
    options = work.options
    if options.settings.rung == "words":
        return
    limit_s = None if options.most_minutes is None else 60 * options.most_minutes
    began_s, began_step, before_s = time.monotonic(), learner.steps, work.seconds
    if learner.steps == 0:
        yield TeachEvent(what="first check", check=work.check(learner))
    while not (work.reason or (options.steps is not None and learner.steps >= options.steps)):
        if limit_s is not None and time.monotonic() - began_s >= limit_s:
            work.stopped = "the time was over"
            break
        loss = learner.step()
        work.seconds = before_s + time.monotonic() - began_s
        if learner.steps % CHECK_EVERY == 0:
            found = work.check(learner)
            if likeness is not None and learner.steps % CANDIDATE_EVERY == 0:
                work.consider(learner, likeness)
            work.save_check(learner)
            spent = time.monotonic() - began_s
            left_s = _estimate_left(options, learner.steps - began_step, learner.steps, spent, limit_s)
            preview = _draw(work, learner) if learner.steps % PREVIEW_EVERY == 0 else None
            yield TeachEvent(what="check", step=learner.steps, loss=loss, check=found, left_s=left_s, preview=preview)
        if should_stop is not None and should_stop():
            work.save(learner)
            work.write(learner)
            do = "Give the same command to go on; until then renders use the best so far."
            raise InterruptedRender("training was stopped", got=f"{learner.steps} steps are kept", do=do)
    work.stopped = work.reason or work.stopped or "the steps were done"
    work.save(learner)


def _draw_few(work: _TrainingWork, learner: Learner | FullLearner) -> NDArray[np.uint8]:
    """Draw the pictures that candidates are compared by, with what is in force on the model."""
    contract = learner.model.contract
    request = RenderRequest(
        prompt="-", size=contract.native, guidance=contract.guidance, model=work.options.model, steps=STEPS
    )
    prompts, _ = read_evaluation(work.concept)
    return draw_all(prompts[:PROMPTS], work.concept.trigger, SEEDS, request, learner.model)


def _find_strength(work: _TrainingWork, learner: Learner, likeness: Likeness) -> float:
    prompts, _ = read_evaluation(work.concept)

    def rate(strength: float) -> RatedPictures:
        # Factors of a LoRA, angles of an OFT.
        scaled = {n: t * (strength if n.endswith((".up", OFT_ROLE)) else 1.0) for n, t in work.best.items()}
        with learner.holding(scaled):
            pictures = _draw_few(work, learner)
        readings = likeness.reader.read(pictures)
        claims = rate_claims(readings, prompts[:PROMPTS], len(SEEDS))
        return RatedPictures(
            likeness=float(likeness.rate(pictures).mean()), claims=sum(claims) / len(claims) if claims else 1.0
        )

    return sweep_strength(rate)


def _draw(work: _TrainingWork, learner: Learner | FullLearner) -> Path:
    with learner.averaged():
        return draw_preview(work.concept, learner.model, work.options.model)


def _estimate_left(options: TeachOptions, done: int, steps: int, spent_s: float, limit_s: float | None) -> float | None:
    left: list[float] = []
    if limit_s is not None:
        left.append(limit_s - spent_s)
    if options.steps is not None and done:
        left.append((options.steps - steps) * spent_s / done)
    return max(0.0, min(left)) if left else None


def open_model(ref: str, device: str = "auto") -> LatentModel:
    """Open a base to score a concept on, in the numbers that it was trained in."""
    return load_model(ref, device=device, dtype="fp32")
