"""Concepts at `/api/v1`: the list with what each base learned, a new one from pictures that were sent, and their small copies.

A concept is taught by a job of kind teach. Paths of this machine stay here. Start reading at `make_concept_routes`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from sfumato.core.errors import RequestError
from sfumato.customize.build import ConceptBuild, list_builds
from sfumato.customize.concept import ConceptFolder, concepts_folder, find_concept, list_concepts
from sfumato.customize.create import NewConcept, create_concept
from sfumato.server.context import ServerContext
from sfumato.server.names import check_concept
from sfumato.server.queue.records import NotFoundError
from sfumato.server.views import ViewMaker

# More than a person drops at once; the command line takes more.
_MOST_PICTURES = 64
_CARD = "card.json"

Name = Annotated[str, Field(max_length=255)]


class ConceptBody(BaseModel):
    """A concept to make: `noun` says what it is, `trigger` the word in prompts, `pictures` are ids of files."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    noun: Name
    trigger: Name = ""
    description: Annotated[str, Field(max_length=300)] = ""
    pictures: Annotated[list[Name], Field(max_length=_MOST_PICTURES)]


def make_concept_routes(context: ServerContext) -> APIRouter:
    """Return the routes of concepts."""
    router = APIRouter(prefix="/api/v1", tags=["concepts"])
    maker = ViewMaker()

    @router.get("/concepts")
    async def show() -> dict[str, Any]:
        """List the concepts, with what each base learned of them."""
        return {"concepts": await asyncio.to_thread(_list)}

    @router.post("/concepts", status_code=201)
    async def make(body: ConceptBody) -> dict[str, Any]:
        """Make a concept from pictures that were sent to `/api/v1/files`; a job of kind teach trains it."""
        return await asyncio.to_thread(_make, context, body)

    @router.get("/concepts/{name}/pictures/{number}")
    async def picture(name: str, number: Annotated[int, Path(ge=0)]) -> Response:
        """Return a small copy of a picture of a concept, as JPEG; they count from 0."""
        packed = await asyncio.to_thread(_make_thumbnail, maker, name, number)
        return Response(packed, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    return router


def _list() -> list[dict[str, Any]]:
    return [_describe(concept) for concept in list_concepts()]


def _describe(concept: ConceptFolder) -> dict[str, Any]:
    told = {name: value for name, value in concept.to_json().items() if name != "path"}
    return told | {"bases": [_describe_build(build) for build in list_builds(concept)], "card": _read_card(concept)}


def _describe_build(build: ConceptBuild) -> dict[str, Any]:
    told = {name: getattr(build, name) for name in ("base", "steps", "best_step", "seconds", "stopped")}
    return told | {"rung": build.settings.get("rung"), "checks": list(build.checks)}


def _read_card(concept: ConceptFolder) -> dict[str, Any] | None:
    """Return the card of the last build that was scored; None where none was."""
    try:
        return json.loads((concept.path / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _make(context: ServerContext, body: ConceptBody) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        for number, file_id in enumerate(body.pictures):
            path = context.intake.find_path(file_id)
            shutil.copyfile(path, FilePath(folder) / f"{number:02}{path.suffix}")
        wanted = NewConcept(
            name=body.name,
            photos=FilePath(folder),
            noun=body.noun,
            trigger=body.trigger,
            description=body.description,
        )
        try:
            return _describe(create_concept(wanted))
        except RequestError as error:
            # Where pictures and concepts lie is none of a client's business.
            got = body.name if folder in str(error.got) or str(concepts_folder()) in str(error.got) else error.got
            raise type(error)(error.what, got=got, do=error.do) from error


def _make_thumbnail(maker: ViewMaker, name: str, number: int) -> bytes:
    check_concept(name)
    concept = find_concept(name)
    if number >= len(concept.pictures):
        raise NotFoundError("the concept has no such picture", got=number)
    picture = concept.pictures[number]
    # The digest: another concept of this name has other pictures.
    return maker.make_thumbnail(picture.sha256, concept.find_picture(picture))
