"""A small part of ComfyUI's interface: the usual graph is drawn, the rest is refused by node name.

Routes stand bare and under `/api`. There is no WebSocket: clients have to ask `/history`. Start reading at
`make_comfy_routes`; how a graph is read is in `comfy_graph`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
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
from sfumato.server.queue.records import JobRecord, NotFoundError
from sfumato.server.surfaces.comfy_graph import NODES, SAMPLERS, SCHEDULES, UnknownNodeError, compile_graph

_MOST_KEPT, _MOST_HISTORY = 1000, 64
_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox"}


class PromptBody(BaseModel):
    """A graph, and the id that the client chose for its job."""

    model_config = ConfigDict(extra="allow")

    prompt: dict[str, Any]
    prompt_id: Annotated[str, Field(max_length=64)] | None = None
    client_id: str | None = None


class QueueBody(BaseModel):
    """What is removed from the queue."""

    model_config = ConfigDict(extra="allow")

    clear: bool = False
    delete: Annotated[list[str], Field(max_length=1000)] = []


class ComfyNames:
    """What this surface calls jobs: the prompt ids of clients, and the node that saves. A leaf; kept in memory."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._jobs: OrderedDict[str, tuple[str, str, int]] = OrderedDict()

    def note(self, prompt_id: str, job: JobRecord, node: str) -> None:
        """Note a job; the oldest are forgotten."""
        self._jobs[prompt_id] = (job.id, node, job.number)
        while len(self._jobs) > _MOST_KEPT:
            self._jobs.popitem(last=False)

    def find(self, prompt_id: str) -> tuple[str, str, int] | None:
        """Return the job, the node that saves and the number of a prompt id."""
        return self._jobs.get(prompt_id)

    def list_last(self, most: int) -> list[str]:
        """Return the newest prompt ids."""
        return list(self._jobs)[-most:]


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
        names.note(prompt_id, context.tell_queued(job), graph.output)
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
            "queue_running": [[0, running, {}, {}, []]] if running else [],
            "queue_pending": [[number, job_id, {}, {}, []] for number, job_id in enumerate(waiting)],
        }

    @router.post("/queue")
    async def change_queue(body: QueueBody) -> dict[str, Any]:
        wanted = list(body.delete)
        if body.clear:
            wanted += names.list_last(_MOST_KEPT)
        for prompt_id in wanted:
            found = names.find(prompt_id)
            # What runs is stopped by `interrupt`, as there.
            if found is not None and (await context.find(found[0])).state == "queued":
                await context.cancel(found[0])
        return {}

    @router.post("/interrupt")
    async def interrupt() -> dict[str, Any]:
        for job in await asyncio.to_thread(context.store.list_jobs, state="running"):
            await context.cancel(job.id)
        return {}

    @router.post("/free")
    async def free() -> dict[str, Any]:
        return {}


def _add_picture_routes(router: APIRouter, context: ServerContext) -> None:
    @router.post("/upload/image")
    async def send(request: Request) -> dict[str, str]:
        parts = read_parts(request.headers.get("content-type", ""), await request.body())
        picture = next((part for part in parts if part.is_file and part.name == "image"), None)
        if picture is None:
            raise RequestError("the form has no `image`", do="Send a PNG, JPEG or WebP as `image`.")
        kept = await asyncio.to_thread(context.intake.add_picture, picture.content)
        return {"name": f"{kept.id}.png", "subfolder": "", "type": "input"}

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


async def _tell(context: ServerContext, names: ComfyNames, prompt_id: str) -> dict[str, Any]:
    """Return the history of one prompt id; empty until it has ended, as there."""
    found = names.find(prompt_id)
    if found is None:
        return {}
    job_id, node, number = found
    job = await context.find(job_id)
    if not job.has_ended:
        return {}
    images = [{"filename": f"{file.id}.png", "subfolder": "", "type": "output"} for file in job.files]
    error = dict(job.error or {})
    messages = [] if job.state == "done" else [["execution_error", {"exception_message": error.get("what", job.state)}]]
    status = {"status_str": "success" if job.state == "done" else "error", "completed": job.state == "done"}
    return {
        prompt_id: {
            "prompt": [number, prompt_id, {}, {}, [node]],
            "outputs": {node: {"images": images}} if images else {},
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
        "UpscaleModelLoader": {"model_name": [_list_names("upscaler")]},
    }
    return {
        name: {"name": name, "input": {"required": lists.get(name, {})}, "output": [], "category": "sfumato"}
        for name in sorted(NODES)
    }
