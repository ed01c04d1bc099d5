"""Pictures that were kept, at `/api/v1`: the gallery, what a picture is compared with, and the settings inside a file.

Start reading at `make_gallery_routes`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest
from sfumato.server.before import Before, list_before, make_before
from sfumato.server.context import ServerContext
from sfumato.server.queue.gallery import Gallery, GallerySearch
from sfumato.server.queue.records import JobRecord, NotFoundError, StoredFile
from sfumato.server.views import ViewMaker
from sfumato.workflows.files.describe_picture import describe_picture
from sfumato.workflows.stored import carry_over

_MOST_LISTED = 200
_LONGEST_WORDS = 200
# A file is shown or kept, never run, even when a browser is told to open it.
_FILE_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, immutable"}
# Settings of a request that a person chooses, by the names of a job.
_SETTINGS = ("prompt", "negative", "seed", "steps", "sampler", "schedule", "guidance", "clip_skip", "model")

Second = Annotated[float | None, Field(ge=0, le=1e11)]


class GalleryQuery(BaseModel):
    """What a client looks for in the gallery, and which page of it."""

    words: Annotated[str, Field(max_length=_LONGEST_WORDS)] = ""
    model: Annotated[str | None, Field(max_length=255)] = None
    since: Second = None
    until: Second = None
    favourites: bool = False
    deleted: bool = False
    similar: Annotated[str | None, Field(max_length=64)] = None
    most: Annotated[int, Field(ge=1, le=_MOST_LISTED)] = 60
    skip: Annotated[int, Field(ge=0, le=10**9)] = 0

    def to_search(self) -> GallerySearch:
        """Return the search alone."""
        return GallerySearch(
            words=self.words,
            model=self.model,
            since_s=self.since,
            until_s=self.until,
            favourites=self.favourites,
            deleted=self.deleted,
            similar=self.similar,
        )


def make_gallery_routes(context: ServerContext) -> APIRouter:
    """Return the routes of kept pictures."""
    router = APIRouter(prefix="/api/v1", tags=["gallery"])
    _add_gallery_routes(router, Gallery(context.store, ViewMaker().make_thumbnail))
    _add_before_routes(router, context)

    @router.post("/settings")
    async def read_settings(request: Request) -> dict[str, Any]:
        """Return the settings inside a picture of ours or of another tool; the body is PNG, JPEG or WebP. Nothing is kept."""
        packed = await request.body()
        return await asyncio.to_thread(_read_settings, packed)

    return router


def _add_gallery_routes(router: APIRouter, gallery: Gallery) -> None:
    @router.get("/gallery")
    async def search(wanted: Annotated[GalleryQuery, Query()]) -> dict[str, Any]:
        """Find finished pictures, the newest first, or those that look most like the picture `similar`.

        All `words` lie in the prompt; times are seconds since 1970.
        """
        found, count = await asyncio.to_thread(gallery.search, wanted.to_search(), most=wanted.most, skip=wanted.skip)
        models = await asyncio.to_thread(gallery.list_models)
        return {"pictures": [picture.to_json() for picture in found], "count": count, "models": models}

    @router.put("/gallery/{file_id}/favourite", status_code=204)
    async def like(file_id: str) -> None:
        """Mark a picture as a favourite."""
        await asyncio.to_thread(gallery.set_favourite, file_id, favourite=True)

    @router.delete("/gallery/{file_id}/favourite", status_code=204)
    async def unlike(file_id: str) -> None:
        """Take the mark of a favourite away."""
        await asyncio.to_thread(gallery.set_favourite, file_id, favourite=False)

    @router.delete("/gallery/{file_id}")
    async def remove(file_id: str) -> dict[str, float]:
        """Put a picture out of sight; until `undo_until_s` it can be brought back, then its file is removed."""
        return {"undo_until_s": await asyncio.to_thread(gallery.delete, file_id)}

    @router.post("/gallery/{file_id}/restore", status_code=204)
    async def restore(file_id: str) -> None:
        """Bring a deleted picture back."""
        await asyncio.to_thread(gallery.restore, file_id)


def _add_before_routes(router: APIRouter, context: ServerContext) -> None:
    async def find_job(file: StoredFile) -> JobRecord:
        if file.job_id is None:
            raise NotFoundError("this picture was sent, not drawn", got=file.id)
        return await context.find(file.job_id)

    @router.get("/files/{file_id}/before")
    async def befores(file_id: str) -> dict[str, list[Before]]:
        """List what a picture can be compared with: `base`, `lanczos`, `source`."""
        file = await asyncio.to_thread(context.store.find_file, file_id)
        job, path = await find_job(file), await asyncio.to_thread(context.intake.find_path, file_id)
        return {"before": await asyncio.to_thread(list_before, path, job, context.store.folder)}

    @router.get("/files/{file_id}/before/{kind}")
    async def before(file_id: str, kind: Before) -> Response:
        """Return the base of a picture, that base enlarged by Lanczos, or the picture it was made of, as JPEG."""
        file = await asyncio.to_thread(context.store.find_file, file_id)
        job, path = await find_job(file), await asyncio.to_thread(context.intake.find_path, file_id)
        size = PixelSize(file.width, file.height)
        packed = await asyncio.to_thread(make_before, kind, path, job, context.store.folder, size=size)
        return Response(packed, media_type="image/jpeg", headers=_FILE_HEADERS)


def _read_settings(packed: bytes) -> dict[str, Any]:
    """Return where a picture comes from, its settings by the names of a job, and what is not carried over."""
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        # Read by the same code as files of the command line; its texts are data, none of them is opened as a path.
        path = Path(folder) / "picture.png"
        path.write_bytes(packed)
        try:
            found = describe_picture(path)
        except RequestError as error:
            # Where it lay for a moment helps nobody.
            raise type(error)(error.what, do=error.do) from error
    size = str(found.sizes[0])
    if found.request is not None:
        return {"origin": "sfumato", "size": size, "settings": _list_settings(found.request), "left": []}
    if found.parameters is not None:
        settings, left = carry_over(found.parameters)
        if "size" in settings:
            settings["size"] = str(settings["size"])
        return {"origin": "other", "size": size, "settings": settings, "left": list(left)}
    left = ["the request of another version of Sfumato"] if found.unreadable else []
    return {"origin": None, "size": size, "settings": {}, "left": left}


def _list_settings(request: RenderRequest) -> dict[str, Any]:
    settings = {name: getattr(request, name) for name in _SETTINGS}
    return settings | {"size": str(request.size), "method": request.method.kind}
