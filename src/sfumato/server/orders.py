"""From the settings of a job to the value that its worker draws or looks by, for each kind of job.

Pictures come as ids, and `find_path` says where they lie. A setting that a kind does not take is an error. Knows no
queue and no surface. Start reading at `make_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast

from sfumato import api
from sfumato.core import serialize
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.customize.concept import find_concept
from sfumato.customize.settings import ConceptSettings
from sfumato.server.names import check_concept, check_name, check_names
from sfumato.server.queue.records import JOB_KINDS, JobKind
from sfumato.workflows.check.check import check_box
from sfumato.workflows.enlarge.enlarge import check_method, read_size_of
from sfumato.workflows.find.find import check_finder, check_kinds
from sfumato.workflows.personalize.rebase import RebaseOptions
from sfumato.workflows.personalize.teach import TeachOptions
from sfumato.workflows.requests import METHOD_SETTINGS
from sfumato.workflows.stored import read_stored

FindPath: TypeAlias = Callable[[str], Path]
_PICTURES = ("init", "mask")
_LISTS = ("loras", "embeddings", "concepts", "focus_boxes", "hand_boxes", "styles", "regions", "controls")
# A job writes PNG, which has no levels for the detail of focus.
_VALUES = frozenset(field.name for field in fields(api.RequestValues)) - {"focus_detail"}
_EDITS = frozenset({"mask_blur", "mask_fill", "only_masked", "mask_padding", "outpaint"})
_VARIATION = frozenset({"variation_seed", "variation_strength"})
_INPUTS = frozenset({"init", "strength", "mask", "batch", "seamless", "regions", "controls"}) | _EDITS | _VARIATION
_SHAPE = frozenset({"size", "method", *METHOD_SETTINGS}) | _INPUTS
_FOCUS = frozenset({"focus", "focus_boxes"})
_ANATOMY = frozenset({"anatomy", "hand_boxes", "unrepaired"})
_LEARNING = frozenset({"rung", "vectors", "rank", "keep", "seed"})
TAKES: Mapping[JobKind, frozenset[str]] = {
    "render": _VALUES,
    "upscale": (_VALUES - _INPUTS) | {"picture", "scale"},
    "focus": (_VALUES - _SHAPE - _ANATOMY) | {"picture"},
    "repair": (_VALUES - _SHAPE - _FOCUS - {"anatomy"}) | {"picture"},
    "check": frozenset({"picture", "prompt", "hand_boxes", "by"}),
    "find": frozenset({"picture", "kinds", "by"}),
    "teach": _LEARNING | {"concept", "model", "minutes", "steps", "fresh", "score"},
    "rebase": frozenset({"concept", "model", "old", "steps", "withhold", "score"}),
}
_ENLARGING = frozenset({"picture", "scale", "size", "method", "upscaler"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargeOrder:
    """A picture that grows without a model, by a network or by resampling."""

    kind: ClassVar[str] = "enlarge"
    path: str
    size: PixelSize
    method: str | None = None
    upscaler: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOrder:
    """A picture that is looked at: hands are checked where `check`, else things are found.

    `boxes` are hands, as "X,Y,W,H" in px. `prompt` None takes the one that the picture stores.
    """

    kind: ClassVar[str] = "look"
    path: str
    check: bool
    prompt: str | None = None
    boxes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    by: str = ""

    def list_boxes(self) -> list[PixelBox]:
        """Return the hands as boxes."""
        return [api.HandBox.parse(text).box for text in self.boxes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachOrder:
    """A concept that a model is taught; `rung` to `seed` are settings of `ConceptSettings`, None where nothing is said."""

    kind: ClassVar[str] = "teach"
    concept: str
    model: str
    rung: str | None = None
    vectors: int | None = None
    rank: int | None = None
    keep: float | None = None
    seed: int | None = None
    minutes: float | None = None
    steps: int | None = None
    fresh: bool = False
    score: bool = True

    def to_options(self, device: str = "auto") -> TeachOptions:
        """Return the options of the training.

        Raises:
            RequestError: a value is out of range, or has no effect.
        """
        said = {name: getattr(self, name) for name in _LEARNING if getattr(self, name) is not None}
        return TeachOptions(
            concept=self.concept,
            model=self.model,
            settings=ConceptSettings(**said),
            minutes=self.minutes,
            steps=self.steps,
            fresh=self.fresh,
            device=device,
            score=self.score,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseOrder:
    """A concept that is carried from the base `old` ("" is the only one that was taught) to `model`."""

    kind: ClassVar[str] = "rebase"
    concept: str
    model: str
    old: str = ""
    steps: int | None = None
    withhold: bool = False
    score: bool = True

    def to_options(self, device: str = "auto") -> RebaseOptions:
        """Return the options of the carrying.

        Raises:
            RequestError: a value is out of range.
        """
        return RebaseOptions(
            concept=self.concept,
            new=self.model,
            old=self.old,
            steps=self.steps,
            withhold=self.withhold,
            device=device,
            score=self.score,
        )


Order: TypeAlias = api.RenderRequest | EnlargeOrder | LookOrder | TeachOrder | RebaseOrder


def read_order(value: Mapping[str, Any]) -> Order:
    """Rebuild an order from the JSON values that the queue holds.

    Raises:
        RequestError: another version wrote it.
    """
    for order in (TeachOrder, RebaseOrder, LookOrder, EnlargeOrder):
        if value.get("kind") == order.kind:
            return serialize.from_json(order, dict(value), where="the job")
    return api.RenderRequest.from_json(dict(value))


def make_order(kind: str, said: Mapping[str, Any], find_path: FindPath, *, needs_prompt: bool = True) -> Order:
    """Return what a job of a kind does with the settings that were said; None says nothing.

    Raises:
        RequestError: no such kind, or a setting is wrong, has no effect, or names a file that is not there.
    """
    settings = {name: value for name, value in said.items() if value is not None}
    if kind not in JOB_KINDS:
        raise RequestError("there is no such kind of job", got=kind, do=f"Use {', '.join(JOB_KINDS)}.")
    known: JobKind = kind
    unknown = sorted(settings.keys() - TAKES[known])
    if unknown:
        do = f"It takes {', '.join(sorted(TAKES[known]))}."
        raise RequestError(f"a job of kind {kind} takes no such setting", got=", ".join(unknown), do=do)
    for name in _LISTS:
        if name in settings:
            settings[name] = tuple(settings[name])
    if known == "render":
        for name in _PICTURES:
            if name in settings:
                settings[name] = find_path(str(settings[name]))
        if "controls" in settings:
            settings["controls"] = tuple(_read_unit(one, find_path) for one in settings["controls"])
        return _make_render(settings, needs_prompt=needs_prompt)
    if known == "teach":
        return _make_teach(settings)
    if known == "rebase":
        return _make_rebase(settings)
    if "picture" not in settings:
        raise RequestError(f"a job of kind {kind} needs a `picture`", do="Send it to /api/v1/files, and name its id.")
    picture = find_path(str(settings.pop("picture")))
    if known in ("check", "find"):
        return _make_look(picture, settings, check=known == "check")
    if known == "upscale" and "model" not in settings and settings.get("method") != "cohesive":
        return _make_enlarge(picture, settings)
    return _make_change(known, picture, settings)


def _make_render(settings: dict[str, Any], *, needs_prompt: bool) -> api.RenderRequest:
    values = api.make_values(settings)
    check_names(values)
    contract = api.load_contract(values.model or api.DEFAULTS.model, vae=values.vae, prediction=values.prediction)
    return api.make_request(values, contract, needs_prompt=needs_prompt)


def _read_unit(said: Any, find_path: FindPath) -> api.ControlUnit:
    """Return a unit of control of named values, its picture by id.

    Raises:
        RequestError: a value has no name, or is no such unit.
    """
    known = {field.name for field in fields(api.ControlUnit)}
    unit = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    if not {"network", "picture"} <= unit.keys() <= known:
        raise RequestError(
            "a unit of `controls` names a network and a picture", do=f"Names: {', '.join(sorted(known))}."
        )
    limits = unit.get("thresholds")
    more: dict[str, Any] = {"thresholds": None if limits is None else tuple(limits)}
    more["picture"] = find_path(str(unit["picture"]))
    return api.ControlUnit(**unit | more)


def _make_change(kind: JobKind, picture: Path, settings: dict[str, Any]) -> api.RenderRequest:
    """Return the request that changes parts of a picture, or makes it grow, with the words that it carries."""
    scale = settings.pop("scale", None)
    values = api.make_values(settings)
    check_names(values)
    stored = None
    # A picture that a client sent carries no words of ours.
    with suppress(RequestError):
        stored, values, _ = read_stored(picture, values)
    model = values.model or (stored.model if stored else api.DEFAULTS.model)
    values = replace(values, model=model)
    contract = api.load_contract(
        model, vae=values.vae or (stored.vae if stored else None), prediction=values.prediction
    )
    if kind == "upscale":
        return api.make_upscale_request(replace(values, method=None), picture, contract, scale=scale)
    make = api.make_focus_request if kind == "focus" else api.make_repair_request
    return make(values, picture, contract, stored=stored)


def _make_enlarge(picture: Path, settings: dict[str, Any]) -> EnlargeOrder:
    unknown = sorted(settings.keys() - _ENLARGING)
    if unknown:
        raise RequestError(
            "these settings need a model", got=", ".join(unknown), do="Name a `model`, or leave them out."
        )
    method, upscaler = settings.get("method"), settings.get("upscaler")
    check_method(method, upscaler)
    if upscaler is not None:
        check_name("upscaler", upscaler)
    size = api.choose_upscale_size(read_size_of(picture), settings.get("size"), settings.get("scale"))
    return EnlargeOrder(path=str(picture), size=size, method=method, upscaler=upscaler)


def _make_look(picture: Path, settings: dict[str, Any], *, check: bool) -> LookOrder:
    boxes = tuple(_write_box(one) for one in settings.get("hand_boxes", ()))
    order = LookOrder(
        path=str(picture),
        check=check,
        prompt=settings.get("prompt"),
        boxes=boxes,
        kinds=tuple(sorted(check_kinds(settings.get("kinds", ())))),
        by=settings.get("by", ""),
    )
    check_finder(order.by)
    size = read_size_of(picture)
    for box in order.list_boxes():
        check_box(box, size)
    return order


def _write_box(one: str | api.HandBox) -> str:
    return one if isinstance(one, str) else f"{one.left},{one.top},{one.width},{one.height}"


def _make_teach(settings: dict[str, Any]) -> TeachOrder:
    _check_concept_and_bases("teach", settings, "model")
    order = TeachOrder(
        concept=settings["concept"],
        model=settings.get("model", api.DEFAULTS.model),
        **{name: settings[name] for name in _LEARNING if name in settings},
        minutes=settings.get("minutes"),
        steps=settings.get("steps"),
        fresh=settings.get("fresh", False),
        score=settings.get("score", True),
    )
    order.to_options()
    return order


def _make_rebase(settings: dict[str, Any]) -> RebaseOrder:
    _check_concept_and_bases("rebase", settings, "model", "old")
    if "model" not in settings:
        raise RequestError("a job of kind rebase needs a `model`", do="Name the base to carry the concept to.")
    order = RebaseOrder(**settings)
    order.to_options()
    return order


def _check_concept_and_bases(kind: JobKind, settings: dict[str, Any], *bases: str) -> None:
    if "concept" not in settings:
        raise RequestError(f"a job of kind {kind} needs a `concept`", do="Make it with sfumato concept new.")
    check_concept(settings["concept"])
    find_concept(settings["concept"])
    for name in bases:
        if settings.get(name) not in (None, api.DEFAULTS.model):
            check_name("checkpoint", settings[name])
