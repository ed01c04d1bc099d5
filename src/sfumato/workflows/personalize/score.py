"""Score a concept: draw its locked prompts with and without it, read the pictures, and fill the card.

The pictures are those of ordinary renders. Marks and places are read by the reader of mini's world; of another base
nothing is read, and the card says so. Start reading at `score_concept`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import load_picture, save_picture
from sfumato.core.cards import Card, Measurement, bootstrap_interval, measure_share
from sfumato.core.errors import StorageError
from sfumato.core.escape import write_command
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.critic.reader.reader import Readings, load_reader
from sfumato.customize.build import ConceptBuild
from sfumato.customize.concept import ConceptFolder, read_json_file, write_json
from sfumato.customize.create import EVALUATION
from sfumato.models.describe import MINI
from sfumato.workflows.personalize.page import CardPictures, write_page
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run import run_all
from sfumato.workflows.run_options import RunOptions

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

STEPS = 20
# Prompts without the trigger: with the concept named or not, the pictures are to be the same to the bit.
UNNAMED = ("a photo of a {}", "a red house in a green meadow", "two people on a beach", "an open hand")
UNNAMED_STEPS = 8
# Questions of the reader whose answers make a person: what stays from picture to picture.
MARKS = ("kind", "hair", "hair_style", "skin", "glasses", "beard", "top", "top_colour")
# A word of a prompt -> what the reader is to answer.
CLAIMS = {
    "meadow": ("place", "meadow"), "beach": ("place", "beach"), "street": ("place", "street"), "room": ("place", "room"),
    "waving": ("pose", "waving"), "walking": ("pose", "walking"), "cartoon": ("style", "cartoon"),
}  # fmt: skip


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

    Cost: two pictures for each prompt and seed, and eight short ones.

    Raises:
        StorageError: `evaluation.json` is broken, or the disk refuses.
    """
    prompts, seeds = _read_evaluation(concept)
    refs = (ConceptRef(path=str(concept.path), sha256=build.sha256),)
    usual = RenderRequest(
        prompt="-", size=model.contract.native, guidance=model.contract.guidance, model=base, steps=STEPS
    )
    with_concept = _draw_all(prompts, concept.trigger, seeds, replace(usual, concepts=refs), model)
    without = _draw_all(prompts, f"a {concept.noun}", seeds, usual, model)
    photos = _load_photos(concept, model.contract.native)
    drawn, floor, real = (_read(prompts, some) for some in (with_concept, without, photos))
    rows = [*_score_marks(drawn, floor, real), *_score_claims(drawn, floor, len(seeds))]
    rows += _score_damage(concept, build, model, replace(usual, concepts=refs, steps=UNNAMED_STEPS))
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


def _read_evaluation(concept: ConceptFolder) -> tuple[tuple[str, ...], tuple[int, ...]]:
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


def _draw_all(
    prompts: Sequence[str], subject: str, seeds: Sequence[int], request: RenderRequest, model: LatentModel
) -> NDArray[np.uint8]:
    found: list[NDArray[np.uint8]] = []
    for prompt in prompts:
        for seed in seeds:
            wanted = replace(request, prompt=prompt.replace("{}", subject), seed=seed)
            (picture,) = run_all(prepare(wanted, RunOptions(), model=model), model=model)
            found.append(np.asarray(picture.image))
    return np.stack(found)


def _load_photos(concept: ConceptFolder, native: PixelSize) -> NDArray[np.uint8]:
    found: list[NDArray[np.uint8]] = []
    for picture in concept.pictures:
        image = load_picture(concept.find_picture(picture)).convert("RGB")
        scale = min(image.width / native.width, image.height / native.height)
        left, top = (
            (side - want * scale) / 2 for side, want in zip(image.size, (native.width, native.height), strict=True)
        )
        box = (left, top, left + native.width * scale, top + native.height * scale)
        found.append(np.asarray(image.resize((native.width, native.height), Image.Resampling.LANCZOS, box=box)))
    return np.stack(found)


def _read(prompts: tuple[str, ...], pictures: NDArray[np.uint8]) -> Scored:
    reader = load_reader(Path(str(resources.files("sfumato"))) / "data" / "mini" / "reader")
    side = reader.shape.picture_px
    fits = pictures.shape[1:3] == (side, side)
    return Scored(prompts, pictures, reader.read(pictures) if fits else None)


def _cut(scored: Scored, prompt: int, seeds: int) -> list[NDArray[np.uint8]]:
    return list(scored.pictures[prompt * seeds : (prompt + 1) * seeds])


def _score_marks(drawn: Scored, floor: Scored, real: Scored) -> list[Measurement]:
    """Compare the marks of drawn people with those that most photos show: the class is the floor, the photos the ceiling."""
    if drawn.readings is None or floor.readings is None or real.readings is None:
        return []
    count = len(real.readings)
    marks = _find_marks(real.readings, range(count))
    shares = _share_marks(drawn.readings, marks)
    low = float(_share_marks(floor.readings, marks).mean())
    # Each photo is compared with what the others show, so that none vouches for itself.
    left_out = [_find_marks(real.readings, [at for at in range(count) if at != one]) for one in range(count)]
    high = float(np.mean([_share_marks(real.readings, left_out[one])[one] for one in range(count)]))
    scale = high - low
    rows = [
        _measure("marks right, with the concept", 100 * shares, "%"),
        _measure("marks right, the class alone (floor)", 100 * _share_marks(floor.readings, marks), "%"),
        Measurement(name="marks right, the photos (ceiling)", value=100 * high, unit="%", n=count),
    ]
    if scale > 0:
        note = "0 is the class alone, 1 the photos; the interval is over pictures, floor and ceiling held"
        rows.insert(0, _measure("identity", (shares - low) / scale, "of 1", note=note))
    return rows


def _find_marks(readings: Readings, pictures: Sequence[int]) -> dict[str, object]:
    return {head: Counter(readings.word(at, head) for at in pictures).most_common(1)[0][0] for head in MARKS}


def _share_marks(readings: Readings, marks: dict[str, object]) -> NDArray[np.float64]:
    hits = [[readings.word(at, head) == word for head, word in marks.items()] for at in range(len(readings))]
    return np.asarray(hits, np.float64).mean(axis=1)


def _score_claims(drawn: Scored, floor: Scored, seeds: int) -> list[Measurement]:
    """Count what else the prompts say (place, pose, style): a concept must not swallow it."""
    rows: list[Measurement] = []
    for scored, what in ((drawn, "with the concept"), (floor, "the class alone")):
        if scored.readings is None:
            continue
        answers = [
            scored.readings.word(at * seeds + seed, head) == word
            for at, prompt in enumerate(scored.prompts)
            for name, (head, word) in CLAIMS.items()
            if name in prompt
            for seed in range(seeds)
        ]
        rows.append(measure_share(f"rest of the prompt right, {what}", sum(answers), len(answers)))
    return rows


def _score_damage(
    concept: ConceptFolder, build: ConceptBuild, model: LatentModel, request: RenderRequest
) -> list[Measurement]:
    prompts = tuple(prompt.replace("{}", concept.noun) for prompt in UNNAMED)
    gated = _draw_all(prompts, "", (1,), request, model)
    alone = _draw_all(prompts, "", (1,), replace(request, concepts=()), model)
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


def _measure(name: str, values: NDArray[np.float64], unit: str, *, note: str = "") -> Measurement:
    low, high = bootstrap_interval(values)
    return Measurement(name=name, value=float(values.mean()), unit=unit, n=len(values), low=low, high=high, note=note)


def _write_notes(drawn: Scored, photos: int) -> tuple[str, ...]:
    if drawn.readings is None:
        return ("identity and the rest of the prompt are not scored: no reader knows this base's pictures",)
    marks = f"marks are {', '.join(MARKS)}, as mini's reader answers them on most of {photos} photos"
    return (marks, "the reader has no word for what mini never saw: a new colour counts as the nearest that it knows")
