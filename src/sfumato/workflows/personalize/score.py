"""Score a concept: draw its locked prompts with and without it, read the pictures, and fill the card.

The pictures are those of ordinary renders. Marks and places are read by the reader of mini's world; of another base
nothing is read, and the card says so. Start reading at `score_concept`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats.images import save_picture
from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import StorageError
from sfumato.core.escape import write_command
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.customize.build import ConceptBuild
from sfumato.customize.concept import ConceptFolder, read_json_file, write_json
from sfumato.customize.create import EVALUATION
from sfumato.customize.examples import load_native
from sfumato.models.describe import MINI
from sfumato.workflows.personalize.likeness import (
    MARKS,
    find_marks,
    measure_mean,
    rate_claims,
    read_pictures,
    score_copies,
    score_diversity,
    score_identity,
    share_marks,
)
from sfumato.workflows.personalize.page import CardPictures, write_page
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run import run_all
from sfumato.workflows.run_options import RunOptions

if TYPE_CHECKING:
    from sfumato.critic.reader.reader import Readings
    from sfumato.models.latent_model import LatentModel

STEPS = 20
# Prompts without the trigger: with the concept named or not, the pictures are to be the same to the bit.
UNNAMED = ("a photo of a {}", "a red house in a green meadow", "two people on a beach", "an open hand")
UNNAMED_STEPS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class ConceptScores:
    """Hold the card and its page."""

    card: Card
    page: Path


@dataclass(frozen=True, eq=False)
class Scored:
    """Hold pictures that were drawn for a card, uint8 [N, H, W, 3], prompt by prompt, and what was read of them."""

    prompts: tuple[str, ...]
    pictures: NDArray[np.uint8]
    readings: Readings | None


def score_concept(concept: ConceptFolder, build: ConceptBuild, model: LatentModel, base: str) -> ConceptScores:
    """Draw and score the locked evaluation of a concept; write `card.json` and `card.html` into its folder.

    Cost: two pictures for each prompt and seed, four more, and eight short ones.

    Raises:
        StorageError: `evaluation.json` is broken, or the disk refuses.
    """
    prompts, seeds = read_evaluation(concept)
    refs = (ConceptRef(path=str(concept.path), sha256=build.sha256),)
    usual = RenderRequest(
        prompt="-", size=model.contract.native, guidance=model.contract.guidance, model=base, steps=STEPS
    )
    with_concept = draw_all(prompts, concept.trigger, seeds, replace(usual, concepts=refs), model)
    without = draw_all(prompts, f"a {concept.noun}", seeds, usual, model)
    photos = load_photos(concept, model.contract.native)
    drawn, floor, real = (Scored(prompts, some, read_pictures(some)) for some in (with_concept, without, photos))
    rows = [*_score_likeness(drawn, floor, real, len(seeds)), *_score_claims(drawn, floor, len(seeds))]
    rows += score_copies(with_concept, photos, without)
    rows += _score_damage(concept, build, model, replace(usual, concepts=refs, steps=UNNAMED_STEPS))
    rows += _score_bleed(concept, build, model, usual, floor)
    rows += _list_cost(build)
    words = ["sfumato", "concept", "card", concept.name, *([] if base == MINI else ["--model", base])]
    card = Card(
        title=f"{concept.name}: {concept.trigger}, a {concept.noun}, on {base}, rung {build.settings.get('rung')}",
        rows=tuple(rows),
        seed=seeds[0],
        command=write_command(*words),
        notes=_write_notes(drawn, len(photos)),
    )
    shown = CardPictures(
        photos=list(photos),
        drawn={p.replace("{}", concept.trigger): _cut(drawn, at, len(seeds)) for at, p in enumerate(prompts)},
        without={p.replace("{}", f"a {concept.noun}"): _cut(floor, at, len(seeds)) for at, p in enumerate(prompts)},
    )
    write_json(
        concept.path / "card.json", {**card.to_json(), "build_sha256": build.sha256, "base_sha256": build.base_sha256}
    )
    page = concept.path / "card.html"
    text = write_page(concept, build, card, shown)
    write_atomic(page, lambda stream: stream.write(text.encode()))
    return ConceptScores(card=card, page=page)


def draw_preview(concept: ConceptFolder, model: LatentModel, base: str) -> Path:
    """Draw one picture of a concept whose training is in force on a model; return its file.

    Raises:
        StorageError: the disk refuses.
    """
    prompt = f"a portrait of {concept.trigger}"
    request = RenderRequest(prompt=prompt, size=model.contract.native, guidance=model.contract.guidance, model=base)
    (picture,) = run_all(prepare(request, RunOptions(), model=model), model=model)
    path = concept.path / "preview.png"
    save_picture(path, picture.image, {})
    return path


def read_evaluation(concept: ConceptFolder) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the locked prompts and seeds of a concept.

    Raises:
        StorageError: `evaluation.json` is broken or empty.
    """
    path = concept.path / EVALUATION
    evaluation = read_json_file(path, what="the concept's evaluation")
    try:
        prompts, seeds = tuple(map(str, evaluation["prompts"])), tuple(map(int, evaluation["seeds"]))
    except (TypeError, KeyError, ValueError) as error:
        do = "Make the concept anew with sfumato concept new."
        raise StorageError("the concept's evaluation cannot be read", got=f"{path}: {error}", do=do) from error
    if not prompts or not seeds:
        raise StorageError("the concept's evaluation is empty", got=str(path), do="Name prompts and seeds in it.")
    return prompts, seeds


def draw_all(
    prompts: Sequence[str], subject: str, seeds: Sequence[int], request: RenderRequest, model: LatentModel
) -> NDArray[np.uint8]:
    """Draw each prompt with each seed, {} replaced by the subject; uint8 [N, H, W, 3], prompt by prompt."""
    found: list[NDArray[np.uint8]] = []
    for prompt in prompts:
        for seed in seeds:
            wanted = replace(request, prompt=prompt.replace("{}", subject), seed=seed)
            (picture,) = run_all(prepare(wanted, RunOptions(), model=model), model=model)
            found.append(np.asarray(picture.image))
    return np.stack(found)


def load_photos(concept: ConceptFolder, native: PixelSize) -> NDArray[np.uint8]:
    """Return the photos of a concept at the size of a model: uint8 [N, H, W, 3]."""
    return np.stack([np.asarray(load_native(concept.find_picture(one), native)) for one in concept.pictures])


def _cut(scored: Scored, prompt: int, seeds: int) -> list[NDArray[np.uint8]]:
    return list(scored.pictures[prompt * seeds : (prompt + 1) * seeds])


def _score_likeness(drawn: Scored, floor: Scored, real: Scored, seeds: int) -> list[Measurement]:
    if drawn.readings is None or floor.readings is None or real.readings is None:
        return []
    rows = score_identity(drawn.readings, floor.readings, real.readings)
    return [*rows, *score_diversity(drawn.readings, floor.readings, seeds)]


def _score_bleed(
    concept: ConceptFolder, build: ConceptBuild, model: LatentModel, request: RenderRequest, floor: Scored
) -> list[Measurement]:
    """Draw the class with the LoRA always in force, as other programs do, and say how far it moves.

    One picture for each prompt, of the card's first seed.
    """
    if build.lora_path is None:
        return []
    seeds = len(floor.pictures) // len(floor.prompts)
    _, (seed, *_) = read_evaluation(concept)
    with model.attach_lora(build.lora_path):
        ungated = draw_all(floor.prompts, f"a {concept.noun}", (seed,), request, model)
    alone = floor.pictures[::seeds]
    colours = np.abs(ungated.mean(axis=(1, 2)) - alone.mean(axis=(1, 2))).mean(axis=1) * 100 / 255
    rows = [
        measure_mean("colour drift of the class, ungated", colours, "%", note="mean colour, share of the full scale")
    ]
    readings, without = read_pictures(ungated), read_pictures(alone)
    if readings is not None and without is not None:
        photos = read_pictures(load_photos(concept, model.contract.native))
        assert photos is not None, "they have the size of the pictures"
        marks = find_marks(photos, range(len(photos)))
        moved = 100 * (share_marks(readings, marks) - share_marks(without, marks))
        rows.append(measure_mean("class bleed, ungated", moved, "points", note="marks of the concept on its class"))
    return rows


def _score_claims(drawn: Scored, floor: Scored, seeds: int) -> list[Measurement]:
    """Count what else the prompts say (place, pose, style): a concept must not swallow it."""
    rows: list[Measurement] = []
    for scored, what in ((drawn, "with the concept"), (floor, "the class alone")):
        if scored.readings is not None:
            answers = rate_claims(scored.readings, scored.prompts, seeds)
            rows.append(measure_share(f"rest of the prompt right, {what}", sum(answers), len(answers)))
    return rows


def _score_damage(
    concept: ConceptFolder, build: ConceptBuild, model: LatentModel, request: RenderRequest
) -> list[Measurement]:
    prompts = tuple(prompt.replace("{}", concept.noun) for prompt in UNNAMED)
    gated = draw_all(prompts, "", (1,), request, model)
    alone = draw_all(prompts, "", (1,), replace(request, concepts=()), model)
    changed = int((gated != alone).any(axis=(1, 2, 3)).sum())
    rows = [measure_share("pictures that change, of prompts without the trigger", changed, len(prompts))]
    best = next((check for check in build.checks if check["step"] == build.best_step), None)
    if best is not None:
        note = (
            "in programs that cannot leave a LoRA out: how far predictions of other prompts move, share of their power"
        )
        rows.append(Measurement(name="drift, ungated", value=100 * best["drift"], unit="%", n=16, note=note))
    return rows


def _list_cost(build: ConceptBuild) -> list[Measurement]:
    size = sum((build.folder / name).stat().st_size for name in build.files)
    return [
        Measurement(name="training", value=build.seconds, unit="s", n=1),
        Measurement(name="steps; those kept", value=build.best_step, unit=f"of {build.steps}", n=1),
        Measurement(name="size of the files", value=size / 1e6, unit="MB", n=len(build.files)),
    ]


def _write_notes(drawn: Scored, photos: int) -> tuple[str, ...]:
    if drawn.readings is None:
        return ("identity and the rest of the prompt are not scored: no reader knows this base's pictures",)
    marks = f"marks are {', '.join(MARKS)}, as mini's reader answers them on most of {photos} photos"
    return (marks, "the reader has no word for what mini never saw: a new colour counts as the nearest that it knows")
