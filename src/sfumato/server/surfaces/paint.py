"""The routes of auto-sd-paint-ext, Krita's older plug-in: a list of everything every three seconds, and three that draw.

Pictures that are painted into come back with the mask as transparency. Start reading at `make_paint_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict

from sfumato import api
from sfumato.server.context import ServerContext
from sfumato.server.queue.records import JobRecord
from sfumato.server.surfaces.a1111.bodies import AUTOMATIC, read_base64, read_title
from sfumato.server.surfaces.a1111.extras import AUTO_UPSCALER

PREFIX = "/sdapi/interpause"
_CELL_PX = 8
_FILLS = ("surround", "original", "noise", "grey")


class PaintBody(BaseModel):
    """What the plug-in sends with every picture; unknown fields are taken."""

    model_config = ConfigDict(extra="allow")

    prompt: str = ""
    negative_prompt: str = ""
    sampler_name: str = ""
    steps: int | None = None
    cfg_scale: float | None = None
    denoising_strength: float | None = None
    seed: int = -1
    batch_count: int = 1
    batch_size: int = 1
    orig_width: int = 512
    orig_height: int = 512
    sd_model: str = ""
    sd_vae: str = ""
    clip_skip: int = 1
    tiling: bool = False
    src_img: str = ""
    mask_img: str | None = None
    is_inpaint: bool = False
    invert_mask: bool = False
    inpainting_fill: int = 1
    upscaler_name: str = "None"

    def to_settings(self) -> dict[str, Any]:
        """Return the settings of a job, without pictures.

        Raises:
            HTTPException: 404 "Sampler not found".
        """
        if self.sampler_name:
            try:
                api.make_sampler(self.sampler_name)
            except api.RequestError as error:
                raise HTTPException(404, "Sampler not found") from error
        sides = [max(_CELL_PX, side // _CELL_PX * _CELL_PX) for side in (self.orig_width, self.orig_height)]
        model = read_title(self.sd_model)
        return {
            "prompt": self.prompt,
            "negative": (self.negative_prompt or None) if self.cfg_scale != 1 else None,
            "sampler": self.sampler_name or None,
            "steps": self.steps,
            "guidance": self.cfg_scale,
            "seed": None if self.seed < 0 else self.seed,
            "batch": max(1, self.batch_count) * max(1, self.batch_size),
            "size": f"{sides[0]}x{sides[1]}",
            "model": None if model.casefold() in AUTOMATIC else model,
            "vae": None if self.sd_vae.casefold() in AUTOMATIC else self.sd_vae,
            "clip_skip": self.clip_skip if self.clip_skip > 1 else None,
            "seamless": "both" if self.tiling else None,
        }


def make_paint_routes(context: ServerContext) -> APIRouter:
    """Return the routes of the plug-in."""
    router = APIRouter(prefix=PREFIX, tags=["auto-sd-paint-ext"])

    @router.get("/config")
    async def describe() -> dict[str, Any]:
        return await asyncio.to_thread(_describe)

    @router.post("/txt2img")
    async def draw_text(body: PaintBody, request: Request) -> dict[str, Any]:
        _refuse_hidden(request)
        job = await _order(context, body.to_settings())
        return await asyncio.to_thread(_answer, context, job, None)

    @router.post("/img2img")
    async def draw_image(body: PaintBody, request: Request) -> dict[str, Any]:
        _refuse_hidden(request)
        settings, mask = await asyncio.to_thread(_add_pictures, context, body)
        job = await _order(context, settings)
        return await asyncio.to_thread(_answer, context, job, mask)

    @router.post("/upscale")
    async def enlarge(body: PaintBody, request: Request) -> dict[str, str]:
        _refuse_hidden(request)
        picture = await asyncio.to_thread(context.intake.open_picture, read_base64(body.src_img))
        kept = await asyncio.to_thread(context.intake.keep_picture, picture.convert("RGB"))
        settings: dict[str, Any] = {"picture": kept.id, "scale": api.DEFAULTS.scale}
        if body.upscaler_name.casefold() not in (*AUTOMATIC, AUTO_UPSCALER.casefold()):
            settings["upscaler"] = body.upscaler_name
        job = await _order(context, settings, kind="upscale")
        return {"output": (await asyncio.to_thread(_answer, context, job, None))["outputs"][0]}

    return router


def _refuse_hidden(request: Request) -> None:
    if request.headers.get("x-encrypted-body"):
        raise HTTPException(415, "Hidden bodies are not read; this machine is the one that you speak to.")


def _add_pictures(context: ServerContext, body: PaintBody) -> tuple[dict[str, Any], Image.Image | None]:
    settings, intake = body.to_settings(), context.intake
    size = api.PixelSize.parse(settings["size"])
    picture = intake.open_picture(read_base64(body.src_img)).convert("RGB")
    fitted = picture.resize((size.width, size.height), Image.Resampling.LANCZOS)
    settings |= {"init": intake.keep_picture(fitted).id, "strength": body.denoising_strength}
    if not body.is_inpaint:
        return settings, None
    if body.mask_img:
        mask = intake.open_picture(read_base64(body.mask_img)).convert("RGB").convert("L")
    else:
        source = intake.open_picture(read_base64(body.src_img))
        mask = Image.new("L", source.size, 255)
        if source.mode == "RGBA":
            # What is transparent in the layer is to be drawn.
            mask = source.getchannel("A").point(lambda alpha: 255 - alpha)
    mask = mask.resize((size.width, size.height), Image.Resampling.BILINEAR)
    if body.invert_mask:
        mask = mask.point(lambda share: 255 - share)
    settings["mask"] = intake.keep_picture(mask.convert("RGB")).id
    settings["mask_fill"] = _FILLS[min(max(0, body.inpainting_fill), len(_FILLS) - 1)]
    return settings, mask


async def _order(context: ServerContext, settings: dict[str, Any], **more: Any) -> JobRecord:
    submit = partial(context.intake.submit, surface="interpause", needs_prompt=False, **more)
    job = await context.wait_for_end(context.tell_queued(await asyncio.to_thread(submit, settings)).id)
    if job.state in ("failed", "quarantined"):
        error = dict(job.error or {})
        raise HTTPException(500, f"{error.get('what')}. {error.get('do') or ''}".strip())
    return job


def _answer(context: ServerContext, job: JobRecord, mask: Image.Image | None) -> dict[str, Any]:
    request, outputs = job.request, list[str]()
    for file in job.files:
        packed = context.intake.find_path(file.id).read_bytes()
        outputs.append(base64.b64encode(packed if mask is None else _cut(packed, mask)).decode())
    seed, count = int(request.get("seed", 0)), int(request.get("batch", 1))
    info = {
        "prompt": request.get("prompt", ""),
        "negative_prompt": request.get("negative", ""),
        "all_seeds": [seed + index for index in range(count)],
        "sd_model_hash": "",
        "sampler_name": request.get("sampler", ""),
        "cfg_scale": request.get("guidance", 0),
        "steps": request.get("steps", 0),
    }
    return {"outputs": outputs, "info": json.dumps(info)}


def _cut(packed: bytes, mask: Image.Image) -> bytes:
    """Return a picture with a mask as its transparency."""
    with Image.open(io.BytesIO(packed), formats=["PNG"]) as opened:
        picture = opened.convert("RGB")
    picture.putalpha(mask.resize(picture.size))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _describe() -> dict[str, Any]:
    found = api.list_models()
    models = list(dict.fromkeys([api.DEFAULTS.model, *(str(row["name"]) for row in found if _draws(row))]))
    vaes = [str(row["name"]) for row in found if row.get("kind") == "autoencoder"]
    samplers = list(api.list_samplers())
    scripts: dict[str, list[Any]] = {"None": []}
    return {
        "sample_path": "outputs",
        "upscalers": ["None", "Lanczos", AUTO_UPSCALER],
        "samplers": samplers,
        "samplers_img2img": samplers,
        "scripts_txt2img": scripts,
        "scripts_img2img": scripts,
        "face_restorers": ["None"],
        "sd_models": models,
        "sd_vaes": ["Automatic", "None", *vaes],
    }


def _draws(row: dict[str, Any]) -> bool:
    return row.get("kind", "checkpoint") in ("checkpoint", "model")
