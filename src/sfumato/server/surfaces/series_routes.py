"""A series over HTTP: a grid, a prompt matrix, many prompts or many pictures become jobs, and their results one sheet or one ZIP.

Start reading at `add_series_routes`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from sfumato.core.errors import RequestError
from sfumato.server.context import ServerContext
from sfumato.server.surfaces.job_body import JobBody
from sfumato.workflows.requests import choose_seed
from sfumato.workflows.series.axes import MOST_VARIANTS, GridAxis, Variant, list_matrix, list_prompts, list_variants
from sfumato.workflows.series.expand import list_wildcards, load_styles
from sfumato.workflows.series.grid import draw_grid

_MOST_PROMPT_CHARACTERS = 2**20


class AxisBody(BaseModel):
    """A setting and its values; `prompt_replace` puts each value where the first stands in the prompt."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=64)]
    values: Annotated[list[str | int | float], Field(min_length=1, max_length=MOST_VARIANTS)]


class SeriesBody(BaseModel):
    """What varies, and the settings that stay: one of `axes`, `matrix`, `prompts` and `pictures`.

    `pictures` are ids of files, the folder of a client: each is the `init` of a render, or the `picture` of another kind.
    """

    model_config = ConfigDict(extra="forbid")

    job: JobBody
    axes: Annotated[list[AxisBody], Field(max_length=3)] | None = None
    matrix: bool = False
    prompts: Annotated[str, Field(max_length=_MOST_PROMPT_CHARACTERS)] | None = None

    pictures: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=MOST_VARIANTS)] | None = None

    def list_variants(self) -> list[Variant]:
        """Return the settings of each job; all have one seed.

        Raises:
            RequestError: it varies in no way or in two, or a value is wrong.
        """
        if sum((bool(self.axes), self.matrix, self.prompts is not None, bool(self.pictures))) != 1:
            do = "Say `axes`, `matrix`, `prompts` or `pictures`, one of them."
            raise RequestError("a series varies in one way", do=do)
        said = self.job.to_settings()
        if self.pictures:
            return self._list_pictures(said, self.pictures)
        if self.job.kind != "render":
            do = "Give `pictures`, or a job of kind render."
            raise RequestError("a series of this kind is of pictures", got=self.job.kind, do=do)
        said["seed"] = choose_seed(said.get("seed"))
        if self.matrix:
            return list_matrix(said)
        if self.prompts is not None:
            return list_prompts(said, self.prompts)
        return list_variants(said, [GridAxis(name=axis.name, values=tuple(axis.values)) for axis in self.axes or ()])

    def _list_pictures(self, said: dict[str, Any], pictures: list[str]) -> list[Variant]:
        if self.job.kind == "teach":
            raise RequestError("a concept has its own pictures", got="teach", do="Send them to the concept.")
        name = "init" if self.job.kind == "render" else "picture"
        if name in said:
            raise RequestError(f"`{name}` and `pictures` say the same thing", do="Leave one of them out.")
        if self.job.kind not in ("check", "find", "upscale"):
            said["seed"] = choose_seed(said.get("seed"))
        return [Variant(settings={**said, name: one}, labels=(one,)) for one in pictures]


class SheetBody(BaseModel):
    """The jobs whose first pictures stand on a sheet, and its labels."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[str], Field(min_length=1, max_length=MOST_VARIANTS)]
    columns: Annotated[int, Field(ge=1, le=MOST_VARIANTS)] | None = None
    column_labels: Annotated[list[str], Field(max_length=MOST_VARIANTS)] = []
    row_labels: Annotated[list[str], Field(max_length=MOST_VARIANTS)] = []


class ArchiveBody(BaseModel):
    """The jobs whose files are packed."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[str], Field(min_length=1, max_length=MOST_VARIANTS)]


def add_series_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes of series, and of what prompts may hold."""

    @router.post("/series", status_code=202)
    async def submit(body: SeriesBody) -> JSONResponse:
        """Queue the jobs of a series. Every one is checked before the first is queued."""
        variants = await asyncio.to_thread(body.list_variants)
        check = partial(context.intake.make_order, body.job.kind)
        for variant in variants:
            await asyncio.to_thread(check, variant.settings)
        ordered = list[dict[str, Any]]()
        for variant in variants:
            submit = partial(context.intake.submit, surface="api", kind=body.job.kind)
            job = await asyncio.to_thread(submit, variant.settings)
            ordered.append({"job": context.tell_queued(job).id, "labels": list(variant.labels)})
        return JSONResponse({"jobs": ordered, "columns": len(body.axes[0].values) if body.axes else None}, 202)

    @router.post("/series/sheet")
    async def draw(body: SheetBody) -> Response:
        """Return one picture of the first pictures of jobs that are done, PNG."""
        return Response(await asyncio.to_thread(_draw, context, body), media_type="image/png")

    @router.post("/series/archive")
    async def pack(body: ArchiveBody) -> FileResponse:
        """Return all pictures and results of jobs that are done, as a ZIP; a folder for each job."""
        path = await asyncio.to_thread(_pack, context, body.jobs)
        gone = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, media_type="application/zip", filename="series.zip", background=gone)

    @router.get("/styles")
    async def styles() -> dict[str, Any]:
        """List the named styles, and the wildcards that a prompt may hold."""
        found = await asyncio.to_thread(load_styles)
        rows = [{"name": one.name, "prompt": one.prompt, "negative": one.negative} for one in found]
        return {"styles": rows, "wildcards": list(await asyncio.to_thread(list_wildcards))}


def _pack(context: ServerContext, job_ids: list[str]) -> Path:
    """Pack the files of jobs, and what each job says of itself; pictures are packed already, so they are stored as they are."""
    handle, name = tempfile.mkstemp(suffix=".zip", dir=context.store.folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for number, job_id in enumerate(dict.fromkeys(job_ids), start=1):
                job = context.store.find(job_id)
                if job.state != "done":
                    raise RequestError("a job of the series is not done", got=job_id, do="Wait until all are done.")
                for file in (*job.files, *job.evidence):
                    found = context.intake.find_path(file.id)
                    archive.write(found, f"{number:03}-{job.kind}/{file.role}-{file.number}{found.suffix}")
                archive.writestr(f"{number:03}-{job.kind}/job.json", json.dumps(job.to_json(), indent=1))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _draw(context: ServerContext, body: SheetBody) -> bytes:
    pictures = list[Image.Image]()
    for job_id in body.jobs:
        job = context.store.find(job_id)
        if not job.files:
            raise RequestError("a job of the sheet has no picture", got=job_id, do="Wait until all are done.")
        with Image.open(context.intake.find_path(job.files[0].id), formats=["PNG"]) as opened:
            pictures.append(opened.convert("RGB"))
    sheet = draw_grid(pictures, columns=body.columns, column_labels=body.column_labels, row_labels=body.row_labels)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
