"""Our own interface, `/api/v1`: jobs, their events, files, forecasts, models and words.

The settings of a job have the names that the library has; an unknown one is an error, not a silence. Start reading at
`make_own_routes`; what a job may say is in `job_body`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.server.context import ServerContext, wait_for_bell
from sfumato.server.queue.records import JobRecord, NotFoundError
from sfumato.server.surfaces.job_body import JobBody
from sfumato.server.surfaces.queue_routes import add_queue_routes
from sfumato.server.surfaces.series_routes import add_series_routes
from sfumato.server.views import ViewMaker, load_facts, write_recipe

# A proxy closes a connection on which nothing is said for a minute.
_KEEP_ALIVE_S = 15.0
_MOST_LISTED = 200
# A file is shown or kept, never run, even when a browser is told to open it.
_FILE_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, immutable"}

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=100)]


def make_own_routes(context: ServerContext) -> APIRouter:
    """Return the routes of `/api/v1`."""
    router = APIRouter(prefix="/api/v1", tags=["jobs"])
    _add_job_routes(router, context)
    add_queue_routes(router, context)
    add_series_routes(router, context)
    _add_file_routes(router, context)
    _add_view_routes(router, context)
    _add_question_routes(router)
    return router


def _add_job_routes(router: APIRouter, context: ServerContext) -> None:
    @router.post("/jobs", status_code=202)
    async def submit(body: JobBody, key: Key = None) -> JSONResponse:
        """Queue a job. Once this is answered, no crash loses it. The same Idempotency-Key is the same job."""
        order_key = None if key is None else f"api:{key}"
        submit = partial(context.intake.submit, surface="api", kind=body.kind, order_key=order_key)
        job = await asyncio.to_thread(submit, body.to_settings())
        headers = {"Location": f"/api/v1/jobs/{job.id}"}
        return JSONResponse(_describe(context, context.tell_queued(job)), 202, headers)

    @router.get("/jobs")
    async def list_jobs(
        state: str | None = None,
        kind: str | None = None,
        most: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
        before: int | None = None,
    ) -> dict[str, Any]:
        """List jobs, the newest first. `next` is the `before` of the next page."""
        found = await asyncio.to_thread(context.store.list_jobs, state=state, kind=kind, most=most, before=before)
        after = found[-1].number if len(found) == most else None
        counts = await asyncio.to_thread(context.store.count_jobs)
        return {"jobs": [_describe(context, job) for job in found], "next": after, "counts": counts}

    @router.get("/jobs/{job_id}")
    async def find(job_id: str) -> dict[str, Any]:
        """Return a job with its progress and its files."""
        return _describe(context, await context.find(job_id))

    @router.delete("/jobs/{job_id}")
    async def cancel(job_id: str) -> dict[str, Any]:
        """Cancel a job: a queued one at once, a running one within a step."""
        return _describe(context, await context.cancel(job_id))

    @router.post("/jobs/{job_id}/retry", status_code=202)
    async def retry(job_id: str) -> dict[str, Any]:
        """Queue a job again that failed, was cancelled or is in quarantine."""
        job = await asyncio.to_thread(context.store.retry, job_id)
        return _describe(context, context.tell_queued(job))

    @router.get("/jobs/{job_id}/preview")
    async def preview(job_id: str) -> Response:
        """Return the picture of the work in progress, as JPEG; 404 until there is one."""
        context.want_preview()
        packed = context.hub.previews.get(job_id)
        if packed is None:
            raise NotFoundError("there is no preview of this job yet", got=job_id, do="Ask again while it runs.")
        return Response(packed, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get("/jobs/{job_id}/events")
    async def events(job_id: str, previews: bool = True) -> StreamingResponse:
        """Stream `state`, `progress`, `preview` and `warning` events until the job has ended."""
        await context.find(job_id)
        stream = _stream_events(context, job_id, previews=previews)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _add_file_routes(router: APIRouter, context: ServerContext) -> None:
    @router.post("/files", status_code=201)
    async def send(request: Request) -> dict[str, Any]:
        """Keep a picture (PNG, JPEG or WebP as the body) for `init` or `mask`; the same picture has the same id."""
        packed = await request.body()
        return (await asyncio.to_thread(context.intake.add_picture, packed)).to_json()

    @router.get("/files/{file_id}")
    async def load(file_id: str, download: bool = False) -> FileResponse:
        """Return a picture by its id."""
        file = await asyncio.to_thread(context.store.find_file, file_id)
        path = await asyncio.to_thread(context.intake.find_path, file_id)
        kind = "attachment" if download else "inline"
        name = f"sfumato-{file.id[:40]}{path.suffix}"
        return FileResponse(
            path, media_type=file.media_type, filename=name, content_disposition_type=kind, headers=_FILE_HEADERS
        )

    @router.post("/plan")
    async def plan(body: JobBody) -> dict[str, Any]:
        """Say what a job would cost, without queueing it; a refusal names the largest that fits."""
        return await asyncio.to_thread(context.intake.forecast, body.to_settings(), kind=body.kind)


def _add_view_routes(router: APIRouter, context: ServerContext) -> None:
    maker = ViewMaker()

    @router.get("/files/{file_id}/thumbnail")
    async def thumbnail(file_id: str) -> Response:
        """Return a small copy of a picture, as JPEG."""
        path = await asyncio.to_thread(context.intake.find_path, file_id)
        packed = await asyncio.to_thread(maker.make_thumbnail, file_id, path)
        return Response(packed, media_type="image/jpeg", headers=_FILE_HEADERS)

    @router.get("/files/{file_id}/tiles/picture.dzi")
    async def tiles(file_id: str) -> FileResponse:
        """Return the DeepZoom description of a picture; the first call cuts the tiles, which takes seconds for a large one."""
        path = await asyncio.to_thread(context.intake.find_path, file_id)
        described = await asyncio.to_thread(maker.make_tiles, path)
        return FileResponse(described, media_type="application/xml", headers=_FILE_HEADERS)

    @router.get("/files/{file_id}/tiles/picture_files/{level}/{column}_{row}.jpg")
    async def tile(
        file_id: str,
        level: Annotated[int, Path(ge=0)],
        column: Annotated[int, Path(ge=0)],
        row: Annotated[int, Path(ge=0)],
    ) -> Response:
        """Return one tile of a picture whose description was asked for before."""
        packed = await asyncio.to_thread(maker.read_tile, file_id, context.intake.find_path, level, column, row)
        return Response(packed, media_type="image/jpeg", headers=_FILE_HEADERS)

    @router.get("/files/{file_id}/facts")
    async def facts(file_id: str) -> dict[str, Any]:
        """Return what was measured while a picture was drawn: its self-check, times and memory."""
        path = await asyncio.to_thread(context.intake.find_path, file_id)
        return await asyncio.to_thread(load_facts, path)

    @router.get("/files/{file_id}/recipe")
    async def recipe(file_id: str) -> dict[str, str | None]:
        """Return the command and the Python that draw a picture again; null where it grew from another picture."""
        file = await asyncio.to_thread(context.store.find_file, file_id)
        if file.job_id is None:
            raise NotFoundError("this picture was sent, not drawn", got=file_id)
        return write_recipe(await context.find(file.job_id), file)


def _add_question_routes(router: APIRouter) -> None:
    @router.get("/models")
    async def models() -> dict[str, Any]:
        """List the models that a job may name."""
        found = await asyncio.to_thread(api.list_models)
        # Where they lie is none of a client's business.
        shown = [{name: value for name, value in model.items() if name != "path"} for model in found]
        return {"models": shown, "default": api.DEFAULTS.model, "samplers": list(api.list_samplers())}

    @router.get("/words")
    async def words(prompt: Annotated[str, Query(max_length=20_000)] = "") -> dict[str, Any]:
        """Say which words of a prompt mini has not learned; without a prompt list all that it has."""
        if prompt:
            return {"unknown": list(await asyncio.to_thread(api.find_unknown_words, prompt))}
        return {"known": list(await asyncio.to_thread(api.list_words)), "unknown": []}


def _describe(context: ServerContext, job: JobRecord) -> dict[str, Any]:
    progress = context.hub.progress.get(job.id) if job.state == "running" else None
    return job.to_json() | {"progress": progress, "warnings": context.hub.warnings.get(job.id, [])}


async def _stream_events(context: ServerContext, job_id: str, *, previews: bool) -> AsyncGenerator[str]:
    told_state, told_progress, told_preview, told_warnings, silent_s = "", None, None, 0, 0.0
    with context.hub.listen(job_id) as bell:
        while not context.hub.closing:
            bell.clear()
            if previews:
                context.want_preview()
            try:
                job = await context.find(job_id)
            except RequestError:
                # It was removed while somebody watched.
                return
            lines = list[str]()
            progress, preview = context.hub.progress.get(job_id), context.hub.previews.get(job_id)
            said = context.hub.warnings.get(job_id, [])
            lines += [_write_event("warning", {"message": message}) for message in said[told_warnings:]]
            told_warnings = len(said)
            if progress is not None and progress is not told_progress:
                lines.append(_write_event("progress", progress))
                told_progress = progress
            if previews and preview is not None and preview is not told_preview:
                lines.append(_write_event("preview", {"jpeg_base64": base64.b64encode(preview).decode()}))
                told_preview = preview
            # A job that a crash put back may be in a state that was told before.
            state = f"{job.state} {job.attempts} {job.cancel_wanted}"
            if state != told_state:
                lines.append(_write_event("state", _describe(context, job)))
                told_state = state
            for line in lines:
                yield line
            if job.has_ended:
                return
            silent_s = 0.0 if lines else silent_s
            if silent_s >= _KEEP_ALIVE_S:
                yield ": still here\n\n"
                silent_s = 0.0
            before = asyncio.get_running_loop().time()
            await wait_for_bell(bell)
            silent_s += asyncio.get_running_loop().time() - before


def _write_event(kind: str, value: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"
