"""Carry a concept to another base: map, filter, polish a little, and say what was lost.

The old build stays; the new one is written beside it. Start reading at `rebase`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.errors import InterruptedRender, RequestError
from sfumato.core.files import file_sha256
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.core.validate import check_int
from sfumato.customize.build import (
    BASE_DIGITS,
    ConceptBuild,
    check_base,
    find_build,
    hash_base,
    list_builds,
    write_build,
)
from sfumato.customize.concept import (
    ConceptFolder,
    ConceptPicture,
    check_pictures,
    find_concept,
    read_json_file,
    write_json,
)
from sfumato.customize.file_forms import read_kohya
from sfumato.customize.learn import Learner
from sfumato.customize.rebase import filter_factors, map_vectors, read_table, read_weights
from sfumato.customize.settings import ConceptSettings
from sfumato.models.adapters.tensor_file import open_tensors
from sfumato.models.load import load_model
from sfumato.workflows.personalize.likeness import make_likeness
from sfumato.workflows.personalize.score import ConceptScores, draw_all, score_concept

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.latent_model import LatentModel

# Of the steps of the first training.
POLISH_FRAC = 0.1
SYNTHETIC_PROMPTS = (
    "a portrait of {}", "{} in a street", "{} on a beach", "{} in a meadow", "{} in a room", "{} waving",
)  # fmt: skip
SYNTHETIC_SEEDS = (31, 32)
# Of the pictures that the old build draws, so many of the best are learned from.
SYNTHETIC_KEPT = 6
LINEAGE = "lineage.json"


@dataclass(frozen=True, kw_only=True)
class RebaseOptions:
    """Say what to carry: from the base `old` ("" is the only one that was taught) to the base `new`.

    `steps` polish the result, None is a tenth of the first training. `withhold` polishes on pictures that the old build
    draws, as if the concept's own were gone.
    """

    concept: str
    new: str
    old: str = ""
    steps: int | None = None
    withhold: bool = False
    device: str = "auto"
    score: bool = True

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_int("`steps`", self.steps, low=0, high=100_000)


@dataclass(frozen=True, kw_only=True)
class RebasedConcept:
    """Hold the new build, how it came, and the identity before and after where a reader knows the pictures."""

    concept: ConceptFolder
    build: ConceptBuild
    said: tuple[str, ...]
    seconds: float
    scores: ConceptScores | None = None
    before: float | None = None
    after: float | None = None

    @property
    def kept(self) -> float | None:
        """Return the share of the identity that was kept."""
        return self.after / self.before if self.after is not None and self.before else None

    def to_json(self) -> dict[str, Any]:
        """Return what `concept rebase --json` prints."""
        return {
            "concept": self.concept.name,
            "build": self.build.to_json(),
            "how": list(self.said),
            "seconds": round(self.seconds, 1),
            "identity_before": self.before,
            "identity_after": self.after,
            "identity_kept": self.kept,
            "card": self.scores.card.to_json() if self.scores else None,
        }


def rebase(
    options: RebaseOptions,
    *,
    on_event: Callable[[str], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RebasedConcept:
    """Carry a concept to another base; both bases' files are only read. `should_stop` is asked after every step.

    Raises:
        InterruptedRender: it was to stop; nothing was written.
        RequestError: there is no such concept or build, or both bases are the same.
        ModelError: the bases share hardly a word, or the new one cannot be trained on.
        StorageError: the disk refuses.
    """

    def check_stop() -> None:
        if should_stop is not None and should_stop():
            raise InterruptedRender("the concept was not carried to its end", do="Start it again.")

    def tell(said: str) -> None:
        check_stop()
        if on_event is not None:
            on_event(said)

    concept = find_concept(options.concept)
    old_ref = options.old or _find_only_base(concept)
    build = find_build(concept, old_ref)
    if (rung := build.settings.get("rung")) in ("oft", "full"):
        do = "Teach the new base from the pictures, or use the rung lora."
        raise RequestError("vectors and LoRAs alone are carried to another base", got=rung, do=do)
    digest = hash_base(options.new)
    if digest == build.base_sha256:
        raise RequestError("both bases have the same weights", got=options.new, do="Name another base.")
    if not options.withhold:
        check_pictures(concept)
    began = time.monotonic()
    tell(f"opening {old_ref}")
    old = load_model(old_ref, device=options.device, dtype="fp32")
    table = read_table(old)
    factors = {} if build.lora_path is None else read_kohya(open_tensors(build.lora_path).tensors)[0]
    weights = read_weights(old.unet, [name.removesuffix(".up") for name in factors if name.endswith(".up")])
    before = _read_identity(concept, build)
    with TemporaryDirectory(prefix="sfumato-rebase-") as folder:
        source = concept
        if options.withhold:
            tell("drawing pictures to learn from with the old base")
            source = _draw_photos(concept, build, old, old_ref, Path(folder))
        del old
        tell(f"opening {options.new}")
        new = load_model(options.new, device=options.device, dtype="fp32")
        assert build.embedding_path is not None, "whole models were refused"
        ((_, vectors),) = open_tensors(build.embedding_path).tensors.items()
        mapped, how = map_vectors(vectors, table, read_table(new))
        kept, lora_how = filter_factors(factors, weights, new.unet) if factors else ({}, "")
        said = [how, *([lora_how] if lora_how else [])]
        values = {"vectors": mapped.to(new.device)} | {f"unet.{name}": t.to(new.device) for name, t in kept.items()}
        tell("polishing")
        made, steps = _polish(source, new, build, values, options, check_stop)
    said.append(f"{steps} steps of polish on {'drawn' if options.withhold else 'the'} pictures")
    seconds = time.monotonic() - began
    written = write_build(
        concept,
        made,
        ConceptBuild(
            folder=concept.builds / digest[:BASE_DIGITS],
            base=str(options.new),
            base_sha256=digest,
            embedding="",
            settings=build.settings,
            steps=steps,
            best_step=steps,
            strength=build.strength,
            seconds=round(seconds, 1),
            stopped=f"rebased from {old_ref}",
        ),
        new.contract,
    )
    check_base(options.new, digest)
    scores = after = None
    if options.score:
        tell("drawing the pictures of the card")
        scores = score_concept(concept, written, new, options.new)
        after = next((row.value for row in scores.card.rows if row.name == "identity"), None)
    rebased = RebasedConcept(
        concept=concept, build=written, said=tuple(said), seconds=seconds, scores=scores, before=before, after=after
    )
    _note_lineage(concept, rebased, build)
    return rebased


def _find_only_base(concept: ConceptFolder) -> str:
    bases = [build.base for build in list_builds(concept)]
    if len(bases) != 1:
        do = "Name the base to carry it from as `old`." if bases else "Train it first: sfumato concept train."
        raise RequestError("it is open which base knows the concept", got=", ".join(bases) or "none", do=do)
    return bases[0]


def _polish(
    source: ConceptFolder,
    model: LatentModel,
    build: ConceptBuild,
    values: dict[str, Tensor],
    options: RebaseOptions,
    check_stop: Callable[[], None],
) -> tuple[dict[str, Tensor], int]:
    """Train a little from the carried tensors; return the averaged weights and how many steps."""
    settings = ConceptSettings(**build.settings)
    words = settings.rung == "words"
    steps = 0 if words else options.steps if options.steps is not None else math.ceil(POLISH_FRAC * build.steps)
    if words or not steps:
        return values, 0
    # As many vectors as were learned, whatever the settings say today.
    settings = replace(settings, vectors=len(values["vectors"]))
    learner = Learner(source, model, settings)
    try:
        learner.begin_from(values)
        for _ in range(steps):
            learner.step()
            check_stop()
        return {name: value.detach().clone() for name, value in learner.averages.items()}, steps
    finally:
        learner.close()


def _draw_photos(
    concept: ConceptFolder, build: ConceptBuild, model: LatentModel, base: str, folder: Path
) -> ConceptFolder:
    """Draw pictures with the old build, keep the likest, and return a concept of them without masks."""
    refs = (ConceptRef(path=str(concept.path), sha256=build.sha256),)
    contract = model.contract
    request = RenderRequest(
        prompt="-", size=contract.native, guidance=contract.guidance, model=base, concepts=refs, steps=20
    )
    drawn = draw_all(SYNTHETIC_PROMPTS, concept.trigger, SYNTHETIC_SEEDS, request, model)
    order = _order_by_likeness(drawn)
    (folder / "pictures").mkdir()
    pictures: list[ConceptPicture] = []
    for at in order[:SYNTHETIC_KEPT]:
        path = folder / "pictures" / f"{at}.png"
        save_picture(path, Image.fromarray(drawn[at]), {})
        caption = SYNTHETIC_PROMPTS[at // len(SYNTHETIC_SEEDS)].replace("{}", concept.trigger)
        pictures.append(ConceptPicture(file=path.name, sha256=file_sha256(path), caption=caption))
    return replace(concept, path=folder, pictures=tuple(pictures))


def _order_by_likeness(drawn: np.ndarray) -> Sequence[int]:
    """Return the places of pictures, those most like the others first: the photos may be gone.

    As they came where nobody reads them.
    """
    likeness = make_likeness(drawn)
    if likeness is None:
        return list(range(len(drawn)))
    return [int(at) for at in np.argsort(-likeness.rate(drawn), kind="stable")]


def _read_identity(concept: ConceptFolder, build: ConceptBuild) -> float | None:
    """Return the identity on the card of a build, None where the card belongs to another."""
    path = concept.path / "card.json"
    if not path.is_file():
        return None
    card = read_json_file(path, what="the concept's card")
    if card.get("build_sha256") != build.sha256:
        return None
    return next((row["value"] for row in card.get("rows", []) if row.get("name") == "identity"), None)


def _note_lineage(concept: ConceptFolder, rebased: RebasedConcept, build: ConceptBuild) -> None:
    path = concept.path / LINEAGE
    rows = read_json_file(path, what="the concept's lineage") if path.is_file() else []
    row = {
        "from": build.base_sha256, "to": rebased.build.base_sha256, "how": list(rebased.said),
        "seconds": round(rebased.seconds, 1), "identity_kept": rebased.kept,
    }  # fmt: skip
    write_json(path, [*rows, row])
