"""Routes that extensions of A1111 add and plug-ins ask for: those of Auto-Photoshop, and of ControlNet.

Every answer is honest and in the shape that the plug-in reads: empty lists, and refusals in words. Start reading at
`make_plugin_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

from fastapi import APIRouter, HTTPException
from PIL import Image, ImageFilter
from pydantic import BaseModel, ConfigDict

from sfumato import api
from sfumato.models.control.modules import MODULES
from sfumato.server.context import ServerContext
from sfumato.server.surfaces.a1111.bodies import read_base64
from sfumato.server.surfaces.a1111.control import add_control_routes, list_control_names

PHOTOSHOP = "/sdapi/auto-photoshop-sd"
# The version of the plug-in whose requests were read.
_PHOTOSHOP_VERSION = "1.4.1"
_MOST_EXPANSION_PX = 256


class MaskBody(BaseModel):
    """A mask that is to grow, and by how much."""

    model_config = ConfigDict(extra="allow")

    mask: str
    mask_expansion: int = 0
    blur: int = 0


class PictureTextBody(BaseModel):
    """A picture whose texts are wanted."""

    model_config = ConfigDict(extra="allow")

    image: str = ""


def make_plugin_routes(context: ServerContext) -> APIRouter:
    """Return the routes of extensions."""
    router = APIRouter(tags=["a1111"])
    _add_photoshop_routes(router, context)
    add_control_routes(router, context)
    return router


def _add_photoshop_routes(router: APIRouter, context: ServerContext) -> None:
    @router.get(f"{PHOTOSHOP}/heartbeat")
    async def beat() -> dict[str, bool]:
        return {"heartbeat": True}

    @router.get(f"{PHOTOSHOP}/version")
    async def tell_version() -> dict[str, str]:
        return {"version": _PHOTOSHOP_VERSION}

    @router.get(f"{PHOTOSHOP}/vae/list")
    async def list_vaes() -> list[str]:
        return await asyncio.to_thread(_list_names, "autoencoder")

    @router.get(f"{PHOTOSHOP}/lora/list")
    async def list_loras() -> list[str]:
        return await asyncio.to_thread(_list_names, "LoRA")

    @router.post(f"{PHOTOSHOP}/mask/expansion/")
    @router.post(f"{PHOTOSHOP}/mask/expansion")
    async def grow_mask(body: MaskBody) -> dict[str, str]:
        picture = await asyncio.to_thread(context.intake.open_picture, read_base64(body.mask))
        return {"mask": await asyncio.to_thread(_grow, picture, body.mask_expansion, body.blur)}

    @router.post(f"{PHOTOSHOP}/controlnet/filter")
    async def filter_models() -> dict[str, list[str]]:
        return {"module_list": list(MODULES), "model_list": ["None", *await asyncio.to_thread(list_control_names)]}

    @router.post(f"{PHOTOSHOP}/search/image/")
    @router.post(f"{PHOTOSHOP}/search/image")
    async def search() -> None:
        raise HTTPException(501, "This server fetches nothing from the internet.")

    @router.post(f"{PHOTOSHOP}/readPngMetadata")
    @router.post(f"{PHOTOSHOP}/png_info/")
    async def read_texts(body: PictureTextBody) -> dict[str, Any]:
        packed = read_base64(body.image)
        await asyncio.to_thread(context.intake.open_picture, packed)
        with Image.open(io.BytesIO(packed), formats=["PNG", "JPEG", "WEBP"]) as picture:
            text = picture.info.get("parameters", "")
        return {"info": text if isinstance(text, str) else ""}


def _grow(picture: Image.Image, expansion_px: int, blur_px: int) -> str:
    mask = picture.convert("RGB").convert("L")
    grown = min(_MOST_EXPANSION_PX, max(0, expansion_px))
    for _ in range(grown):
        mask = mask.filter(ImageFilter.MaxFilter(3))
    if blur_px > 0:
        mask = mask.filter(ImageFilter.GaussianBlur(min(_MOST_EXPANSION_PX, blur_px)))
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _list_names(kind: str) -> list[str]:
    return [str(row["name"]) for row in api.list_models() if row.get("kind") == kind]
