"""txt2img, img2img, progress and interrupt, as clients of A1111 know them.

A call waits until its pictures are drawn, through every death of a worker. Start reading at `add_drawing_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from PIL import Image

from sfumato.core.version import __version__
from sfumato.server.context import ServerContext
from sfumato.server.queue.records import JobRecord, list_safety
from sfumato.server.surfaces.a1111.bodies import ImageToImageBody, TextBody, drop_second_pass
from sfumato.server.surfaces.a1111.control import read_control_units
from sfumato.server.surfaces.a1111.scripts import ScriptPlan, read_scripts
from sfumato.workflows.series.grid import draw_grid

SURFACE = "a1111"


def add_drawing_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes that draw, and those that follow and stop what is drawn."""

    @router.post("/txt2img")
    async def draw_text(body: TextBody) -> dict[str, Any]:
        options = await asyncio.to_thread(context.store.load_options)
        settings = body.to_settings(options)
        return await _draw(context, body, settings)

    @router.post("/img2img")
    async def draw_image(body: ImageToImageBody) -> dict[str, Any]:
        options = await asyncio.to_thread(context.store.load_options)
        settings = body.to_settings(options)
        settings = await asyncio.to_thread(body.add_pictures, settings, context.intake)
        return await _draw(context, body, settings)

    @router.get("/progress")
    async def progress(skip_current_image: bool = False) -> dict[str, Any]:
        counts = await asyncio.to_thread(context.store.count_jobs)
        return _write_progress(context, counts, with_picture=not skip_current_image)

    @router.post("/interrupt")
    async def interrupt() -> dict[str, Any]:
        for job in await asyncio.to_thread(context.store.list_jobs, state="running"):
            await context.cancel(job.id)
        return {}

    @router.post("/skip")
    async def skip() -> None:
        # Clients read JSON from every answer: `null`, never an empty one.
        return None


async def _draw(context: ServerContext, body: TextBody, settings: dict[str, Any]) -> dict[str, Any]:
    native = await asyncio.to_thread(context.intake.find_native, settings.get("model"))
    units, unread = await asyncio.to_thread(read_control_units, body, context.intake)
    settings |= {"controls": units} if units else {}
    plan = read_scripts(body, drop_second_pass(settings, native))
    plan = replace(plan, ignored=(*plan.ignored, *unread))
    ordered = list[JobRecord]()
    for one in plan.variants:
        submit = partial(context.intake.submit, surface=SURFACE, kind=plan.kind, needs_prompt=False)
        ordered.append(context.tell_queued(await asyncio.to_thread(submit, one.settings)))
    ended = [await context.wait_for_end(job.id) for job in ordered]
    for job in ended:
        if job.state in ("failed", "quarantined"):
            error = dict(job.error or {})
            raise HTTPException(500, f"{error.get('what')}. {error.get('do') or ''}".strip())
    return await asyncio.to_thread(_make_answer, context, ended, plan, body)


def _make_answer(context: ServerContext, jobs: list[JobRecord], plan: ScriptPlan, body: TextBody) -> dict[str, Any]:
    paths = [context.intake.find_path(file.id) for job in jobs for file in job.files]
    texts = list[str]()
    for path in paths:
        with Image.open(path, formats=["PNG"]) as picture:
            texts.append(str(picture.info.get("parameters", "")))
    packed = [base64.b64encode(path.read_bytes()).decode() for path in paths] if body.send_images is not False else []
    echo = body.model_dump(exclude={"init_images", "mask"})
    info = _describe_job(jobs[0], texts, [*body.list_ignored(), *plan.ignored])
    if len(jobs) > 1:
        info |= _join_jobs(jobs)
    if packed and plan.has_sheet and len(paths) > 1:
        packed.insert(0, _pack_sheet(paths, plan))
        info["index_of_first_image"] = 1
        info["infotexts"] = [texts[0], *texts]
    return {"images": packed, "parameters": echo, "info": json.dumps(info)}


def _join_jobs(jobs: list[JobRecord]) -> dict[str, Any]:
    """Return what differs from picture to picture of several jobs."""
    pairs = [(job.request, index) for job in jobs for index in range(int(job.request["batch"]))]
    return {
        "all_prompts": [request["prompt"] for request, _ in pairs],
        "all_negative_prompts": [request["negative"] for request, _ in pairs],
        "all_seeds": [int(request["seed"]) + index for request, index in pairs],
        "all_subseeds": [int(request["seed"]) + index for request, index in pairs],
        "batch_size": len(pairs),
    }


def _pack_sheet(paths: list[Path], plan: ScriptPlan) -> str:
    pictures = list[Image.Image]()
    for path in paths:
        with Image.open(path, formats=["PNG"]) as opened:
            pictures.append(opened.convert("RGB"))
    sheet = draw_grid(pictures, columns=plan.columns, column_labels=plan.column_labels, row_labels=plan.row_labels)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()


def _describe_job(job: JobRecord, texts: list[str], ignored: list[str]) -> dict[str, Any]:
    request = job.request
    count, seed = int(request["batch"]), int(request["seed"])
    width, _, height = str(request["size"]).partition("x")
    varied = request.get("variation_seed")
    seeds = [seed + (0 if varied is not None else index) for index in range(count)]
    subseeds = seeds if varied is None else [int(varied) + index for index in range(count)]
    return {
        "prompt": request["prompt"],
        "all_prompts": [request["prompt"]] * count,
        "negative_prompt": request["negative"],
        "all_negative_prompts": [request["negative"]] * count,
        "seed": seed,
        "all_seeds": seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": request.get("variation_strength", 0),
        "width": int(width),
        "height": int(height),
        "sampler_name": request["sampler"],
        "cfg_scale": request["guidance"],
        "steps": request["steps"],
        "batch_size": count,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": request["model"],
        "sd_model_hash": "",
        "sd_vae_name": request["vae"],
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": dict(request.get("source") or {}).get("strength"),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.created_s)),
        "clip_skip": request["clip_skip"],
        "is_using_inpainting_conditioning": False,
        "version": f"sfumato {__version__}",
        "sfumato": {"job": job.id, "state": job.state, "without_effect": ignored, "safety": list_safety(job)},
    }


def _write_progress(context: ServerContext, counts: dict[str, int], *, with_picture: bool) -> dict[str, Any]:
    waiting = counts.get("queued", 0) + counts.get("running", 0)
    running = context.hub.running
    told = context.hub.progress.get(running, {}) if running else {}
    if waiting and with_picture:
        context.want_preview()
    packed = context.hub.previews.get(running) if running and with_picture else None
    done_frac = float(told.get("done_frac", 0.0))
    pictures, index = int(told.get("pictures", 1)), int(told.get("index", 0))
    share = (index + done_frac) / max(1, pictures) if waiting else 0.0
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": running or "",
        "job_count": waiting,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "job_no": index,
        "sampling_step": int(told.get("step", 0)),
        "sampling_steps": int(told.get("steps", 0)),
    }
    return {
        # Idle is exactly 0 and no job; a job that has begun is never 0.
        "progress": max(0.01, min(1.0, share)) if waiting else 0.0,
        "eta_relative": float(told.get("left_s") or 0.0),
        "state": state,
        "current_image": None if packed is None else base64.b64encode(packed).decode(),
        "textinfo": told.get("stage"),
        "current_task": running,
    }
