"""Control as clients of A1111's ControlNet extension know it: units of a call, lists of networks and modules, detection.

A module that is not here is refused by its name. Start reading at `read_control_units`, then `add_control_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, HTTPException
from PIL import Image
from pydantic import BaseModel, ConfigDict

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.core.request_parts.control import MOST_CONTROLS
from sfumato.models.control.modules import CANNY, MODULES, NONE, THRESHOLDS, make_control_picture
from sfumato.render.sampling.pixels import flatten
from sfumato.server.context import ServerContext
from sfumato.server.surfaces.a1111.bodies import ImageToImageBody, TextBody, read_base64, read_title

if TYPE_CHECKING:
    from sfumato.server.intake import Intake

SCRIPT = "controlnet"
_MODES = ("balanced", "prompt", "control")
_MODE_NAMES = ("Balanced", "My prompt is more important", "ControlNet is more important")
_FITS = ("stretch", "crop", "fill")
_FIT_NAMES = ("Just Resize", "Crop and Resize", "Resize and Fill")
_OLD_FITS = {
    "Scale to Fit (Inner Fit)": 1,
    "Inner Fit (Scale to Fit)": 1,
    "Envelope (Outer Fit)": 2,
    "Outer Fit (Shrink to Fit)": 2,
}
_NO_MODULES = ("", "none", "None")
# Fields of a unit that change a picture elsewhere and have no effect here, with the values that mean nothing.
_WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {
    "mask": (None, ""),
    "mask_image": (None, ""),
    "effective_region_mask": (None, ""),
    "advanced_weighting": (None, []),
    "inpaint_crop_input_image": (None, True, False),
    "hr_option": (None, "Both", "HiResFixOption.BOTH"),
}


class DetectBody(BaseModel):
    """Pictures whose control pictures are wanted."""

    model_config = ConfigDict(extra="allow")

    controlnet_module: str = NONE
    controlnet_input_images: list[str] = []
    controlnet_threshold_a: float = -1
    controlnet_threshold_b: float = -1


def add_control_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes of the extension."""

    @router.get("/controlnet/version")
    async def tell_version() -> dict[str, int]:
        return {"version": 3}

    @router.get("/controlnet/model_list")
    async def list_networks() -> dict[str, list[str]]:
        return {"model_list": await asyncio.to_thread(list_control_names)}

    @router.get("/controlnet/module_list")
    async def list_modules() -> dict[str, Any]:
        return {"module_list": list(MODULES), "module_detail": _describe_modules()}

    @router.get("/controlnet/control_types")
    async def list_types() -> dict[str, Any]:
        names = await asyncio.to_thread(list_control_names)
        row = {"model_list": ["None", *names], "default_option": NONE, "default_model": "None"}
        canny = [name for name in names if CANNY in name.lower()]
        mine = {"default_option": CANNY, "default_model": (canny or names or ["None"])[0]}
        kinds = {
            "All": row | {"module_list": list(MODULES)},
            "Canny": row | mine | {"module_list": [CANNY, NONE], "model_list": ["None", *canny]},
        }
        return {"control_types": kinds}

    @router.get("/controlnet/settings")
    async def tell_settings() -> dict[str, int]:
        return {"control_net_max_models_num": MOST_CONTROLS, "control_net_unit_count": MOST_CONTROLS}

    @router.post("/controlnet/detect")
    async def detect(body: DetectBody) -> dict[str, Any]:
        if body.controlnet_module not in MODULES and body.controlnet_module not in _NO_MODULES:
            raise HTTPException(422, f"Module {body.controlnet_module[:100]} not available")
        if not body.controlnet_input_images:
            raise HTTPException(422, "No image selected")
        if len(body.controlnet_input_images) > MOST_CONTROLS:
            raise HTTPException(422, f"At most {MOST_CONTROLS} images")
        packed = [read_base64(one) for one in body.controlnet_input_images]
        limits = (body.controlnet_threshold_a, body.controlnet_threshold_b)
        found = [
            await asyncio.to_thread(_detect, context.intake, one, body.controlnet_module, limits) for one in packed
        ]
        return {"images": found, "info": "Success"}


def list_control_names() -> list[str]:
    """List the control networks of the folder of models by name."""
    return [str(row["name"]) for row in api.list_models() if row.get("kind") == "control network"]


def read_control_units(body: TextBody, intake: Intake) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the units that a body means, as our own interface takes them, and the fields that have no effect.

    A unit without a picture takes the starting picture.

    Raises:
        HTTPException: 422, a module that is not here.
        RequestError, UnsafeFileError: a unit lacks its network or picture, or a value is none.
    """
    units, ignored = list[dict[str, Any]](), list[str]()
    for name, script in (body.alwayson_scripts or {}).items():
        if name.casefold() != SCRIPT:
            continue
        said = cast("Any", script.get("args")) if isinstance(script, dict) else script
        rows = cast("list[Any]", said if isinstance(said, list) else [said])
        for row in rows:
            if not isinstance(row, dict):
                continue
            unit = cast("dict[str, Any]", row)
            if unit.get("enabled", True) is False or unit.get("model") in (None, "", "None"):
                continue
            units.append(_read_unit(unit, body, intake))
            ignored += [f"ControlNet.{one}" for one, empty in _WITHOUT_EFFECT.items() if unit.get(one) not in empty]
    return units, tuple(dict.fromkeys(ignored))


def _read_unit(unit: dict[str, Any], body: TextBody, intake: Intake) -> dict[str, Any]:
    module = str(unit.get("module") or NONE)
    module = NONE if module in _NO_MODULES else module
    if module not in MODULES:
        raise HTTPException(422, f"ControlNet module {module[:100]} not found. Modules: {', '.join(MODULES)}")
    found: dict[str, Any] = {
        "network": read_title(str(unit["model"])),
        "picture": intake.keep_picture(_open_picture(unit, body, intake)).id,
        "module": module,
        "weight": _read_number(unit, "weight", 1.0),
        "start": _read_number(unit, "guidance_start", 0.0),
        "end": _read_number(unit, "guidance_end", 1.0),
        "mode": _MODES[_find(unit, "control_mode", _MODE_NAMES, 0)],
        # A prepared picture that is cropped keeps its pixels.
        "fit": _FITS[_find(unit, "resize_mode", _FIT_NAMES, 1)],
    }
    low, high = (_read_number(unit, f"threshold_{letter}", -1.0) for letter in "ab")
    if module == CANNY and (low >= 0 or high >= 0):
        # Below zero both mean the usual value.
        found["thresholds"] = [low if low >= 0 else THRESHOLDS[0], high if high >= 0 else THRESHOLDS[1]]
    return found


def _open_picture(unit: dict[str, Any], body: TextBody, intake: Intake) -> Image.Image:
    """Return the picture of a unit, under the names that versions of the extension gave it, else the starting picture."""
    sent = unit.get("image") or unit.get("input_image")
    if isinstance(sent, dict):
        sent = cast("dict[str, Any]", sent).get("image")
    if not sent and isinstance(body, ImageToImageBody) and body.init_images:
        sent = body.init_images[0]
    if not isinstance(sent, str):
        raise RequestError("a unit of ControlNet has no picture", do="Send it as `image`, in base64.")
    return intake.open_picture(read_base64(sent))


def _read_number(unit: dict[str, Any], name: str, usual: float) -> float:
    value = unit.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"`{name}` of a unit of ControlNet is a number", got=str(value)[:60])
    return float(value)


def _find(unit: dict[str, Any], name: str, names: tuple[str, ...], usual: int) -> int:
    """Return the place of a word in a list, which clients send as the word or as its number."""
    value = unit.get(name)
    if value is None:
        return usual
    place = _OLD_FITS.get(value, -1) if isinstance(value, str) and value not in names else value
    place = names.index(place) if isinstance(place, str) else place
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(names):
        do = f"Use {', '.join(names)}, or their numbers from 0."
        raise RequestError(f"`{name}` of a unit of ControlNet is another", got=str(value)[:60], do=do)
    return place


def _describe_modules() -> dict[str, Any]:
    slider = {"min": 1, "max": 255, "step": 1}
    sliders = [
        {"name": "Canny Low Threshold", "value": THRESHOLDS[0], **slider},
        {"name": "Canny High Threshold", "value": THRESHOLDS[1], **slider},
    ]
    return {NONE: {"model_free": False, "sliders": []}, CANNY: {"model_free": False, "sliders": sliders}}


def _detect(intake: Intake, packed: bytes, module: str, limits: tuple[float, float]) -> str:
    picture = intake.open_picture(packed)
    limits = (limits[0] if limits[0] >= 0 else THRESHOLDS[0], limits[1] if limits[1] >= 0 else THRESHOLDS[1])
    name = NONE if module in _NO_MODULES else module
    # As large as it is, but no more pixels than edges are found in.
    size = api.PixelSize(picture.width, picture.height)
    made = make_control_picture(flatten(picture), name, size=size, thresholds=limits if name == CANNY else None)
    stream = io.BytesIO()
    made.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
