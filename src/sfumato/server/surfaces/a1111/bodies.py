"""What clients of A1111 send, and the settings of a job that it means.

Clients send fields that others invented, numbers as texts and names in old spellings; everything is taken, and what has no
effect here is named in the answer. Knows no route. Start reading at `TextBody.to_settings`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import HTTPException
from PIL import Image, ImageChops, ImageOps
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.server.intake import Intake

_CELL_PX = 8
AUTOMATIC = ("", "automatic", "none")
# Fields that would change the picture elsewhere and have no effect here, with the values that mean nothing.
_WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {
    "restore_faces": (None, False),
    "refiner_checkpoint": (None, "", "None"),
    "hr_prompt": (None, ""),
    "hr_negative_prompt": (None, ""),
    "infotext": (None, ""),
}
# What `inpainting_fill` counts.
_FILLS = ("surround", "original", "noise", "grey")
Word = Annotated[str, Field(max_length=255)]


class TextBody(BaseModel):
    """The body of txt2img; no field is needed, and unknown ones are taken."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = ""
    negative_prompt: str | None = ""
    seed: int | None = -1
    subseed: int | None = -1
    subseed_strength: float | None = 0.0
    styles: list[Word] | None = None
    tiling: bool | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler_name: Word | None = None
    sampler_index: Word | None = None
    scheduler: Word | None = None
    batch_size: int | None = None
    n_iter: int | None = None
    width: int | None = None
    height: int | None = None
    enable_hr: bool | None = False
    hr_scale: float | None = 2.0
    hr_resize_x: int | None = 0
    hr_resize_y: int | None = 0
    denoising_strength: float | None = None
    clip_skip: int | None = None
    send_images: bool | None = True
    override_settings: dict[str, Any] | None = None
    script_name: Word | None = None
    alwayson_scripts: dict[str, Any] | None = None

    @field_validator("seed", "subseed", mode="before")
    @classmethod
    def _read_seed(cls, value: Any) -> Any:
        # Photoshop's plug-in sends a text, and an empty one for a random seed.
        if isinstance(value, str):
            return int(value) if value.strip() else -1
        return value

    @property
    def extra(self) -> dict[str, Any]:
        """Return the fields that have no line above."""
        return self.model_extra or {}

    def list_ignored(self) -> list[str]:
        """Name the fields that were sent, would change the picture elsewhere, and have no effect here."""
        said = self.extra
        return [name for name, empty in _WITHOUT_EFFECT.items() if name in said and said[name] not in empty]

    def to_settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a job; `options` are those that clients have set for all.

        Raises:
            HTTPException: 404 "Sampler not found".
            RequestError: a value is out of range.
        """
        overrides = {**options, **(self.override_settings or {})}
        model = overrides.get("sd_model_checkpoint")
        vae = overrides.get("sd_vae")
        clip_skip = self.clip_skip or overrides.get("CLIP_stop_at_last_layers")
        settings: dict[str, Any] = {
            "prompt": self.prompt or "",
            # With guidance 1 it has no effect anywhere, and clients send it all the same.
            "negative": (self.negative_prompt or None) if self.cfg_scale != 1 else None,
            "seed": None if self.seed is None or self.seed < 0 else self.seed,
            "steps": self.steps,
            "guidance": self.cfg_scale,
            "batch": max(1, self.batch_size or 1) * max(1, self.n_iter or 1),
            "model": read_title(model) if isinstance(model, str) else None,
            "styles": self.styles or None,
            "seamless": "both" if self.tiling else None,
            "variation_strength": self.subseed_strength or None,
            "variation_seed": self.subseed if self.subseed_strength and (self.subseed or -1) >= 0 else None,
            "vae": vae if isinstance(vae, str) and vae.casefold() not in AUTOMATIC else None,
            "clip_skip": clip_skip if isinstance(clip_skip, int) and clip_skip > 1 else None,
            **self._read_sampling(),
        }
        size = self.read_size()
        if size is not None:
            settings["size"] = f"{size.width}x{size.height}"
        if self.enable_hr:
            settings |= self._read_second_pass(size)
        if self.tiling:
            # Such a picture is drawn in windows of its final size, without a level below.
            settings.pop("level_strength", None)
        return settings

    def read_size(self) -> api.PixelSize | None:
        """Return the size that was said, cut down to whole cells; None where no side was said."""
        if self.width is None and self.height is None:
            return None
        sides = [side if side is not None else self.width or self.height or 0 for side in (self.width, self.height)]
        if min(sides) < 1:
            raise RequestError("a side has at least 1 pixel", got=f"{sides[0]}x{sides[1]}")
        return api.PixelSize(*(max(_CELL_PX, side // _CELL_PX * _CELL_PX) for side in sides))

    def _read_sampling(self) -> dict[str, Any]:
        sampler = self.sampler_name or self.sampler_index
        schedule = self.scheduler if self.scheduler and self.scheduler.casefold() not in AUTOMATIC else None
        if sampler is None or sampler.casefold() in AUTOMATIC:
            return {"schedule": schedule}
        try:
            api.make_sampler(sampler)
        except RequestError as error:
            # AI-Render and others compare these words.
            raise HTTPException(404, "Sampler not found") from error
        return {"sampler": sampler, "schedule": schedule}

    def _read_second_pass(self, size: api.PixelSize | None) -> dict[str, Any]:
        base = size or api.PixelSize(512, 512)
        wanted = (self.hr_resize_x or 0, self.hr_resize_y or 0)
        if max(wanted) > 0:
            # One side alone keeps the shape.
            width = wanted[0] or wanted[1] * base.width // base.height
            height = wanted[1] or wanted[0] * base.height // base.width
        else:
            scale = 2.0 if self.hr_scale is None else self.hr_scale
            if not 1.0 <= scale <= 100.0:
                raise RequestError("`hr_scale` lies between 1 and 100", got=scale)
            width, height = int(base.width * scale), int(base.height * scale)
        sides = [max(_CELL_PX, side // _CELL_PX * _CELL_PX) for side in (width, height)]
        return {"size": f"{sides[0]}x{sides[1]}", "level_strength": self.denoising_strength}


class ImageToImageBody(TextBody):
    """The body of img2img: starting pictures and a mask, white where it is drawn anew."""

    init_images: list[str] | None = None
    mask: str | None = None
    resize_mode: int | None = 0
    inpainting_mask_invert: int | None = 0
    mask_blur: int | None = None
    inpainting_fill: int | None = None
    inpaint_full_res: bool | None = None
    inpaint_full_res_padding: int | None = None

    def add_pictures(self, settings: dict[str, Any], intake: Intake) -> dict[str, Any]:
        """Return the settings with the starting picture and the mask, kept as files.

        Raises:
            HTTPException: 404 "Init image not found".
            RequestError, UnsafeFileError: a picture cannot be read.
        """
        if not self.init_images:
            raise HTTPException(404, "Init image not found")
        picture = intake.open_picture(read_base64(self.init_images[0]))
        said = self.read_size() or api.PixelSize(picture.width, picture.height)
        size = (max(_CELL_PX, said.width // 8 * 8), max(_CELL_PX, said.height // 8 * 8))
        crops = self.resize_mode == 1
        # The masked part alone is drawn at this size, so the picture keeps its own.
        alone = bool(self.mask and self.inpaint_full_res)
        shown = picture.size if alone else size
        more: dict[str, Any] = {
            "init": intake.keep_picture(_fit(picture, shown, crops=crops)).id,
            "strength": 0.75 if self.denoising_strength is None else self.denoising_strength,
            "size": f"{size[0]}x{size[1]}",
        }
        if self.mask:
            mask = _fit(intake.open_picture(read_base64(self.mask)).convert("RGB").convert("L"), shown, crops=crops)
            mask = ImageChops.invert(mask) if self.inpainting_mask_invert else mask
            more |= {"mask": intake.keep_picture(mask.convert("RGB")).id, "mask_blur": self.mask_blur or None}
            if self.inpainting_fill is not None:
                more["mask_fill"] = _FILLS[min(max(0, self.inpainting_fill), len(_FILLS) - 1)]
            if alone:
                more |= {"only_masked": True, "mask_padding": self.inpaint_full_res_padding}
        return settings | more


def drop_second_pass(settings: dict[str, Any], native: api.PixelSize) -> dict[str, Any]:
    """Return the settings without those of a second pass where the model draws the size at once."""
    if settings.get("level_strength") is None or settings.get("size") is None:
        return settings
    if api.PixelSize.parse(settings["size"]).area > native.area * api.DEFAULTS.native_slack:
        return settings
    return {name: value for name, value in settings.items() if name != "level_strength"}


def read_base64(text: str) -> bytes:
    """Return the bytes of a picture sent as base64, bare or as a data URI; addresses are never fetched.

    Raises:
        RequestError: it is neither.
    """
    head, comma, rest = text.partition(",")
    packed = rest if comma and head.startswith("data:") else text
    try:
        return base64.b64decode("".join(packed.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        do = "Send base64, bare or as a data URI. Addresses are not fetched."
        raise RequestError("Invalid encoded image", got=text[:60], do=do) from error


def read_title(title: str) -> str:
    """Return the name of a model from its title, which may end in a short hash in brackets."""
    name = title.strip()
    if name.endswith("]") and " [" in name:
        name = name[: name.rindex(" [")]
    return name


def _fit(picture: Image.Image, size: tuple[int, int], *, crops: bool) -> Image.Image:
    if picture.size == size:
        return picture
    return (
        ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        if crops
        else picture.resize(size, Image.Resampling.LANCZOS)
    )
