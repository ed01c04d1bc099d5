"""The routes of A1111 that change finished pictures: enlarging one or many, and describing one, which nothing here can.

Start reading at `add_extras_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.server.context import ServerContext
from sfumato.server.surfaces.a1111.bodies import read_base64

# The name that clients send where nobody chose: the network that suits the picture, see `workflows.enlarge`.
AUTO_UPSCALER = "ESRGAN_4x"
_MOST_PICTURES = 64


class ExtrasBody(BaseModel):
    """What is said of enlarging; unknown fields are taken, and restoring of faces has no effect."""

    model_config = ConfigDict(extra="allow")

    resize_mode: int = 0
    upscaling_resize: float = 2.0
    upscaling_resize_w: int = 512
    upscaling_resize_h: int = 512
    upscaling_crop: bool = True
    upscaler_1: str = "None"


class SingleBody(ExtrasBody):
    """One picture as base64."""

    image: str = ""


class NamedPicture(BaseModel):
    """One picture of many."""

    model_config = ConfigDict(extra="allow")

    data: str
    name: str = ""


class BatchBody(ExtrasBody):
    """Many pictures."""

    image_list: Annotated[list[NamedPicture], Field(alias="imageList", max_length=_MOST_PICTURES)]


def add_extras_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes."""

    @router.post("/extra-single-image")
    async def enlarge_one(body: SingleBody) -> dict[str, Any]:
        return {"image": await _enlarge(context, body, body.image), "html_info": ""}

    @router.post("/extra-batch-images")
    async def enlarge_many(body: BatchBody) -> dict[str, Any]:
        return {"images": [await _enlarge(context, body, one.data) for one in body.image_list], "html_info": ""}

    @router.post("/interrogate")
    async def describe(body: dict[str, Any]) -> None:
        del body
        # Clients show the words of a 404 for a model that is not there; a made-up caption would be worse.
        raise HTTPException(404, "Model not found: nothing on this server describes pictures")


async def _enlarge(context: ServerContext, body: ExtrasBody, text: str) -> str:
    picture = await asyncio.to_thread(context.intake.open_picture, read_base64(text))
    said = _choose_size(body, picture)
    name = body.upscaler_1.casefold()
    grown = (max(said[0], picture.width), max(said[1], picture.height))
    if name == "none" or grown == picture.size:
        return await asyncio.to_thread(_pack, _fit(picture, said, body))
    kept = await asyncio.to_thread(context.intake.keep_picture, picture.convert("RGB"))
    settings = {"picture": kept.id, "size": f"{grown[0]}x{grown[1]}"}
    if name != AUTO_UPSCALER.casefold():
        # Resampling that is not here has a better sister that is.
        settings["upscaler"] = api.DEFAULTS.upscaler if name in ("nearest", "lanczos") else body.upscaler_1
    submit = partial(context.intake.submit, surface="a1111", kind="upscale")
    job = await context.wait_for_end(context.tell_queued(await asyncio.to_thread(submit, settings)).id)
    if job.state != "done" or not job.files:
        error = dict(job.error or {"what": f"the job was {job.state}"})
        raise HTTPException(500, f"{error.get('what')}. {error.get('do') or ''}".strip())
    path = await asyncio.to_thread(context.intake.find_path, job.files[0].id)
    if grown == said:
        return base64.b64encode(await asyncio.to_thread(path.read_bytes)).decode()
    with Image.open(path, formats=["PNG"]) as opened:
        return await asyncio.to_thread(_pack, _fit(opened.convert("RGB"), said, body))


def _choose_size(body: ExtrasBody, picture: Image.Image) -> tuple[int, int]:
    if body.resize_mode == 1:
        sides = (body.upscaling_resize_w, body.upscaling_resize_h)
        if min(sides) < 1:
            raise RequestError("a side has at least 1 pixel", got=f"{sides[0]}x{sides[1]}")
        if body.upscaling_crop:
            return sides
        scale = min(sides[0] / picture.width, sides[1] / picture.height)
    else:
        scale = body.upscaling_resize
        if not 0.01 <= scale <= 100.0:
            raise RequestError("`upscaling_resize` lies between 0.01 and 100", got=scale)
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def _fit(picture: Image.Image, size: tuple[int, int], body: ExtrasBody) -> Image.Image:
    if picture.size == size:
        return picture
    if body.resize_mode == 1 and body.upscaling_crop:
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _pack(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()
