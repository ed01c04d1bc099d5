"""`sfumato evaluate customize`: new people of the world, taught by ours and by the usual recipes in one run.

Same base, pictures, steps and batch. Judged on prompts and seeds that no training chose by, against new drawings of the
same people, by the reader of mini's pictures. Start reading at `evaluate_customize`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.files import file_sha256
from sfumato.core.request import RenderRequest
from sfumato.customize.concept import ConceptFolder, ConceptPicture
from sfumato.customize.create import PROMPTS
from sfumato.customize.inversion import encode_captions
from sfumato.customize.learn import RETENTION, Learner
from sfumato.customize.losses import ConceptLoss, measure_drift
from sfumato.customize.settings import ConceptSettings
from sfumato.lab.customize.character import draw_character, make_character, write_character
from sfumato.lab.customize.recipes import RECIPES
from sfumato.models.describe import MINI
from sfumato.models.load import load_model
from sfumato.workflows.personalize.likeness import (
    measure_mean,
    rate_claims,
    read_pictures,
    score_identity,
)
from sfumato.workflows.personalize.score import draw_all

if TYPE_CHECKING:
    from sfumato.critic.reader.reader import Readings
    from sfumato.customize.methods.lora import LoraLayers
    from sfumato.customize.methods.oft import OftLayers
    from sfumato.lab.customize.recipes import RecipeRun
    from sfumato.models.latent_model import LatentModel

TRIGGER = "zobu"
# Subjects whose drawings no page of the project shows or was tuned on.
FIRST_SUBJECT = 41
SEEDS = (501, 502)
STEPS = 20
TRUE_PICTURES = 6
DRIFT_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class ProofOptions:
    """Say how much: `subjects` new people, so many `steps` of training, and where the sheets go."""

    subjects: int = 12
    steps: int = 250
    batch: int = 6
    seed: int = 1
    out: Path = Path("out/customize")


class _Training(Protocol):
    """A method in training: steps, and what prompts call the subject."""

    @property
    def subject(self) -> str: ...

    @property
    def layers(self) -> LoraLayers | OftLayers | None: ...

    def step(self) -> None: ...


@dataclass(eq=False)
class _OwnTraining:
    learner: Learner
    subject: str = TRIGGER

    @property
    def layers(self) -> LoraLayers | OftLayers | None:
        return self.learner.layers

    def step(self) -> None:
        self.learner.step()


@dataclass(frozen=True, eq=False)
class MethodResult:
    """Hold what one method drew of one subject, and what it cost."""

    drawn: NDArray[np.uint8]
    drift: float
    seconds: float


def evaluate_customize(options: ProofOptions, *, on_event: Callable[[str], object] | None = None) -> Card:
    """Teach every subject by every method and print one card; writes a sheet for each subject.

    Cost: about two CPU seconds a subject and step for all methods together, and 40 pictures a subject.
    """
    tell = on_event or (lambda _said: None)
    model = load_model(MINI, dtype="fp32")
    scores: dict[str, list[list[Measurement]]] = {}
    results: dict[str, list[MethodResult]] = {}
    for number in range(options.subjects):
        subject = FIRST_SUBJECT + number
        found, floor, true = _run_subject(subject, options, model, tell)
        _write_sheet(options.out / f"subject_{subject}.png", true, floor, found)
        for name, result in found.items():
            results.setdefault(name, []).append(result)
            scores.setdefault(name, []).append(_score(result, floor, true))
    rows = [row for name in results for row in _make_rows(name, results[name], scores[name], options.steps)]
    return Card(
        title=f"customize: {options.subjects} new people, {options.steps} steps of {options.batch}, base mini",
        rows=tuple(rows),
        seed=options.seed,
        command=f"sfumato evaluate customize --subjects {options.subjects} --steps {options.steps}",
        notes=(
            "identity: 0 the class alone, 1 new drawings of the person; marks as mini's reader answers them",
            "drift: of predictions for prompts about other things, with the LoRA in force; ours is left out there",
            "no things and no style are taught, and nobody looked at the pictures for this card",
        ),
    )


def _run_subject(
    subject: int, options: ProofOptions, model: LatentModel, tell: Callable[[str], object]
) -> tuple[dict[str, MethodResult], NDArray[np.uint8], NDArray[np.uint8]]:
    with TemporaryDirectory(prefix="sfumato-proof-") as folder:
        concept = make_concept(Path(folder), subject)
        usual = RenderRequest(
            prompt="-", size=model.contract.native, guidance=model.contract.guidance, model=MINI, steps=STEPS
        )
        floor = draw_all(PROMPTS, f"a {concept.noun}", SEEDS, usual, model)
        person = make_character(subject)
        # Another seed than the taught pictures': places, poses and sizes differ.
        true = np.stack([one.pixels for one in draw_character(person, TRUE_PICTURES, subject + 10_000)])
        found: dict[str, MethodResult] = {}
        for name in ("LoRA, ours", "vectors, ours", *RECIPES):
            tell(f"subject {subject}: {name}")
            with _train(name, concept, model, options) as training:
                began = time.process_time()
                for _ in range(options.steps):
                    training.step()
                seconds = time.process_time() - began
                with _use(training):
                    drawn = draw_all(PROMPTS, training.subject, SEEDS, usual, model)
                    drift = _measure_drift(model, training)
            found[name] = MethodResult(drawn, drift, seconds)
    return found, floor, true


@contextmanager
def _train(name: str, concept: ConceptFolder, model: LatentModel, options: ProofOptions) -> Generator[_Training]:
    rung = {"LoRA, ours": "lora", "vectors, ours": "inversion"}.get(name)
    if rung is not None:
        settings = ConceptSettings(rung=rung, batch=options.batch, seed=options.seed)  # pyright: ignore[reportArgumentType]
        learner = Learner(concept, model, settings)
        try:
            yield _OwnTraining(learner)
        finally:
            learner.close()
        return
    learner = Learner(concept, model, ConceptSettings(rung="inversion", batch=options.batch))
    # Every picture whole: the recipes crop the middle and flip nothing.
    latents = torch.cat([learner.examples.latents[:, 0], learner.held_out.latents[:, 0]])
    learner.close()
    with RECIPES[name](model, concept.noun, seed=options.seed) as run:
        yield _RecipeTraining(run, latents, options)


@dataclass(eq=False)
class _RecipeTraining:
    run: RecipeRun
    latents: torch.Tensor
    options: ProofOptions

    @property
    def subject(self) -> str:
        return f"a {self.run.subject}"

    @property
    def layers(self) -> LoraLayers | OftLayers | None:
        return self.run.layers

    def step(self) -> None:
        self.run.step(self.latents, self.options.batch, self.options.seed)


@contextmanager
def _use(training: _Training) -> Generator[None]:
    if isinstance(training, _OwnTraining):
        with training.learner.averaged():
            yield
    else:
        yield


@torch.no_grad()
def _measure_drift(model: LatentModel, training: _Training) -> float:
    layers = training.layers
    if layers is None:
        return 0.0
    loss = ConceptLoss(model=model, layers=layers)
    noise = torch.Generator().manual_seed(77)
    native = model.contract.native.to_latent(model.contract.factor)
    shape = (DRIFT_ROWS, model.contract.latent_channels, *native.shape_hw)
    # Pure noise and the words alone: no picture of the subject is in it.
    times = torch.full((DRIFT_ROWS,), int(0.9 * model.contract.schedule.steps))
    batch = loss.add_noise(torch.zeros(shape), times, torch.randn(shape, generator=noise))
    texts = [text.replace("{}", "man") for text in RETENTION]
    context = encode_captions(model.text.towers[0], [texts[at % len(texts)] for at in range(DRIFT_ROWS)])
    return measure_drift(loss.predict(batch, context), loss.predict_base(batch, context))


def make_concept(folder: Path, subject: int) -> ConceptFolder:
    """Write five drawings of a person and return the concept of them."""
    for name in ("pictures", "masks"):
        (folder / name).mkdir()
    paths = write_character(folder, subject, name=TRIGGER)
    pictures: list[ConceptPicture] = []
    for path in paths:
        mask = path.with_name(f"{path.stem}_mask.png")
        caption = path.with_suffix(".txt").read_text().strip()
        digests = file_sha256(path), file_sha256(mask)
        path.rename(folder / "pictures" / path.name)
        mask.rename(folder / "masks" / mask.name)
        pictures.append(
            ConceptPicture(file=path.name, sha256=digests[0], caption=caption, mask=mask.name, mask_sha256=digests[1])
        )
    noun = make_character(subject).kind
    return ConceptFolder(path=folder, name=TRIGGER, trigger=TRIGGER, noun=noun, pictures=tuple(pictures))


def read_drawn(pictures: NDArray[np.uint8]) -> Readings:
    """Read pictures of mini's size, uint8 [N, H, W, 3]."""
    readings = read_pictures(pictures)
    assert readings is not None, "pictures of mini have the reader's size"
    return readings


def _score(result: MethodResult, floor: NDArray[np.uint8], true: NDArray[np.uint8]) -> list[Measurement]:
    return score_identity(read_drawn(result.drawn), read_drawn(floor), read_drawn(true))


def _make_rows(
    name: str, results: Sequence[MethodResult], scores: Sequence[list[Measurement]], steps: int
) -> list[Measurement]:
    rows: list[Measurement] = []
    for kind in ("identity", "identity by features", "marks right, with the concept"):
        values = [row.value for found in scores for row in found if row.name == kind]
        if values:
            unit = "%" if kind.startswith("marks") else "of 1"
            mean = measure_mean(f"{kind}: {name}", np.asarray(values), unit)
            rows.append(mean if len(values) > 1 else _widen(mean, scores[0], kind))
    right = [ok for result in results for ok in rate_claims(read_drawn(result.drawn), PROMPTS, len(SEEDS))]
    rows.append(measure_share(f"rest of the prompt right: {name}", sum(right), len(right)))
    drifts = np.asarray([100 * result.drift for result in results])
    rows.append(Measurement(name=f"drift, ungated: {name}", value=float(drifts.mean()), unit="%", n=len(drifts)))
    pace = np.asarray([result.seconds / steps for result in results])
    rows.append(Measurement(name=f"CPU s a step: {name}", value=float(pace.mean()), unit="s", n=len(pace)))
    return rows


def _widen(mean: Measurement, found: list[Measurement], kind: str) -> Measurement:
    """Return the row of a single subject with the interval over its pictures."""
    own = next(row for row in found if row.name == kind)
    return replace(mean, low=own.low, high=own.high, n=own.n, note="one subject: the interval is over its pictures")


def _write_sheet(path: Path, true: NDArray[np.uint8], floor: NDArray[np.uint8], found: dict[str, MethodResult]) -> None:
    """Write a sheet: drawings, the class alone, then each method, a row each."""
    rows = [true, floor, *(result.drawn for result in found.values())]
    wide = max(len(row) for row in rows)
    side = true.shape[1]
    sheet = np.full((len(rows) * side, wide * side, 3), 255, np.uint8)
    for at, row in enumerate(rows):
        sheet[at * side : (at + 1) * side, : len(row) * side] = np.hstack(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
