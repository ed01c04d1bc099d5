"""The Images API that scripts for DALL-E speak, under `/v1`: generations, edits, variations and models.

Names of their models mean the default model here. `quality`, `style`, `moderation` and `user` have no effect.
Settings of ours come in as extra fields. A mask is erased where the picture is drawn anew. Start reading at `ImageBody`,
then `make_openai_routes`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image, ImageChops
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.server.answers import make_answer
from sfumato.server.context import ServerContext, wait_for_bell
from sfumato.server.forms import read_parts
from sfumato.server.intake import Intake
from sfumato.server.queue.records import JobRecord, list_safety

_FOREIGN = re.compile(r"(dall-e|gpt-image|chatgpt-image)[\w.-]*")
# Clients of stable-diffusion.cpp put further settings into the prompt.
_EXTRA = re.compile(r"<sd_cpp_extra_args>(.{0,4000}?)</sd_cpp_extra_args>", re.DOTALL)
_EXTRA_NAMES = {
    "negative_prompt": "negative",
    "cfg_scale": "guidance",
    "sample_steps": "steps",
    "sample_method": "sampler",
}
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,19})(\.\d{1,17})?")
_CELL_PX = 8
_KEEP_ALIVE_S = 15.0
_BASE64 = {"response_format": "b64_json"}
# Nothing here is counted in tokens; clients want the fields.
_TOKENS = {"image_tokens": 0, "text_tokens": 0}
_USAGE = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "input_tokens_details": _TOKENS}
_SUFFIXES = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=100)]


class ImageBody(BaseModel):
    """What clients of the Images API send; further fields are settings of ours, by their names."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    model: Annotated[str, Field(max_length=255)] | None = None
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: Annotated[str, Field(max_length=32)] | None = None
    quality: str | None = None
    style: str | None = None
    response_format: Literal["url", "b64_json"] | None = None
    background: str | None = None
    moderation: str | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    stream: bool | None = None
    user: str | None = None

    def to_settings(self) -> dict[str, Any]:
        """Return the settings of a job.

        Raises:
            RequestError: something is wanted that this version cannot do.
        """
        if self.background == "transparent":
            raise RequestError("pictures have no transparent background", do="Leave `background` out.")
        prompt, extra = _read_extra(self.prompt)
        extra |= {_EXTRA_NAMES.get(name, name): value for name, value in (self.model_extra or {}).items()}
        model = self.model if self.model and not _FOREIGN.fullmatch(self.model) else None
        size = None if self.size in (None, "auto") else _snap(self.size or "")
        if extra.get("seed") == -1:
            del extra["seed"]
        return {**extra, "prompt": prompt, "model": model, "size": size, "batch": self.n}

    @property
    def wants_url(self) -> bool:
        """Tell whether the answer names files: asked for, or usual for the model that is named."""
        if self.response_format is not None:
            return self.response_format == "url"
        return bool(self.model and self.model.startswith("dall-e"))


@dataclass(frozen=True, kw_only=True)
class ImageForm:
    """A form with pictures: the fields by name, the pictures and the mask as they came."""

    fields: Mapping[str, str]
    pictures: tuple[bytes, ...] = ()
    mask: bytes | None = None

    def to_body(self, *, needs_prompt: bool = True) -> ImageBody:
        """Return the fields as the body of `generations`.

        Raises:
            RequestError: there is no picture or no prompt, or a field is wrong.
        """
        if not self.pictures:
            raise RequestError("the form has no `image`", do="Send a PNG, JPEG or WebP as `image`.")
        # A form has texts alone; settings of ours that are numbers become numbers again.
        said: dict[str, Any] = {
            name: json.loads(text) if _NUMBER.fullmatch(text) else text for name, text in self.fields.items()
        }
        said |= {name: self.fields[name] for name in ("prompt", "size", "user") if name in self.fields}
        if needs_prompt and not said.get("prompt"):
            raise RequestError("the form has no `prompt`", do="Say what is to be drawn.")
        try:
            return ImageBody.model_validate({"prompt": "", **said})
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:8])
            raise RequestError("the form has wrong fields", got=faults, do="Mend them and send it again.") from error

    def add_pictures(self, settings: dict[str, Any], intake: Intake) -> dict[str, Any]:
        """Return the settings with the first picture as `init`, at the wanted size, and what is erased as the mask.

        Raises:
            RequestError, UnsafeFileError: a picture cannot be read, or the mask erases nothing.
        """
        first, *others = self.pictures
        if others:
            do = "Send one picture; several are not mixed here."
            raise RequestError("this server edits one picture at a time", got=len(self.pictures), do=do)
        picture = intake.open_picture(first)
        wanted = settings.get("size")
        sides = api.PixelSize.parse(wanted) if wanted else api.PixelSize(*picture.size)
        size = (max(_CELL_PX, sides.width // _CELL_PX * _CELL_PX), max(_CELL_PX, sides.height // _CELL_PX * _CELL_PX))
        mask = None if self.mask is None else intake.open_picture(self.mask)
        if mask is None and picture.mode == "RGBA":
            # Without a mask the picture's own transparency says where.
            mask = picture
        more: dict[str, Any] = {"size": f"{size[0]}x{size[1]}"}
        more["init"] = intake.keep_picture(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)).id
        if mask is not None:
            if mask.mode != "RGBA":
                raise RequestError("the mask has no transparent part", do="Erase what is to be drawn anew.")
            erased = ImageChops.invert(mask.getchannel("A")).resize(size, Image.Resampling.BILINEAR)
            more["mask"] = intake.keep_picture(erased.convert("RGB")).id
            more["strength"] = settings.get("strength", 1.0)
        return settings | more


async def read_form(request: Request) -> ImageForm:
    """Read a form with pictures; several come as `image[]`.

    Raises:
        RequestError: the message is no form, or has too many parts.
    """
    parts = read_parts(request.headers.get("content-type", ""), await request.body())
    files = [part for part in parts if part.is_file]
    return ImageForm(
        fields={part.name: part.text for part in parts if not part.is_file},
        pictures=tuple(part.content for part in files if part.name in ("image", "image[]")),
        mask=next((part.content for part in files if part.name == "mask"), None),
    )


def make_openai_routes(context: ServerContext) -> APIRouter:
    """Return the routes of `/v1`."""
    router = APIRouter(prefix="/v1", tags=["openai"])

    @router.get("/models")
    async def models() -> dict[str, Any]:
        found = await asyncio.to_thread(api.list_models)
        names = [str(model["name"]) for model in found if model.get("kind", "checkpoint") in ("checkpoint", "model")]
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "sfumato"} for name in names]
        return {"object": "list", "data": rows}

    @router.post("/images/generations")
    async def generate(
        body: ImageBody,
        request: Request,
        key: Key = None,
    ) -> Response:
        return await _answer(context, request, body, body.to_settings(), key)

    @router.post("/images/edits")
    async def edit(request: Request, key: Key = None) -> Response:
        form = await read_form(request)
        body = form.to_body()
        settings = await asyncio.to_thread(form.add_pictures, body.to_settings(), context.intake)
        return await _answer(context, request, body, settings, key, kind="image_edit")

    @router.post("/images/variations")
    async def vary(request: Request, key: Key = None) -> Response:
        form = await read_form(request)
        body = form.to_body(needs_prompt=False)
        settings = await asyncio.to_thread(form.add_pictures, body.to_settings(), context.intake)
        return await _answer(context, request, body, settings, key)

    return router


async def _answer(
    context: ServerContext,
    request: Request,
    body: ImageBody,
    settings: dict[str, Any],
    key: str | None,
    *,
    kind: str = "image_generation",
) -> Response:
    """Queue a job and wait for it, or stream it."""
    # A client that tries again after a lost answer gets the job that it has ordered.
    order_key = None if key is None else f"openai:{key}"
    submit = partial(context.intake.submit, surface="openai", order_key=order_key, needs_prompt="init" not in settings)
    job = context.tell_queued(await asyncio.to_thread(submit, settings))
    if body.stream:
        stream = _stream(context, job.id, body, kind)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    job = await context.wait_for_end(job.id)
    if job.state != "done":
        return _answer_failure(request.url.path, job)
    pictures = await asyncio.to_thread(_load_pictures, context, job, body)
    base = str(request.base_url).rstrip("/")
    rows = [
        {"url": f"{base}/api/v1/files/{file.id}"} if body.wants_url else {"b64_json": base64.b64encode(packed).decode()}
        for file, packed in zip(job.files, pictures, strict=True)
    ]
    size = f"{job.files[0].width}x{job.files[0].height}"
    more = {"size": size, "output_format": body.output_format or "png", "background": "opaque"}
    more |= {"sfumato": {"job": job.id, "safety": list_safety(job)}}
    return JSONResponse({"created": int(time.time()), "data": rows, **more})


async def _stream(context: ServerContext, job_id: str, body: ImageBody, kind: str) -> AsyncGenerator[str]:
    """Yield previews while a job is drawn, then its pictures, as server-sent events."""
    told, count, said_at = None, 0, time.monotonic()
    with context.hub.listen(job_id) as bell:
        while True:
            bell.clear()
            if count < (body.partial_images or 0):
                context.want_preview()
            job, preview = await context.find(job_id), context.hub.previews.get(job_id)
            if preview is not None and preview is not told and count < (body.partial_images or 0):
                more = {"partial_image_index": count, "output_format": "jpeg"}
                yield _write_event(f"{kind}.partial_image", preview, body, more)
                told, count, said_at = preview, count + 1, time.monotonic()
            if job.has_ended or context.hub.closing:
                break
            if time.monotonic() - said_at > _KEEP_ALIVE_S:
                yield ": still here\n\n"
                said_at = time.monotonic()
            await wait_for_bell(bell)
    if job.state != "done":
        answer = _answer_failure("/v1/", job)
        yield f"event: error\ndata: {bytes(answer.body).decode()}\n\n"
        return
    # An address would serve as well, but clients of a stream read base64 alone.
    for packed in await asyncio.to_thread(_load_pictures, context, job, body.model_copy(update=_BASE64)):
        more = {"output_format": body.output_format or "png", "usage": _USAGE}
        yield _write_event(f"{kind}.completed", packed, body, more)


def _write_event(kind: str, packed: bytes, body: ImageBody, more: dict[str, Any]) -> str:
    value = {
        "type": kind,
        "b64_json": base64.b64encode(packed).decode(),
        "created_at": int(time.time()),
        "size": body.size or "auto",
        "quality": body.quality or "auto",
        "background": "opaque",
        **more,
    }
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"


def _answer_failure(path: str, job: JobRecord) -> JSONResponse:
    error = dict(job.error or {"error": job.state, "what": f"the job was {job.state}", "got": job.id, "do": ""})
    return make_answer(path, 409 if job.state == "cancelled" else 500, error)


def _load_pictures(context: ServerContext, job: JobRecord, body: ImageBody) -> list[bytes]:
    paths = [context.intake.find_path(file.id) for file in job.files]
    return [b"" if body.wants_url else _encode(path, body) for path in paths]


def _encode(path: Path, body: ImageBody) -> bytes:
    kind = _SUFFIXES[body.output_format or "png"]
    if kind == "PNG":
        return path.read_bytes()
    stream = io.BytesIO()
    quality = 90 if body.output_compression is None else body.output_compression
    with Image.open(path) as picture:
        # What the file says of its origin goes along; the request does not, as with OpenAI.
        more = {"xmp": picture.info["xmp"]} if "xmp" in picture.info else {}
        picture.convert("RGB").save(stream, kind, quality=quality, **more)
    return stream.getvalue()


def _snap(size: str) -> str:
    wanted = api.PixelSize.parse(size)
    sides = [max(_CELL_PX, side // _CELL_PX * _CELL_PX) for side in (wanted.width, wanted.height)]
    return f"{sides[0]}x{sides[1]}"


def _read_extra(prompt: str) -> tuple[str, dict[str, Any]]:
    found = _EXTRA.search(prompt)
    if found is None:
        return prompt, {}
    try:
        said = json.loads(found[1])
    except (ValueError, RecursionError) as error:
        raise RequestError("the extra arguments in the prompt are no JSON", got=found[1]) from error
    if not isinstance(said, dict):
        raise RequestError("the extra arguments in the prompt are no JSON object", got=found[1])
    known = {_EXTRA_NAMES.get(name, name): value for name, value in cast("dict[str, Any]", said).items()}
    return _EXTRA.sub("", prompt).strip(), known
