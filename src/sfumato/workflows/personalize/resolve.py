"""The concepts of a request: from names to files of weights, and the gate that leaves them out where nothing names them.

Start reading at `list_active`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.customize.build import ConceptBuild, find_build
from sfumato.customize.concept import CONFIG, ConceptFolder, find_concept
from sfumato.customize.trigger import names_trigger

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel


@dataclass(frozen=True, eq=False, kw_only=True)
class ResolvedConcept:
    """Hold one concept of a request with what the request's model learned of it."""

    concept: ConceptFolder
    build: ConceptBuild
    weight: float

    @property
    def name(self) -> str:
        """Return the concept's name."""
        return self.concept.name

    @property
    def trigger(self) -> str:
        """Return the word that calls it."""
        return self.concept.trigger

    @property
    def embedding(self) -> Path:
        """Return the file of its vectors."""
        return self.build.embedding_path

    @property
    def loras(self) -> tuple[Path, ...]:
        """Return the file of its LoRA, or nothing."""
        return (self.build.lora_path,) if self.build.lora_path else ()

    def is_named(self, request: RenderRequest) -> bool:
        """Tell whether the prompt or the negative prompt says the trigger at any step."""
        return names_trigger(self.trigger, request.prompt, request.negative, steps=request.steps)

    def is_named_by(self, prompt: str, request: RenderRequest) -> bool:
        """Tell whether the words of a part of the picture say the trigger."""
        return names_trigger(self.trigger, prompt, steps=request.steps)


def find_concept_ref(text: str, base: str) -> ConceptRef:
    """Read `NAME` or `NAME:WEIGHT`, and note what a base learned of that concept.

    Raises:
        RequestError: there is no such concept, the base was not taught it, or the weight has no effect.
        StorageError: its files are damaged.
    """
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        # What follows the colon is no number, so the colon belongs to the path.
        name, weight = text, 1.0
    concept = find_concept(name if colon else text)
    build = find_build(concept, base)
    if weight != 1.0 and not (build.lora and math.isfinite(weight)):
        do = "Leave it out, or use a weight in the prompt: (bo:1.2)."
        raise RequestError("a weight has no effect on a concept of vectors alone", got=text, do=do)
    return ConceptRef(path=str(concept.path), sha256=build.sha256, weight=weight)


def resolve_concepts(request: RenderRequest) -> tuple[ResolvedConcept, ...]:
    """Open the concepts of a request.

    Raises:
        RequestError: one is gone, was trained again since, or two have the same trigger.
        StorageError: its files are damaged.
    """
    found: list[ResolvedConcept] = []
    for ref in request.concepts:
        # A moved folder of concepts is found by name; the digest says whether it is the same.
        concept = find_concept(ref.path if (Path(ref.path) / CONFIG).is_file() else Path(ref.path).name)
        build = find_build(concept, request.model)
        if build.sha256 != ref.sha256:
            got = f"{concept.name}: {build.sha256[:12]}, in the request {ref.sha256[:12]}"
            do = "Name the concept anew as `concepts` to draw with what it is now."
            raise RequestError("the concept was trained again since this request was made", got=got, do=do)
        if any(one.trigger.lower() == concept.trigger.lower() for one in found):
            do = "Leave one of them out."
            raise RequestError("two concepts have the same trigger", got=concept.trigger, do=do)
        found.append(ResolvedConcept(concept=concept, build=build, weight=ref.weight))
    return tuple(found)


def list_active(request: RenderRequest) -> tuple[ResolvedConcept, ...]:
    """Return the concepts whose trigger the prompts of a request say; while it is drawn the others change no bit.

    Raises: as `resolve_concepts`.
    """
    return tuple(one for one in resolve_concepts(request) if one.is_named(request))


def list_used(request: RenderRequest) -> tuple[ResolvedConcept, ...]:
    """Return the concepts whose trigger a request says anywhere, in the prompt of a focus box too.

    Raises: as `resolve_concepts`.
    """
    boxes = () if request.focus is None else request.focus.boxes
    return tuple(
        one
        for one in resolve_concepts(request)
        if one.is_named(request) or any(one.is_named_by(box.prompt, request) for box in boxes)
    )


@contextmanager
def attach_concepts(model: LatentModel, concepts: Iterable[ResolvedConcept]) -> Generator[None]:
    """Attach concepts for a while; the weights are bit-identical afterwards."""
    with ExitStack() as attached:
        for concept in concepts:
            attached.callback(model.attach_embedding(concept.embedding, concept.trigger).detach)
            for path in concept.loras:
                attached.callback(model.attach_lora(path, concept.weight).detach)
        yield


@contextmanager
def attach_for_part(model: LatentModel, request: RenderRequest, prompt: str) -> Generator[None]:
    """Attach for a while the concepts that the words of a part name and the prompt of the picture does not."""
    wanted = [one for one in list_used(request) if one.is_named_by(prompt, request) and not one.is_named(request)]
    with attach_concepts(model, wanted):
        yield
