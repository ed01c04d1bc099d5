"""Scripts of A1111 that mean something here: ADetailer is focus, upscaling scripts are our methods, grids are many jobs.

A script that is not here is refused in the words that clients know. Knows no route. Start reading at `read_scripts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from fastapi import HTTPException

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.server.queue.records import JobKind
from sfumato.server.surfaces.a1111.bodies import AUTOMATIC, ImageToImageBody, TextBody
from sfumato.server.surfaces.a1111.control import SCRIPT as CONTROL_SCRIPT
from sfumato.workflows.requests import choose_seed
from sfumato.workflows.series.axes import (
    REPLACE,
    GridAxis,
    Variant,
    list_matrix,
    list_prompts,
    list_variants,
    read_values,
)

TEXT_SCRIPTS = ("prompt matrix", "prompts from file or textbox", "x/y/z plot")
PICTURE_SCRIPTS = ("sd upscale", "ultimate sd upscale")
_CELL_PX = 8
# A1111 names an axis by its place in a list that differs between text and picture; other places are not here.
_TEXT_AXES = (
    "nothing", "seed", "var. seed", "var. strength", "steps", "", "cfg scale", "prompt s/r", "", "sampler", "",
    "checkpoint name",
)  # fmt: skip
_PICTURE_AXES = (
    "nothing", "seed", "var. seed", "var. strength", "steps", "cfg scale", "", "prompt s/r", "", "sampler",
    "checkpoint name",
)  # fmt: skip
_AXES = {
    "seed": "seed",
    "var. seed": "variation_seed",
    "var. strength": "variation_strength",
    "steps": "steps",
    "cfg scale": "guidance",
    "prompt s/r": REPLACE,
    "sampler": "sampler",
    "schedule type": "schedule",
    "checkpoint name": "model",
    "denoising": "strength",
    "vae": "vae",
    "clip skip": "clip_skip",
    "size": "size",
}
# The start of a detector's name, and the kind of focus that it stands for.
_DETECTORS = {"face": "face", "mediapipe_face": "face", "hand": "hand", "person": "person"}
_DETAILER_DEFAULTS = frozenset({"ad_model", "ad_tab_enable", "is_api"})


@dataclass(frozen=True, kw_only=True)
class ScriptPlan:
    """The jobs that a call means, and how their pictures are laid out; `ignored` names what had no effect."""

    variants: tuple[Variant, ...]
    kind: JobKind = "render"
    has_sheet: bool = False
    columns: int | None = None
    column_labels: tuple[str, ...] = ()
    row_labels: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def read_scripts(body: TextBody, settings: Mapping[str, Any]) -> ScriptPlan:
    """Return the jobs that a body means with its scripts.

    Raises:
        HTTPException: 422, a script that is not here.
        RequestError: its arguments are wrong.
    """
    words, ignored = _read_always_on(body)
    settings = dict(settings) | ({"focus": ",".join(words)} if words else {})
    name = (body.script_name or "").casefold()
    args = cast("list[Any]", body.extra.get("script_args") or [])
    if name in AUTOMATIC:
        plan = ScriptPlan(variants=(Variant(settings=settings),))
    elif name in PICTURE_SCRIPTS and isinstance(body, ImageToImageBody):
        plan = _read_upscale(name, args, settings)
    elif name in TEXT_SCRIPTS:
        # One seed for all, so that only what was asked for differs.
        plan = _read_series(name, args, settings | {"seed": choose_seed(settings.get("seed"))}, body)
    else:
        raise HTTPException(422, f"Script '{body.script_name}' not found")
    if plan.kind == "upscale" and settings.get("controls"):
        ignored = (*ignored, "ControlNet")
    return replace(plan, ignored=ignored)


def _read_series(name: str, args: list[Any], settings: dict[str, Any], body: TextBody) -> ScriptPlan:
    if name == "prompt matrix":
        variants = tuple(list_matrix(settings))
        return ScriptPlan(variants=variants, has_sheet=True)
    if name == "prompts from file or textbox":
        text = max((one for one in args if isinstance(one, str)), key=len, default="")
        if text.lstrip().startswith("--"):
            raise RequestError("lines with options are not read", do="Write a prompt a line.")
        return ScriptPlan(variants=tuple(list_prompts(settings, text)))
    axes = _read_axes(args, _PICTURE_AXES if isinstance(body, ImageToImageBody) else _TEXT_AXES)
    if not axes:
        return ScriptPlan(variants=(Variant(settings=settings),))
    variants = tuple(list_variants(settings, axes))
    columns = len(axes[0].values)
    return ScriptPlan(
        variants=variants,
        has_sheet=True,
        columns=columns * int(settings.get("batch") or 1),
        column_labels=tuple(one.labels[0] for one in variants[:columns]),
        row_labels=tuple(", ".join(one.labels[1:]) for one in variants[::columns]) if len(axes) > 1 else (),
    )


def _read_axes(args: list[Any], known: tuple[str, ...]) -> list[GridAxis]:
    # Newer versions put what was picked from a list behind the text of each axis.
    stride = 3 if len(args) > 2 and (isinstance(args[2], list) or args[2] in (None, "")) else 2
    found = list[GridAxis]()
    for at in range(0, 3 * stride, stride):
        if at + 1 >= len(args):
            break
        kind, text = args[at], args[at + 1]
        if stride == 3 and args[at + 2 : at + 3] and args[at + 2] and not text:
            text = args[at + 2]
        if isinstance(kind, int):
            kind = known[kind] if 0 <= kind < len(known) else ""
        if str(kind).casefold() == "nothing":
            continue
        setting = _AXES.get(str(kind).casefold())
        if setting is None:
            raise RequestError("this axis is not here", got=args[at], do=f"Axes: {', '.join(sorted(_AXES))}.")
        values = tuple(text) if isinstance(text, list) else read_values(str(text))
        if setting in (REPLACE, "sampler", "schedule", "model", "vae", "size"):
            values = tuple(str(one) for one in values)
        found.append(GridAxis(name=setting, values=values))
    return found


def _read_upscale(name: str, args: list[Any], settings: dict[str, Any]) -> ScriptPlan:
    """Return the job that makes the starting picture grow: by our cohesive method, whose windows leave no seams."""
    said = api.PixelSize.parse(str(settings["size"]))
    scale = 0.0
    try:
        if name == "sd upscale":
            scale = float(args[3]) if len(args) > 3 else api.DEFAULTS.scale
        elif int(args[14]) == 1:
            said = api.PixelSize(int(args[15]), int(args[16]))
        elif int(args[14]) == 2:
            scale = float(args[17])
    except (IndexError, TypeError, ValueError) as error:
        raise RequestError(f"the arguments of {name} are others than this server knows", got=len(args)) from error
    if scale:
        if not 1.0 < scale <= 100.0:
            raise RequestError("the scale lies between 1 and 100", got=scale)
        said = api.PixelSize(int(said.width * scale), int(said.height * scale))
    sides = [max(_CELL_PX, side // _CELL_PX * _CELL_PX) for side in (said.width, said.height)]
    dropped = ("init", "strength", "mask", "batch", "size", "mask_blur", "mask_fill", "only_masked", "mask_padding")
    dropped = (*dropped, "variation_seed", "variation_strength", "controls")
    kept = {name: value for name, value in settings.items() if name not in dropped}
    more = {"picture": settings["init"], "size": f"{sides[0]}x{sides[1]}", "level_strength": settings.get("strength")}
    more["model"] = settings.get("model") or api.DEFAULTS.model
    return ScriptPlan(variants=(Variant(settings=kept | more),), kind="upscale")


def _read_always_on(body: TextBody) -> tuple[list[str], tuple[str, ...]]:
    """Return the kinds of focus that ADetailer means, and its settings that have no effect."""
    words, ignored = list[str](), list[str]()
    for name, script in (body.alwayson_scripts or {}).items():
        said = cast("Any", script.get("args")) if isinstance(script, dict) else script
        units = cast("list[Any]", said if isinstance(said, list) else [said])
        if name.casefold() == CONTROL_SCRIPT:
            # Its pictures are read where they are kept.
            continue
        if name.casefold() != "adetailer":
            if any(_unit_is_in_use(unit) for unit in units):
                raise HTTPException(422, f"always on script {name[:100]} not found")
            continue
        if any(unit is False for unit in units[:1]):
            continue
        for unit in units:
            if not isinstance(unit, dict) or unit.get("ad_tab_enable") is False:
                continue
            model = str(unit.get("ad_model") or "None")
            kind = next((kind for start, kind in _DETECTORS.items() if model.startswith(start)), None)
            if model == "None":
                continue
            if kind is None:
                raise HTTPException(422, f"ADetailer model {model[:100]} not found")
            words += [kind] if kind not in words else []
            ignored += [f"ADetailer.{one}" for one in cast("dict[str, Any]", unit) if one not in _DETAILER_DEFAULTS]
    return words, tuple(dict.fromkeys(ignored))


def _unit_is_in_use(unit: Any) -> bool:
    if isinstance(unit, dict):
        found = cast("dict[str, Any]", unit)
        return bool(found) and found.get("enabled", True) is not False and found.get("model") not in (None, "", "None")
    return bool(unit)
