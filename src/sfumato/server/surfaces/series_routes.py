"""A series over HTTP: a grid, a prompt matrix or many prompts become jobs, and their pictures one sheet.

Start reading at `add_series_routes`.
"""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

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
    """What varies, and the settings that stay: one of `axes`, `matrix` and `prompts`."""

    model_config = ConfigDict(extra="forbid")

    job: JobBody
    axes: Annotated[list[AxisBody], Field(max_length=3)] | None = None
    matrix: bool = False
    prompts: Annotated[str, Field(max_length=_MOST_PROMPT_CHARACTERS)] | None = None

    def list_variants(self) -> list[Variant]:
        """Return the settings of each job; all have one seed.

        Raises:
            RequestError: it varies in no way or in two, or a value is wrong.
        """
        if sum((bool(self.axes), self.matrix, self.prompts is not None)) != 1:
            raise RequestError("a series varies in one way", do="Say `axes`, `matrix` or `prompts`, one of them.")
        if self.job.kind != "render":
            raise RequestError("a series is of jobs of kind render", got=self.job.kind)
        said = self.job.to_settings()
        said["seed"] = choose_seed(said.get("seed"))
        if self.matrix:
            return list_matrix(said)
        if self.prompts is not None:
            return list_prompts(said, self.prompts)
        return list_variants(said, [GridAxis(name=axis.name, values=tuple(axis.values)) for axis in self.axes or ()])


class SheetBody(BaseModel):
    """The jobs whose first pictures stand on a sheet, and its labels."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[str], Field(min_length=1, max_length=MOST_VARIANTS)]
    columns: Annotated[int, Field(ge=1, le=MOST_VARIANTS)] | None = None
    column_labels: Annotated[list[str], Field(max_length=MOST_VARIANTS)] = []
    row_labels: Annotated[list[str], Field(max_length=MOST_VARIANTS)] = []


def add_series_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes of series, and of what prompts may hold."""

    @router.post("/series", status_code=202)
    async def submit(body: SeriesBody) -> JSONResponse:
        """Queue the jobs of a series. Every one is checked before the first is queued."""
        variants = await asyncio.to_thread(body.list_variants)
        check = partial(context.intake.make_order, "render")
        for variant in variants:
            await asyncio.to_thread(check, variant.settings)
        ordered = list[dict[str, Any]]()
        for variant in variants:
            job = await asyncio.to_thread(context.intake.submit, variant.settings, surface="api")
            ordered.append({"job": context.tell_queued(job).id, "labels": list(variant.labels)})
        return JSONResponse({"jobs": ordered, "columns": len(body.axes[0].values) if body.axes else None}, 202)

    @router.post("/series/sheet")
    async def draw(body: SheetBody) -> Response:
        """Return one picture of the first pictures of jobs that are done, PNG."""
        return Response(await asyncio.to_thread(_draw, context, body), media_type="image/png")

    @router.get("/styles")
    async def styles() -> dict[str, Any]:
        """List the named styles, and the wildcards that a prompt may hold."""
        found = await asyncio.to_thread(load_styles)
        rows = [{"name": one.name, "prompt": one.prompt, "negative": one.negative} for one in found]
        return {"styles": rows, "wildcards": list(await asyncio.to_thread(list_wildcards))}


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
