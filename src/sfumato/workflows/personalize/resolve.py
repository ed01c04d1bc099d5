"""The concepts of a request: from names to files of weights, and the gate that leaves them out where nothing names them.

Start reading at `list_active`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.canvas.formats.images import load_picture
from sfumato.core.errors import RequestError
from sfumato.core.files import expand_path
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.prompt.region import AUTO, check_region, make_region_mask, pack_region
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.customize.build import ConceptBuild, find_build
from sfumato.customize.concept import CONFIG, ConceptFolder, find_concept
from sfumato.customize.trigger import names_trigger

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.latent_model import LatentModel

MASK_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True, eq=False, kw_only=True)
class ResolvedConcept:
    """Hold one concept of a request with what the request's model learned of it."""

    concept: ConceptFolder
    build: ConceptBuild
    weight: float
    region: str = ""
    words: str = ""

    @property
    def name(self) -> str:
        """Return the concept's name."""
        return self.concept.name

    @property
    def trigger(self) -> str:
        """Return the word that calls it."""
        return self.concept.trigger

    @property
    def embedding(self) -> Path | None:
        """Return the file of its vectors, None after full tuning."""
        return self.build.embedding_path

    @property
    def loras(self) -> tuple[Path, ...]:
        """Return the file of its LoRA, or nothing."""
        return (self.build.lora_path,) if self.build.lora_path else ()

    def is_named(self, request: RenderRequest) -> bool:
        """Tell whether the prompt, the negative prompt or its region's words say the trigger at any step."""
        if self.words:
            return names_trigger(self.trigger, self.words)
        return names_trigger(self.trigger, request.prompt, request.negative, steps=request.steps)

    def is_named_by(self, prompt: str, request: RenderRequest) -> bool:
        """Tell whether the words of a part of the picture say the trigger."""
        return names_trigger(self.trigger, prompt, steps=request.steps)


def find_concept_ref(text: str, base: str) -> ConceptRef:
    """Read `NAME`, `NAME:WEIGHT` or `NAME@REGION:WORDS`, and note what a base learned of that concept.

    Raises:
        RequestError: there is no such concept, the base was not taught it, or the weight or region has no effect.
        StorageError: its files are damaged.
    """
    name, place = _split_region(text)
    if place:
        region, _, words = place.partition(":")
        found = replace(find_concept_ref(name, base), region=read_region(region.strip()), words=words.strip())
        concept = find_concept(found.path)
        rung, trigger = find_build(concept, base).settings.get("rung"), concept.trigger
        if rung in ("oft", "full"):
            do = "Teach it by the rung lora, or leave its region out."
            raise RequestError("an OFT or a whole model cannot act in a region", got=f"{concept.name}: {rung}", do=do)
        if found.words and not names_trigger(trigger, found.words):
            raise RequestError("the words of a region do not say the trigger", got=found.words, do=f"Say {trigger}.")
        return found
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        # What follows the colon is no number, so the colon belongs to the path.
        name, weight = text, 1.0
    concept = find_concept(name if colon else text)
    build = find_build(concept, base)
    if weight != 1.0 and not ((build.lora or build.model) and math.isfinite(weight)):
        do = "Leave it out, or use a weight in the prompt: (bo:1.2)."
        raise RequestError("a weight has no effect on a concept of vectors alone", got=text, do=do)
    return ConceptRef(path=str(concept.path), sha256=build.sha256, weight=weight)


def _split_region(text: str) -> tuple[str, str]:
    """Return a concept's name and what follows its @; folders may have an @ of their own."""
    for at in (place for place, sign in enumerate(text) if sign == "@"):
        name = text[:at]
        if (Path(name) / CONFIG).is_file() or len(Path(name).parts) == 1:
            return name, text[at + 1 :]
    return text, ""


def read_region(text: str) -> str:
    """Return the text of a region; a mask file, white where the concept acts, becomes cells.

    Raises:
        RequestError: it is no region, or the file is no picture.
    """
    if Path(text).suffix.lower() not in MASK_SUFFIXES:
        check_region(text)
        return text
    picture = load_picture(expand_path(text, what="the mask of a region")).convert("L")
    return pack_region(np.asarray(picture, np.float32) / np.float32(255))


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
        found.append(
            ResolvedConcept(concept=concept, build=build, weight=ref.weight, region=ref.region, words=ref.words)
        )
    if request.regions or any(one.region for one in found):
        _check_regional(request)
    return tuple(found)


def _check_regional(request: RenderRequest) -> None:
    """Check that a request draws the whole picture at once, with one prompt: else nobody knows where a region lies."""
    do = "Use the method native, one prompt from first to last step, and focus and anatomy off."
    parsed = parse_prompt(request.prompt)
    single = parsed.is_constant and len(parsed.at_step(0, 1)) == 1
    if request.method.kind != "native" or not single:
        raise RequestError("regions need a picture that is drawn in one piece", got=request.method.kind, do=do)
    if request.focus is not None or (request.anatomy is not None and request.anatomy.mode == "repair"):
        raise RequestError("regions exclude passes that redraw parts", do=do)
    for one in request.regions:
        words = parse_prompt(one.words)
        if not words.is_constant or len(words.at_step(0, 1)) != 1:
            raise RequestError("the words of a region are one prompt that does not change", got=one.words[:60])


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
def attach_concepts(
    model: LatentModel, concepts: Iterable[ResolvedConcept], request: RenderRequest | None = None
) -> Generator[None]:
    """Attach concepts for a while; the weights are bit-identical afterwards.

    `request` is the picture that concepts with a region are placed in.
    """
    with ExitStack() as attached:
        regional: list[ResolvedConcept] = []
        for concept in concepts:
            if concept.build.model_path is not None:
                attached.callback(model.attach_networks(concept.build.model_path, concept.weight).detach)
                continue
            assert concept.embedding is not None, "all but whole models have vectors"
            attached.callback(model.attach_embedding(concept.embedding, concept.trigger).detach)
            if concept.region and request is not None:
                regional.append(concept)
                continue
            for path in concept.loras:
                attached.callback(model.attach_lora(path, concept.weight).detach)
        if request is not None and (regional or request.regions):
            attached.enter_context(_attach_regional(model, regional, request))
        yield


def _attach_regional(
    model: LatentModel, concepts: Sequence[ResolvedConcept], request: RenderRequest
) -> AbstractContextManager[None]:
    """Attach concepts and words to their regions, after all embeddings: the words of one may name another concept."""
    # A plan resolves concepts and computes nothing.
    import torch

    from sfumato.customize.file_forms import read_kohya
    from sfumato.models.adapters.regions import AdapterRegion, attach_regions
    from sfumato.models.adapters.tensor_file import open_tensors

    (part,) = parse_prompt(request.prompt).at_step(0, 1)
    every = {one.words: parse_prompt(one.words).at_step(0, 1)[0] for one in concepts if one.words}
    texts = [part.segments, parse_prompt(request.negative).at_step(0, 1)[0].segments]
    chunks = max(model.text.count_chunks(one) for one in texts)
    for one in request.regions:
        if model.text.count_chunks(parse_prompt(one.words).at_step(0, 1)[0].segments) > chunks:
            do = "Shorten them, or write a longer prompt for the whole picture."
            raise RequestError("the words of a region are longer than the prompt allows", got=one.words[:60], do=do)
    encode = partial(model.encode_prompt, size=request.size, clip_skip=request.clip_skip, chunks=chunks)
    height, width = request.size.to_latent(model.contract.factor).shape_hw
    regions: list[AdapterRegion] = []
    for one in concepts:
        factors: dict[str, Tensor] = {}
        for path in one.loras:
            found, alpha = read_kohya(open_tensors(path).tensors)
            if any(name.startswith("text_encoder") for name in found):
                do = "Teach it without `text_lora`, or leave its region out."
                raise RequestError("a LoRA in the text encoders cannot act in a region", got=one.name, do=do)
            rank = int(one.build.settings["rank"])
            scale = one.weight * alpha / rank
            factors |= {name: value * (scale if name.endswith(".up") else 1.0) for name, value in found.items()}
        mask = None if one.region == AUTO else torch.from_numpy(make_region_mask(one.region, height, width))
        words = encode([every[one.words]]).parts[0].hidden if one.words else None
        positions = model.text.find_words(part.segments, one.trigger)
        regions.append(AdapterRegion(factors=factors, mask=mask, context=words, positions=positions))
    for one in request.regions:
        mask = torch.from_numpy(make_region_mask(one.region, height, width))
        words = encode([parse_prompt(one.words).at_step(0, 1)[0]]).parts[0].hidden
        regions.append(AdapterRegion(factors={}, mask=mask, context=words))
    return attach_regions(model.unet, regions, encode([part]).parts[0].hidden, (height, width))


@contextmanager
def attach_for_part(model: LatentModel, request: RenderRequest, prompt: str) -> Generator[None]:
    """Attach for a while the concepts that the words of a part name and the prompt of the picture does not."""
    wanted = [one for one in list_used(request) if one.is_named_by(prompt, request) and not one.is_named(request)]
    with attach_concepts(model, wanted):
        yield
