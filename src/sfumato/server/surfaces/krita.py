"""The cloud protocol of krita-ai-diffusion: a sign-in that is granted at once, pictures in one packed blob, jobs by polling.

A workflow says size, strength, prompts and pictures in words of its own; it becomes one of our jobs. What has no
counterpart is refused by name. `INTERSTICE_URL` of the plug-in names this server. Start reading at `read_workflow`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
from fastapi import APIRouter, HTTPException, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.core.prompt.region import CELLS, pack_region
from sfumato.core.request_parts.weights import MOST_REGIONS, PromptRegion
from sfumato.server.context import ServerContext
from sfumato.server.intake import Intake
from sfumato.server.queue.records import JobKind, JobRecord, list_safety
from sfumato.server.surfaces.comfy import keep_sent
from sfumato.workflows.checkpoints import list_models

_CELL_PX, _MOST_KEPT, _MOST_IMAGES = 8, 64, 32
# Blobs wait in memory for the job that names them.
_MOST_KEPT_BYTES = 2**28
_STATES = {
    "queued": "in_queue",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "quarantined": "failed",
}
# The plug-in speaks of samplers as ComfyUI does.
_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "ddim": "DDIM",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_gpu": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_sde_gpu": "DPM++ SDE",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
    "lcm": "LCM",
}
_SCHEDULES = {
    "normal": "model",
    "simple": "trailing",
    "karras": "karras",
    "exponential": "exponential",
    "sgm_uniform": "sgm_uniform",
    "ddim_uniform": "model",
}
_KINDS_HERE = ("generate", "inpaint", "refine", "refine_region", "upscale_simple", "upscale_tiled")


class GenerateBody(BaseModel):
    """A workflow with its pictures."""

    model_config = ConfigDict(extra="allow")

    input: dict[str, Any]


@dataclass(eq=False)
class SentBlobs:
    """Blobs that the plug-in puts before a job names them; the oldest go first. A leaf."""

    kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict[str, bytes])

    def open(self) -> str:
        """Return a new name that a blob may be put under."""
        name = secrets.token_hex(16)
        self.kept[name] = b""
        while len(self.kept) > _MOST_KEPT:
            self.kept.popitem(last=False)
        return name

    def put(self, name: str, blob: bytes) -> None:
        """Keep a blob.

        Raises:
            HTTPException: 404, nobody asked for this name.
        """
        if name not in self.kept:
            raise HTTPException(404, "Not Found")
        self.kept[name] = blob
        while sum(map(len, self.kept.values())) > _MOST_KEPT_BYTES:
            self.kept.popitem(last=False)


def make_krita_routes(context: ServerContext) -> APIRouter:
    """Return the routes that the plug-in asks."""
    router, blobs = APIRouter(tags=["krita"]), SentBlobs()

    @router.get("/user")
    async def user() -> dict[str, Any]:
        # A local server has no accounts and no money; the plug-in wants the numbers.
        limit = context.intake.most_sent_pixels
        return {"id": "local", "name": "Sfumato", "images_generated": 0, "credits": 10**6, "max_upload_size": limit}

    @router.post("/auth/initiate")
    async def begin_sign_in(request: Request) -> dict[str, str]:
        return {"url": str(request.base_url)}

    @router.post("/auth/confirm")
    async def confirm_sign_in() -> dict[str, str]:
        return {"status": "authorized", "token": "local"}

    @router.get("/plugin/latest")
    async def latest(version: str = "") -> dict[str, str]:
        return {"version": version[:64]}

    @router.get("/plugin/resources")
    async def resources() -> dict[str, Any]:
        found = await asyncio.to_thread(list_models)
        return describe_resources(found)

    @router.post("/upload/image")
    async def open_upload(request: Request) -> dict[str, str]:
        if "multipart/form-data" in request.headers.get("content-type", ""):
            # A client of ComfyUI, which sends the picture itself to this path.
            return await keep_sent(context, request)
        name = blobs.open()
        return {"url": f"{str(request.base_url).rstrip('/')}/upload/blob/{name}", "object": name}

    @router.put("/upload/blob/{name}")
    async def put_blob(name: str, request: Request) -> dict[str, str]:
        blobs.put(name, await request.body())
        return {"status": "ok"}

    @router.post("/upload/lora")
    async def refuse_lora() -> dict[str, str]:
        # Weights come from the folder of models alone, never from a client.
        return {"status": "limit-exceeded", "url": ""}

    @router.post("/generate")
    async def generate(body: GenerateBody) -> dict[str, Any]:
        workflow = cast("dict[str, Any]", body.input.get("workflow") or {})
        kind, settings = await asyncio.to_thread(read_workflow, workflow, context.intake, blobs.kept)
        submit = partial(context.intake.submit, surface="krita", kind=kind, needs_prompt=False)
        job = context.tell_queued(await asyncio.to_thread(submit, settings))
        user = {"images_generated": 0, "credits": 10**6}
        return {"id": job.id, "worker_id": "local", "status": "in_queue", "user": user}

    @router.post("/status/{job_id}")
    async def tell_status(job_id: str) -> dict[str, Any]:
        job = await context.find(job_id)
        progress = context.hub.progress.get(job_id, {})
        return await asyncio.to_thread(_describe, context.intake, job, progress)

    @router.post("/cancel/{worker_id}/{job_id}")
    async def cancel(worker_id: str, job_id: str) -> dict[str, str]:
        del worker_id
        await context.cancel(job_id)
        return {"status": "cancelled"}

    return router


def describe_resources(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the models as the plug-in lists them; files of weights are named, where they lie is not told."""
    checkpoints = dict[str, dict[str, str]]()
    for row in found:
        family = str(row.get("family") or "")
        if row.get("kind", "checkpoint") in ("checkpoint", "model") or row["name"] == api.DEFAULTS.model:
            arch = "sdxl" if "xl" in family.lower() else "sd15"
            checkpoints[str(row["name"])] = {"filename": str(row["name"]), "arch": arch, "format": "checkpoint"}
    loras = [str(row["name"]) for row in found if row.get("kind") == "LoRA"]
    upscalers = [str(row["name"]) for row in found if row.get("kind") == "upscaler"]
    return {
        "checkpoints": checkpoints,
        "vae": [],
        "loras": loras,
        "upscalers": ["lanczos", *upscalers],
        "resources": {},
    }


def read_workflow(
    workflow: Mapping[str, Any], intake: Intake, blobs: Mapping[str, bytes]
) -> tuple[JobKind, dict[str, Any]]:
    """Return the kind and the settings of the job that a workflow means.

    Raises:
        RequestError: a kind, a model or a part that is not here, or a picture that is none.
    """
    kind = str(workflow.get("kind") or "generate")
    if kind not in _KINDS_HERE:
        raise RequestError("this kind of workflow is not here", got=kind, do=f"Kinds: {', '.join(_KINDS_HERE)}.")
    conditioning = _get_map(workflow, "conditioning")
    if conditioning.get("control"):
        raise RequestError("`control` of krita-ai-diffusion is not here", do="Draw without it.")
    images = _get_map(workflow, "images")
    pictures = _read_pictures(_get_map(workflow, "image_data"), blobs)
    settings = _read_words(workflow, conditioning)
    size = _read_size(images)
    if kind in ("upscale_simple", "upscale_tiled"):
        picture = _pick(pictures, images.get("initial_image"), "initial_image")
        kept = intake.keep_picture(intake.open_picture(picture))
        if kind == "upscale_simple":
            return "upscale", {"picture": kept.id, "size": _write_size(images, "target") or size}
        words = {name: settings[name] for name in settings if name not in ("batch", "strength")}
        more = {"picture": kept.id, "size": _write_size(images, "target") or size}
        return "upscale", words | more | {"level_strength": settings.get("strength")}
    settings["size"] = size
    regions = _read_regions(conditioning, pictures, intake, size)
    if regions:
        # Elsewhere nobody knows where in a window a region lies.
        settings |= {"regions": regions, "method": "native"}
    if kind == "generate":
        settings.pop("strength", None)
        return "render", settings
    opened = intake.open_picture(_pick(pictures, images.get("initial_image"), "initial_image")).convert("RGB")
    width, height = (int(side) for side in str(size).split("x"))
    settings["init"] = intake.keep_picture(opened.resize((width, height), Image.Resampling.LANCZOS)).id
    if kind in ("inpaint", "refine_region"):
        masked = (
            intake.open_picture(_pick(pictures, images.get("hires_mask"), "hires_mask")).convert("RGB").convert("L")
        )
        mask = masked.resize((width, height), Image.Resampling.BILINEAR)
        settings["mask"] = intake.keep_picture(mask.convert("RGB")).id
        inpaint = _get_map(workflow, "inpaint")
        settings["mask_blur"] = min(256, int(inpaint.get("feather") or 0) // 2) or None
        if kind == "inpaint" and str(inpaint.get("fill", "neutral")) in ("neutral", "blur", "border", "replace"):
            settings["mask_fill"] = "surround"
    return "render", settings


def _read_words(workflow: Mapping[str, Any], conditioning: Mapping[str, Any]) -> dict[str, Any]:
    sampling, models = _get_map(workflow, "sampling"), _get_map(workflow, "models")
    total, start = int(sampling.get("total_steps") or 0), int(sampling.get("start_step") or 0)
    checkpoint = str(models.get("checkpoint") or "")
    loras = [
        f"{one['name']}:{float(one.get('strength', 1.0)):g}" for one in models.get("loras") or [] if one.get("name")
    ]
    prompt = ", ".join(str(part) for part in (conditioning.get("positive"), conditioning.get("style")) if part)
    sampler, schedule = str(sampling.get("sampler") or ""), str(sampling.get("scheduler") or "")
    guidance = sampling.get("cfg_scale")
    return {
        "prompt": prompt,
        "negative": (conditioning.get("negative") or None) if guidance != 1 else None,
        "seed": int(sampling["seed"]) if sampling.get("seed") is not None else None,
        "steps": total or None,
        "strength": (total - start) / total if total else None,
        "guidance": None if guidance is None else float(guidance),
        "sampler": _SAMPLERS.get(sampler) if sampler else None,
        "schedule": _SCHEDULES.get(schedule) if schedule and sampler else None,
        "batch": int(workflow.get("batch_count") or 1),
        "model": checkpoint or None,
        "vae": models.get("vae") or None,
        "clip_skip": models.get("clip_skip") or None,
        "loras": loras or None,
    }


def _read_regions(
    conditioning: Mapping[str, Any], pictures: list[bytes], intake: Intake, size: str
) -> list[PromptRegion]:
    """Return the layers of a picture that have words of their own, each with its mask as cells.

    A mask is as large as the picture, or as its `bounds`, which lie in a picture of `size`. The style holds for regions
    too.

    Raises:
        RequestError: a region with layers of control or with LoRAs of its own, or a mask that is none.
    """
    width, height = (int(side) for side in size.split("x"))
    found = list[PromptRegion]()
    for one in cast("list[dict[str, Any]]", conditioning.get("regions") or [])[: MOST_REGIONS + 1]:
        if one.get("control") or one.get("loras"):
            raise RequestError("`control` and `loras` of a region are not here", do="Use them for the whole picture.")
        words = str(one.get("positive") or "").strip()
        if not words:
            continue
        mask = intake.open_picture(_pick(pictures, one.get("mask"), "mask of a region")).convert("RGB").convert("L")
        bounds = one.get("bounds")
        if isinstance(bounds, list) and len(cast("list[Any]", bounds)) == 4:
            left, top, wide, high = (int(side) for side in cast("list[Any]", bounds))
            if mask.size == (wide, high) != (width, height):
                whole = Image.new("L", (width, height))
                whole.paste(mask, (left, top))
                mask = whole
        region = pack_region(np.asarray(mask, np.float32) / np.float32(255))
        if not region.removeprefix(CELLS).strip("0"):
            # Nothing of the layer lies in what is drawn.
            continue
        text = ", ".join(part for part in (words, str(conditioning.get("style") or "")) if part)
        found.append(PromptRegion(region=region, words=text))
    return found


def _read_size(images: Mapping[str, Any]) -> str:
    for name in ("desired", "initial", "input", "target"):
        found = _write_size(images, name)
        if found:
            return found
    raise RequestError("the workflow says no size", do="Send `images.extent`.")


def _write_size(images: Mapping[str, Any], name: str) -> str | None:
    sides = _get_map(images, "extent").get(name)
    if not isinstance(sides, list) or len(cast("list[Any]", sides)) != 2:
        return None
    width, height = (max(_CELL_PX, int(side) // _CELL_PX * _CELL_PX) for side in cast("list[Any]", sides))
    return f"{width}x{height}"


def _read_pictures(data: Mapping[str, Any], blobs: Mapping[str, bytes]) -> list[bytes]:
    """Return the encoded pictures of a blob: they stand one behind the other, and `offsets` says where each begins."""
    if not data:
        return []
    name = data.get("s3_object")
    if name is not None:
        blob = blobs.get(str(name), b"")
    else:
        try:
            blob = base64.b64decode(str(data.get("base64") or ""), validate=True)
        except ValueError as error:
            raise RequestError("the pictures of the workflow are no base64") from error
    offsets = [int(one) for one in data.get("offsets") or [0]][:_MOST_IMAGES]
    if not blob or offsets != sorted(offsets) or offsets[0] < 0 or offsets[-1] >= len(blob):
        raise RequestError("the pictures of the workflow are not where it says", got=len(blob))
    ends = [*offsets[1:], len(blob)]
    return [blob[begin:end] for begin, end in zip(offsets, ends, strict=True)]


def _pick(pictures: list[bytes], index: Any, name: str) -> bytes:
    if not isinstance(index, int) or not 0 <= index < len(pictures):
        raise RequestError(f"the workflow has no `{name}`", got=index)
    return pictures[index]


def _get_map(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    if found is not None and not isinstance(found, dict):
        raise RequestError(f"`{name}` of a workflow is an object", got=type(found).__name__)
    return cast("dict[str, Any]", found or {})


def _describe(intake: Intake, job: JobRecord, progress: Mapping[str, Any]) -> dict[str, Any]:
    if job.state in ("queued", "running"):
        done = (float(progress.get("index", 0)) + float(progress.get("done_frac", 0.0))) / float(
            progress.get("pictures", 1)
        )
        return {"status": _STATES[job.state], "output": {"progress": min(1.0, done)}}
    if job.state != "done":
        error = dict(job.error or {})
        return {"status": _STATES[job.state], "error": str(error.get("what") or f"the job was {job.state}")}
    if any(verdict is not None and verdict["state"] == "withheld" for verdict in list_safety(job)):
        return {"status": "violation", "error": "withheld by the safety filter"}
    blob, offsets = io.BytesIO(), list[int]()
    for file in job.files:
        offsets.append(blob.tell())
        blob.write(intake.find_path(file.id).read_bytes())
    packed = base64.b64encode(blob.getvalue()).decode()
    return {"status": "completed", "output": {"images": {"offsets": offsets, "base64": packed}}}
