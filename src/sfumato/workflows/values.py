"""What a caller may say of a picture: one value whose fields are the settings of every surface.

Knows names and types, no default and no model. Start reading at `RequestValues`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.core.focus import FocusBox
from sfumato.core.geometry import PixelSize
from sfumato.core.request import ConceptRef, HandBox, LoraRef
from sfumato.core.request_parts.control import ControlRef
from sfumato.core.request_parts.edit import Borders
from sfumato.core.request_parts.weights import PromptRegion

SizeLike = PixelSize | tuple[int, int] | str
PictureLike = Path | str | Image.Image


@dataclass(frozen=True, kw_only=True)
class ControlUnit:
    """A control network by name or path, and the picture that it sees or that its control picture is made of.

    `module` makes the control picture: none (it is one), or canny, with two `thresholds` in 0 to 255. `fit` brings it to
    the shape of what is drawn: crop, stretch or fill. The rest is as in `ControlRef`.
    """

    network: str
    picture: PictureLike
    module: str = "none"
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: str = "balanced"
    fit: str = "crop"
    thresholds: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class RequestValues:
    """Hold what a caller says of a picture; None where nothing is said.

    `size` is "1024x576" or (width, height) in px. `init` and `mask` are files or pictures in memory. `loras` are files,
    "FILE:WEIGHT", or `LoraRef`s; `concepts` are names or folders, "NAME:WEIGHT" too. `method` is a name. `upscaler` to
    `keep` are settings of single methods, see `requests.METHOD_SETTINGS`. `focus` is off, auto, or kinds with commas between;
    `focus_boxes` are "X,Y,W,H:PROMPT" or `FocusBox`es; `focus_detail` and `focus_when` belong to it. `anatomy` is off, check or repair,
    `hand_boxes` are "X,Y,W,H:CAUSE" or `HandBox`es, and `unrepaired` is flag or withhold. `mask_blur` to `outpaint` change
    what `init` and `mask` say, see `workflows.edit`. `variation_seed` is another seed, and `variation_strength` how far the
    noise goes that way. `styles` are named styles. A prompt may hold choices, see `series.expand`.
    `seamless` is off, x, y or both: the sides that meet. `regions` are "REGION:WORDS" or `PromptRegion`s. `controls` are
    "NETWORK:PICTURE:WEIGHT:START-END" or `ControlUnit`s.
    """

    prompt: str | None = None
    size: SizeLike | None = None
    seed: int | Literal["random"] | None = None
    steps: int | None = None
    negative: str | None = None
    guidance: float | None = None
    guidance_rescale: float | None = None
    sampler: str | None = None
    schedule: str | None = None
    batch: int | None = None
    init: PictureLike | None = None
    strength: float | None = None
    mask: PictureLike | None = None
    model: str | None = None
    vae: str | None = None
    prediction: str | None = None
    loras: tuple[str | LoraRef, ...] | None = None
    embeddings: tuple[str, ...] | None = None
    concepts: tuple[str | ConceptRef, ...] | None = None
    clip_skip: int | None = None
    method: str | None = None
    upscaler: str | None = None
    upscale: float | None = None
    slice_strength: float | None = None
    slice_steps: int | None = None
    window: SizeLike | None = None
    overlap: float | None = None
    level_strength: float | None = None
    lock: float | None = None
    detail: float | None = None
    keep: float | None = None
    focus: str | None = None
    focus_boxes: tuple[str | FocusBox, ...] | None = None
    anatomy: str | None = None
    hand_boxes: tuple[str | HandBox, ...] | None = None
    unrepaired: str | None = None
    focus_detail: int | None = None
    focus_when: str | None = None
    mask_blur: int | None = None
    mask_fill: str | None = None
    only_masked: bool | None = None
    mask_padding: int | None = None
    outpaint: str | Borders | None = None
    variation_seed: int | None = None
    variation_strength: float | None = None
    styles: tuple[str, ...] | None = None
    seamless: str | None = None
    regions: tuple[str | PromptRegion, ...] | None = None
    controls: tuple[str | ControlUnit | ControlRef, ...] | None = None


def make_values(settings: dict[str, Any]) -> RequestValues:
    """Return the values of named settings.

    Raises:
        RequestError: a name is no setting.
    """
    known = {field.name for field in fields(RequestValues)}
    unknown = [name for name in settings if name not in known]
    if unknown:
        do = f"Settings: {', '.join(sorted(known))}."
        raise RequestError("a picture has no such setting", got=", ".join(unknown), do=do)
    # A list is as good as a tuple.
    fixed: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in settings.items()}
    return RequestValues(**fixed)
