"""A small part of ComfyUI's interface: the usual graph is drawn, the rest is refused by node name.

Routes stand bare and under `/api`. Start reading at `make_comfy_routes`; how a graph is read is in `comfy_graph`, what
clients hear over WebSocket in `comfy_events`.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.core.version import __version__
from sfumato.server.context import ServerContext
from sfumato.server.forms import read_parts
from sfumato.server.queue.records import NotFoundError
from sfumato.server.surfaces.comfy_events import ComfyNames, SentGraph, describe_outputs
from sfumato.server.surfaces.comfy_graph import NODES, SAMPLERS, SCHEDULES, UnknownNodeError, compile_graph

_MOST_HISTORY, _MOST_CLEARED = 64, 1000
_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox"}


class PromptBody(BaseModel):
    """A graph, and the id that the client chose for its job."""

    model_config = ConfigDict(extra="allow")

    prompt: dict[str, Any]
    prompt_id: Annotated[str, Field(max_length=64)] | None = None
    client_id: Annotated[str, Field(max_length=128)] | None = None
    extra_data: dict[str, Any] = {}

    def wants_previews(self) -> bool:
        """Tell whether the client asks for pictures of the work in progress; the usual one of ComfyUI sends none."""
        return str(self.extra_data.get("preview_method", "none")) not in ("none", "default")


class QueueBody(BaseModel):
    """What is removed from the queue."""

    model_config = ConfigDict(extra="allow")

    clear: bool = False
    delete: Annotated[list[str], Field(max_length=1000)] = []


class InterruptBody(BaseModel):
    """Which graph is stopped; all that run where none is named."""

    model_config = ConfigDict(extra="allow")

    prompt_id: Annotated[str, Field(max_length=64)] | None = None


def make_comfy_routes(context: ServerContext, *, prefix: str, names: ComfyNames) -> APIRouter:
    """Return the routes under a prefix."""
    router = APIRouter(prefix=prefix, tags=["comfyui"])
    _add_graph_routes(router, context, names)
    _add_picture_routes(router, context)
    _add_telling_routes(router)
    return router


def _add_graph_routes(router: APIRouter, context: ServerContext, names: ComfyNames) -> None:
    @router.post("/prompt")
    async def submit(body: PromptBody) -> JSONResponse:
        try:
            graph = await asyncio.to_thread(compile_graph, body.prompt, lambda name: _find_picture(context, name))
            prompt_id = body.prompt_id or secrets.token_hex(16)
            submit = partial(context.intake.submit, surface="comfyui", kind=graph.kind, needs_prompt=False)
            job = await asyncio.to_thread(submit, graph.settings, order_key=f"comfy:{prompt_id}")
        except RequestError as error:
            return _refuse(error)
        names.note(
            SentGraph(
                prompt_id=prompt_id,
                client_id=body.client_id or "",
                job_id=job.id,
                number=job.number,
                drawing_node=graph.drawing_node,
                saving_node=graph.saving_node,
                previews=body.wants_previews(),
            )
        )
        context.tell_queued(job)
        return JSONResponse({"prompt_id": prompt_id, "number": job.number, "node_errors": {}})

    @router.get("/history")
    async def tell_all(max_items: Annotated[int, Query(ge=1, le=_MOST_HISTORY)] = _MOST_HISTORY) -> dict[str, Any]:
        found = dict[str, Any]()
        for prompt_id in names.list_last(max_items):
            found |= await _tell(context, names, prompt_id)
        return found

    @router.get("/history/{prompt_id}")
    async def tell_one(prompt_id: str) -> dict[str, Any]:
        return await _tell(context, names, prompt_id)

    @router.get("/queue")
    async def tell_queue() -> dict[str, Any]:
        waiting, running = await asyncio.to_thread(context.store.list_waiting), context.hub.running
        return {
            "queue_running": [[0, names.name_job(running), {}, {}, []]] if running else [],
            "queue_pending": [[number, names.name_job(one), {}, {}, []] for number, one in enumerate(waiting)],
        }

    @router.post("/queue")
    async def change_queue(body: QueueBody) -> dict[str, Any]:
        wanted = list(body.delete)
        if body.clear:
            wanted += names.list_last(_MOST_CLEARED)
        for prompt_id in wanted:
            found = names.find(prompt_id)
            # What runs is stopped by `interrupt`, as there.
            if found is not None and (await context.find(found.job_id)).state == "queued":
                await context.cancel(found.job_id)
        return {}

    @router.post("/interrupt")
    async def interrupt(body: InterruptBody | None = None) -> dict[str, Any]:
        wanted = None if body is None or body.prompt_id is None else names.find(body.prompt_id)
        for job in await asyncio.to_thread(context.store.list_jobs, state="running"):
            # A name that is not known stops nothing, as there.
            if body is None or body.prompt_id is None or (wanted is not None and wanted.job_id == job.id):
                await context.cancel(job.id)
        return {}

    @router.post("/free")
    async def free() -> dict[str, Any]:
        return {}


def _add_picture_routes(router: APIRouter, context: ServerContext) -> None:
    # The bare path belongs to krita-ai-diffusion too, which sends no form.
    if router.prefix:

        @router.post("/upload/image")
        async def send(request: Request) -> dict[str, str]:
            return await keep_sent(context, request)

    @router.get("/view")
    async def show(filename: Annotated[str, Query(max_length=200)] = "") -> Response:
        path = await asyncio.to_thread(context.intake.find_path, filename.removesuffix(".png"))
        return FileResponse(path, media_type="image/png", headers=_HEADERS)


def _add_telling_routes(router: APIRouter) -> None:
    @router.get("/object_info")
    async def describe_nodes() -> dict[str, Any]:
        return await asyncio.to_thread(_describe_nodes)

    @router.get("/object_info/{name}")
    async def describe_node(name: str) -> dict[str, Any]:
        found = await asyncio.to_thread(_describe_nodes)
        return {name: found[name]} if name in found else {}

    @router.get("/system_stats")
    async def tell_system() -> dict[str, Any]:
        device = {"name": "sfumato", "type": "cpu", "index": 0, "vram_total": 0, "vram_free": 0}
        return {"system": {"os": "", "comfyui_version": f"sfumato {__version__}"}, "devices": [device]}

    @router.get("/embeddings")
    async def list_embeddings() -> list[str]:
        return await asyncio.to_thread(_list_names, "embedding")

    @router.get("/features")
    async def list_features() -> dict[str, Any]:
        return {"supports_preview_metadata": False}


async def keep_sent(context: ServerContext, request: Request) -> dict[str, str]:
    """Keep the picture of a form, and name it as ComfyUI does.

    Raises:
        RequestError: the form has no picture.
    """
    parts = read_parts(request.headers.get("content-type", ""), await request.body())
    picture = next((part for part in parts if part.is_file and part.name == "image"), None)
    if picture is None:
        raise RequestError("the form has no `image`", do="Send a PNG, JPEG or WebP as `image`.")
    kept = await asyncio.to_thread(context.intake.add_picture, picture.content)
    return {"name": f"{kept.id}.png", "subfolder": "", "type": "input"}


async def _tell(context: ServerContext, names: ComfyNames, prompt_id: str) -> dict[str, Any]:
    """Return the history of one prompt id; empty until it has ended, as there."""
    found = names.find(prompt_id)
    if found is None:
        return {}
    job, node = await context.find(found.job_id), found.saving_node
    if not job.has_ended:
        return {}
    output = describe_outputs(job)
    error = dict(job.error or {})
    messages = [] if job.state == "done" else [["execution_error", {"exception_message": error.get("what", job.state)}]]
    status = {"status_str": "success" if job.state == "done" else "error", "completed": job.state == "done"}
    return {
        prompt_id: {
            "prompt": [found.number, prompt_id, {}, {}, [node]],
            "outputs": {node: output} if output else {},
            "status": status | {"messages": messages},
            "meta": {},
        }
    }


def _refuse(error: RequestError) -> JSONResponse:
    told = {"type": "invalid_prompt", "message": error.what, "details": str(error), "extra_info": {}}
    nodes = error.nodes if isinstance(error, UnknownNodeError) else {}
    faults = {
        node: {"class_type": kind, "errors": [{"type": "unknown_node", "message": f"{kind} is not here"}]}
        for node, kind in nodes.items()
    }
    return JSONResponse({"error": told, "node_errors": faults}, 400)


def _find_picture(context: ServerContext, name: str) -> str:
    file_id = name.removesuffix(".png")
    try:
        return context.store.find_file(file_id).id
    except NotFoundError as error:
        raise RequestError("there is no such picture", got=name[:100], do="Send it to /upload/image first.") from error


def _list_names(kind: str) -> list[str]:
    return [str(row["name"]) for row in api.list_models() if row.get("kind") == kind]


def _describe_nodes() -> dict[str, Any]:
    """Return the nodes that are here, with the lists that clients fill their menus from."""
    checkpoints = list(dict.fromkeys([api.DEFAULTS.model, *_list_names("checkpoint")]))
    lists = {
        "CheckpointLoaderSimple": {"ckpt_name": [checkpoints]},
        "KSampler": {"sampler_name": [list(SAMPLERS)], "scheduler": [list(SCHEDULES)]},
        "KSamplerAdvanced": {"sampler_name": [list(SAMPLERS)], "scheduler": [list(SCHEDULES)]},
        "VAELoader": {"vae_name": [_list_names("autoencoder")]},
        "LoraLoader": {"lora_name": [_list_names("LoRA")]},
        "ControlNetLoader": {"control_net_name": [_list_names("control network")]},
        "UpscaleModelLoader": {"model_name": [_list_names("upscaler")]},
    }
    return {
        name: {"name": name, "input": {"required": lists.get(name, {})}, "output": [], "category": "sfumato"}
        for name in sorted(NODES)
    }
