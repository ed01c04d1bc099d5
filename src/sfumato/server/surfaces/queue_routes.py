"""What an owner does with the queue over HTTP: see who waits, move, pause, remove and prune.

Start reading at `add_queue_routes`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from sfumato.server.context import ServerContext
from sfumato.server.queue.upkeep import PruneLimits


class MoveBody(BaseModel):
    """Where a job goes: `before` another job that waits, or behind all where it is left out."""

    model_config = ConfigDict(extra="forbid")

    before: str | None = None


class PruneBody(BaseModel):
    """What is old, see `PruneLimits`."""

    model_config = ConfigDict(extra="forbid")

    older_s: float | None = None
    most_jobs: int | None = None
    most_bytes: int | None = None
    uploads_older_s: float | None = None


def add_queue_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes of the queue."""
    store = context.store

    async def tell() -> dict[str, Any]:
        counts, waiting = await asyncio.to_thread(store.count_jobs), await asyncio.to_thread(store.list_waiting)
        is_paused = await asyncio.to_thread(store.is_paused)
        return {"paused": is_paused, "waiting": waiting, "running": context.hub.running, "counts": counts}

    @router.get("/queue")
    async def show() -> dict[str, Any]:
        """Say who waits, in turn, who runs, and whether the queue is paused."""
        return await tell()

    @router.post("/queue/pause")
    async def pause() -> dict[str, Any]:
        """Begin no further job; the one that runs goes on to its end. A restart does not end the pause."""
        await asyncio.to_thread(store.pause, True)
        return await tell()

    @router.post("/queue/resume")
    async def resume() -> dict[str, Any]:
        """Begin jobs again."""
        await asyncio.to_thread(store.pause, False)
        context.supervisor.wake()
        return await tell()

    @router.post("/queue/prune")
    async def prune(body: PruneBody) -> dict[str, Any]:
        """Remove ended jobs with their pictures, and sent pictures that no job names; say how many and how large."""
        limits = PruneLimits(**body.model_dump())
        return await asyncio.to_thread(store.prune, limits)

    @router.post("/jobs/{job_id}/move")
    async def move(job_id: str, body: MoveBody) -> dict[str, Any]:
        """Put a job that waits before another one, or behind all."""
        await asyncio.to_thread(store.move, job_id, before=body.before)
        return await tell()
