"""What ComfyUI tells its clients over WebSocket: the state of the queue, and what becomes of the graphs that they sent.

A client connects to `/ws?clientId=NAME` and hears of the graphs that it sent with `client_id` NAME. A client that
connects late hears of its graphs from their beginning. Knows no graph. Start reading at `make_event_routes`.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from sfumato.server.context import ServerContext, wait_for_bell
from sfumato.server.hub import EVERY_JOB
from sfumato.server.queue.records import JobRecord, NotFoundError

MOST_SOCKETS, _MOST_KEPT, _MOST_ID = 64, 1000, 128
_PREVIEW_EVENT, _JPEG = 1, 1


@dataclass(eq=False, kw_only=True)
class SentGraph:
    """A graph that a client sent: its job, the nodes that draw and save, and how much of its story the client heard.

    `previews` says whether the client wants pictures of the work in progress.
    """

    prompt_id: str
    client_id: str
    job_id: str
    number: int
    drawing_node: str
    saving_node: str
    previews: bool = False
    has_begun: bool = False
    has_ended: bool = False
    told: dict[str, int] = field(default_factory=dict[str, int])


class ComfyNames:
    """What this surface calls jobs: the prompt ids of clients, and the nodes of their graphs. A leaf; kept in memory."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._graphs: OrderedDict[str, SentGraph] = OrderedDict()

    def note(self, graph: SentGraph) -> None:
        """Note a graph; the oldest are forgotten."""
        self._graphs.setdefault(graph.prompt_id, graph)
        while len(self._graphs) > _MOST_KEPT:
            self._graphs.popitem(last=False)

    def find(self, prompt_id: str) -> SentGraph | None:
        """Return the graph of a prompt id."""
        return self._graphs.get(prompt_id)

    def name_job(self, job_id: str) -> str:
        """Return the prompt id of a job; jobs of other surfaces keep their own id."""
        return next((graph.prompt_id for graph in self._graphs.values() if graph.job_id == job_id), job_id)

    def list_last(self, most: int) -> list[str]:
        """Return the newest prompt ids."""
        return list(self._graphs)[-most:]

    def list_open(self, client_id: str) -> list[SentGraph]:
        """Return the graphs whose end this client has not heard of."""
        return [one for one in self._graphs.values() if one.client_id == client_id and not one.has_ended]


def make_event_routes(context: ServerContext, names: ComfyNames) -> APIRouter:
    """Return the WebSocket that clients wait at, bare and under `/api`."""
    router, opened = APIRouter(), set[WebSocket]()

    @router.websocket("/ws")
    @router.websocket("/api/ws")
    async def tell(socket: WebSocket) -> None:
        if len(opened) >= MOST_SOCKETS:
            await socket.close(1013)
            return
        await socket.accept()
        opened.add(socket)
        try:
            client_id = socket.query_params.get("clientId", "")[:_MOST_ID] or secrets.token_hex(16)
            await _talk(context, names, socket, client_id)
        finally:
            opened.discard(socket)

    return router


async def _talk(context: ServerContext, names: ComfyNames, socket: WebSocket, client_id: str) -> None:
    with context.hub.listen(EVERY_JOB) as bell:
        hearing = asyncio.create_task(_hear(socket, bell))
        try:
            async for message in _list_messages(context, names, client_id, bell, hearing):
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_json(message)
            if not hearing.done():
                # The server stops; the client may come again.
                await socket.close(1012)
        except WebSocketDisconnect:
            return
        finally:
            hearing.cancel()
            with suppress(asyncio.CancelledError):
                await hearing


async def _hear(socket: WebSocket, bell: asyncio.Event) -> None:
    """Read what the client says until it goes; nothing of it matters here, `feature_flags` least of all."""
    with suppress(WebSocketDisconnect):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    bell.set()


async def _list_messages(
    context: ServerContext, names: ComfyNames, client_id: str, bell: asyncio.Event, hearing: asyncio.Task[None]
) -> AsyncGenerator[dict[str, Any] | bytes]:
    """Give what a client is told, in the order that ComfyUI has, until it goes or the server stops."""
    remaining, progress, previews = -1, dict[str, Any](), dict[str, bytes]()
    while not (hearing.done() or context.hub.closing):
        bell.clear()
        ended = list[tuple[SentGraph, JobRecord]]()
        waiting = frozenset(await asyncio.to_thread(context.store.list_waiting))
        for graph in names.list_open(client_id):
            if graph.job_id in waiting:
                continue
            try:
                job = await context.find(graph.job_id)
            except NotFoundError:
                # It was removed from the queue while somebody waited.
                graph.has_ended = True
                continue
            if job.state != "queued" and not graph.has_begun:
                graph.has_begun = True
                for message in _tell_begin(graph):
                    yield message
            told = context.hub.progress.get(job.id)
            if job.state == "running" and told is not None and told is not progress.get(job.id):
                progress[job.id] = told
                for message in _tell_progress(graph, told):
                    yield message
            if graph.previews and job.state == "running":
                context.want_preview()
                packed = context.hub.previews.get(job.id)
                if packed is not None and packed is not previews.get(job.id):
                    previews[job.id] = packed
                    yield struct.pack(">II", _PREVIEW_EVENT, _JPEG) + packed
            if job.has_ended:
                ended.append((graph, job))
        for graph, job in ended:
            for message in _tell_end(graph, job):
                yield message
        counts = await asyncio.to_thread(context.store.count_jobs)
        left = counts.get("queued", 0) + counts.get("running", 0)
        if left != remaining:
            status = {"status": {"exec_info": {"queue_remaining": left}}}
            yield {"type": "status", "data": status | ({"sid": client_id} if remaining < 0 else {})}
            remaining = left
        for graph, job in ended:
            # Clients stop here, so their graph has to be in the history, and nothing may follow.
            graph.has_ended = True
            progress.pop(job.id, None)
            previews.pop(job.id, None)
            yield _say("executing", graph, node=None)
        if not bell.is_set():
            await wait_for_bell(bell)


def describe_outputs(job: JobRecord) -> dict[str, Any]:
    """Return the pictures of a job as the node that saves tells them; empty where there are none."""
    images = [{"filename": f"{file.id}.png", "subfolder": "", "type": "output"} for file in job.files]
    return {"images": images} if images else {}


def _tell_begin(graph: SentGraph) -> list[dict[str, Any]]:
    now = _now_ms()
    return [
        _say("execution_start", graph, timestamp=now),
        _say("execution_cached", graph, nodes=[], timestamp=now),
        _say("executing", graph, node=graph.drawing_node, display_node=graph.drawing_node),
    ]


def _tell_progress(graph: SentGraph, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say how far a job is: `value` of `max` steps, counted over all pictures and stages where there are several."""
    steps, pictures = int(told.get("steps") or 0), int(told.get("pictures") or 1)
    if steps <= 0:
        return []
    # Clients draw a bar: it may not run backwards, so several stages are counted in hundredths of the whole.
    is_plain = pictures == 1 and int(told.get("stages") or 1) == 1
    done = (int(told.get("index") or 0) + float(told.get("done_frac") or 0.0)) / pictures
    value, most = (min(int(told.get("step") or 0), steps), steps) if is_plain else (round(100 * min(1.0, done)), 100)
    if value < graph.told.get("value", 0):
        return []
    graph.told["value"] = value
    node = {"value": value, "max": most, "state": "running", "node_id": graph.drawing_node}
    node |= {"prompt_id": graph.prompt_id, "display_node_id": graph.drawing_node}
    node |= {"parent_node_id": None, "real_node_id": graph.drawing_node}
    return [
        _say("progress_state", graph, nodes={graph.drawing_node: node}),
        _say("progress", graph, node=graph.drawing_node, value=value, max=most),
    ]


def _tell_end(graph: SentGraph, job: JobRecord) -> list[dict[str, Any]]:
    now = _now_ms()
    if job.state == "done":
        saving = {"node": graph.saving_node, "display_node": graph.saving_node}
        return [
            _say("executing", graph, **saving),
            _say("executed", graph, **saving, output=describe_outputs(job)),
            _say("execution_success", graph, timestamp=now),
        ]
    where = {"node_id": graph.drawing_node, "node_type": "KSampler", "executed": list[str](), "timestamp": now}
    if job.state == "cancelled":
        return [_say("execution_interrupted", graph, **where)]
    error = dict(job.error or {})
    what = str(error.get("what") or f"the job was {job.state}")
    do = str(error.get("do") or "")
    told = {"exception_message": f"{what}. {do}".strip(), "exception_type": str(error.get("error") or job.state)}
    # Paths of this machine stay here, so there are no lines of the interpreter.
    rest = {"traceback": list[str](), "current_inputs": dict[str, Any](), "current_outputs": list[str]()}
    return [_say("execution_error", graph, **where, **told, **rest)]


def _say(kind: str, graph: SentGraph, **more: Any) -> dict[str, Any]:
    return {"type": kind, "data": {**more, "prompt_id": graph.prompt_id}}


def _now_ms() -> int:
    return round(1000 * time.time())
