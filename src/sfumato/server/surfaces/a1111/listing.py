"""What clients of A1111 ask before they draw: models, samplers, options and lists of what is not here.

Every answer is JSON, never an empty body; every option that is returned may be sent back. Start reading at
`add_listing_routes`.
"""

from __future__ import annotations

import asyncio
import io
from typing import Any

from fastapi import APIRouter
from PIL import Image
from pydantic import BaseModel

from sfumato import api
from sfumato.core.validate import check_int
from sfumato.models.upscaler.find_upscaler import list_networks
from sfumato.server.context import ServerContext
from sfumato.server.names import check_name
from sfumato.server.surfaces.a1111.bodies import AUTOMATIC, read_base64, read_title
from sfumato.server.surfaces.a1111.control import SCRIPT as CONTROL_SCRIPT
from sfumato.server.surfaces.a1111.extras import AUTO_UPSCALER
from sfumato.server.surfaces.a1111.scripts import PICTURE_SCRIPTS, TEXT_SCRIPTS
from sfumato.workflows.series.expand import load_styles

_LATENT_MODES = ("", " (antialiased)", " (bicubic)", " (bicubic antialiased)", " (nearest)", " (nearest-exact)")
# Lists that clients ask for and that are empty here.
_EMPTY = (
    "hypernetworks",
    "face-restorers",
    "realesrgan-models",
    "sd-modules",
    "extensions",
)
_NOTHING_TO_DO = ("refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings")
# The slider of A1111 ends here.
_MOST_CLIP_SKIP = 12
_OPTIONS: dict[str, Any] = {
    "sd_model_checkpoint": api.DEFAULTS.model,
    "sd_checkpoint_hash": "",
    "sd_vae": "Automatic",
    "CLIP_stop_at_last_layers": 1,
    "samples_format": "png",
    "inpainting_mask_weight": 1.0,
    "live_previews_enable": True,
}
# Options that change what is drawn; the others are taken and change nothing.
_KEPT = ("sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers")


class PictureBody(BaseModel):
    """A picture as base64."""

    image: str


def add_listing_routes(router: APIRouter, context: ServerContext) -> None:
    """Add the routes that only tell something."""
    _add_options(router, context)
    _add_models(router)
    for name in _EMPTY:
        router.add_api_route(f"/{name}", _list_nothing, methods=["GET"], name=name)
    for name in _NOTHING_TO_DO:
        router.add_api_route(f"/{name}", _do_nothing, methods=["POST"], name=name)

    @router.get("/samplers")
    async def samplers() -> list[dict[str, Any]]:
        return [{"name": name, "aliases": [], "options": {}} for name in api.list_samplers()]

    @router.get("/schedulers")
    async def schedulers() -> list[dict[str, Any]]:
        rows = [("automatic", "Automatic"), *api.list_schedules()]
        more = {"aliases": None, "default_rho": -1.0, "need_inner_model": False}
        return [{"name": name, "label": label, **more} for name, label in rows]

    @router.get("/scripts")
    async def scripts() -> dict[str, list[str]]:
        # A client that finds a name here sends the script with every picture, mostly switched off.
        always = ("adetailer", CONTROL_SCRIPT)
        return {"txt2img": [*always, *TEXT_SCRIPTS], "img2img": [*always, *TEXT_SCRIPTS, *PICTURE_SCRIPTS]}

    @router.get("/script-info")
    async def list_script_rows() -> list[dict[str, Any]]:
        row = {"is_alwayson": False, "is_img2img": False, "args": []}
        return [{"name": name, **row} for name in TEXT_SCRIPTS]

    @router.get("/prompt-styles")
    async def styles() -> list[dict[str, str]]:
        found = await asyncio.to_thread(load_styles)
        return [{"name": one.name, "prompt": one.prompt, "negative_prompt": one.negative} for one in found]

    @router.get("/memory")
    async def memory() -> dict[str, Any]:
        # How much this machine has is none of a client's business; the shape is what clients read.
        return {"ram": {"free": 0, "used": 0, "total": 0}, "cuda": {"error": "not told"}}

    @router.get("/latent-upscale-modes")
    async def latent_modes() -> list[dict[str, str]]:
        return [{"name": f"Latent{mode}"} for mode in _LATENT_MODES]

    @router.get("/cmd-flags")
    async def flags() -> dict[str, Any]:
        return {"api": True}

    @router.get("/embeddings")
    async def embeddings() -> dict[str, Any]:
        found = await asyncio.to_thread(_list_names, "embedding")
        row = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 0, "vectors": 0}
        return {"loaded": dict.fromkeys(found, row), "skipped": {}}

    @router.post("/png-info")
    async def read_texts(body: PictureBody) -> dict[str, Any]:
        return await asyncio.to_thread(_read_texts, context, read_base64(body.image))


def _add_options(router: APIRouter, context: ServerContext) -> None:
    @router.get("/options")
    async def load_options() -> dict[str, Any]:
        return _OPTIONS | await asyncio.to_thread(context.store.load_options)

    @router.post("/options")
    async def save_options(body: dict[str, Any]) -> None:
        checked = await asyncio.to_thread(_check_options, body)
        for name, value in checked.items():
            await asyncio.to_thread(context.store.save_option, name, value)


def _check_options(body: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have an effect; a wrong one would spoil every later call, so it is refused now."""
    kept = {name: body[name] for name in _KEPT if name in body}
    if "sd_model_checkpoint" in kept:
        kept["sd_model_checkpoint"] = read_title(str(kept["sd_model_checkpoint"]))
        if kept["sd_model_checkpoint"] != api.DEFAULTS.model:
            check_name("checkpoint", kept["sd_model_checkpoint"])
    if "sd_vae" in kept and str(kept["sd_vae"]).casefold() not in AUTOMATIC:
        check_name("vae", kept["sd_vae"])
    if "CLIP_stop_at_last_layers" in kept:
        check_int("CLIP_stop_at_last_layers", kept["CLIP_stop_at_last_layers"], low=1, high=_MOST_CLIP_SKIP)
    return kept


def _add_models(router: APIRouter) -> None:
    @router.get("/sd-models")
    async def models() -> list[dict[str, Any]]:
        # The name is all that a client needs; where the file lies stays here.
        names = await asyncio.to_thread(_list_names, "checkpoint")
        rest = {"hash": None, "sha256": None, "config": None}
        return [{"title": name, "model_name": name, "filename": name, **rest} for name in names]

    @router.get("/sd-vae")
    async def autoencoders() -> list[dict[str, Any]]:
        return [{"model_name": name, "filename": name} for name in await asyncio.to_thread(_list_names, "autoencoder")]

    @router.get("/loras")
    async def loras() -> list[dict[str, Any]]:
        names = await asyncio.to_thread(_list_names, "LoRA")
        return [{"name": name, "alias": name, "path": name, "metadata": {}} for name in names]

    @router.get("/upscalers")
    async def upscalers() -> list[dict[str, Any]]:
        names = ["None", "Lanczos", AUTO_UPSCALER, *list_networks(), *await asyncio.to_thread(_list_names, "upscaler")]
        rest = {"model_name": None, "model_path": None, "model_url": None, "scale": 4}
        return [{"name": name, **rest} for name in names]


def _list_names(kind: str) -> list[str]:
    found = api.list_models()
    # mini says what it is, not what it is for.
    return [str(row["name"]) for row in found if row.get("kind", "checkpoint") == kind or _is_mini(row, kind)]


def _is_mini(row: dict[str, Any], kind: str) -> bool:
    return kind == "checkpoint" and row["name"] == api.DEFAULTS.model


def _read_texts(context: ServerContext, packed: bytes) -> dict[str, Any]:
    # Opened as every picture of a client is, for its checks; the texts are read from the file as it came.
    context.intake.open_picture(packed)
    with Image.open(io.BytesIO(packed), formats=["PNG", "JPEG", "WEBP"]) as picture:
        texts = {name: text for name, text in picture.info.items() if isinstance(name, str) and isinstance(text, str)}
    return {"info": texts.get("parameters", ""), "items": texts, "parameters": {}}


async def _list_nothing() -> list[Any]:
    return []


async def _do_nothing() -> None:
    return None
