"""The application: routes, gate and life of a server, around one context.

Start reading at `make_app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware

from sfumato.core.version import __version__
from sfumato.server.answers import add_error_answers
from sfumato.server.context import ServerContext
from sfumato.server.gate import Application, Gate
from sfumato.server.metrics import CONTENT_TYPE, CountingApplication, Metrics
from sfumato.server.pages import add_pages
from sfumato.server.surfaces.a1111.drawing import add_drawing_routes
from sfumato.server.surfaces.a1111.extras import add_extras_routes
from sfumato.server.surfaces.a1111.listing import add_listing_routes
from sfumato.server.surfaces.a1111.plugins import make_plugin_routes
from sfumato.server.surfaces.comfy import make_comfy_routes
from sfumato.server.surfaces.comfy_events import ComfyNames, make_event_routes
from sfumato.server.surfaces.concepts import make_concept_routes
from sfumato.server.surfaces.gallery import make_gallery_routes
from sfumato.server.surfaces.krita import make_krita_routes
from sfumato.server.surfaces.openai import make_openai_routes
from sfumato.server.surfaces.own import make_own_routes
from sfumato.server.surfaces.paint import make_paint_routes


def make_app(
    context: ServerContext,
    *,
    token: str = "",
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    most_bytes: int,
    pages: Path | None = None,
) -> Application:
    """Return the ASGI application of a server; its worker starts and ends with it.

    `hosts` are names beside this machine's own that it answers to, `origins` sites whose pages may use it.
    `pages` is the folder of a web page that it shows at `/`.
    """

    @asynccontextmanager
    async def live(_app: FastAPI) -> AsyncGenerator[None]:
        task = asyncio.create_task(context.supervisor.run())
        try:
            yield
        finally:
            context.hub.close()
            await context.supervisor.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # The pages of documentation would load scripts from elsewhere; the description itself is served.
    app = FastAPI(
        title="Sfumato",
        version=__version__,
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    add_error_answers(app)
    app.include_router(_make_health(context))
    app.include_router(make_own_routes(context))
    app.include_router(make_gallery_routes(context))
    app.include_router(make_concept_routes(context))
    app.include_router(make_openai_routes(context))
    router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
    add_drawing_routes(router, context)
    add_listing_routes(router, context)
    add_extras_routes(router, context)
    app.include_router(router)
    app.include_router(make_plugin_routes(context))
    app.include_router(make_paint_routes(context))
    app.include_router(make_krita_routes(context))
    names = ComfyNames()
    app.include_router(make_event_routes(context, names))
    for prefix in ("", "/api"):
        app.include_router(make_comfy_routes(context, prefix=prefix, names=names))
    if pages is not None:
        add_pages(app, pages)
    origins = tuple(origins)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    metrics = Metrics(context)

    @app.get("/metrics", include_in_schema=False)
    async def tell_metrics() -> Response:
        return Response(await asyncio.to_thread(metrics.write), media_type=CONTENT_TYPE)

    return Gate(CountingApplication(app, metrics), token=token, hosts=hosts, origins=origins, most_bytes=most_bytes)


def _make_health(context: ServerContext) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def tell_health() -> dict[str, Any]:
        """Say whether the server answers, the queue can be read, and a worker is ready."""
        counts = await asyncio.to_thread(context.store.count_jobs)
        supervisor = context.supervisor
        worker = {"ready": supervisor.ready.is_set(), "pid": supervisor.pid, "deaths": supervisor.deaths}
        return {"status": "ok", "version": __version__, "jobs": counts, "worker": worker}

    return router
