"""The body of a job of our own interface: a kind, and settings by the names that the library uses.

An unknown setting is an error, and so is one that the kind does not take. Start reading at `JobBody`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sfumato import api
from sfumato.core.request_parts.control import MOST_CONTROLS
from sfumato.core.request_parts.weights import MOST_REGIONS, PromptRegion
from sfumato.server.queue.records import JobKind

Name = Annotated[str, Field(max_length=255)]
_MOST_BOXES = 256


class FocusBoxBody(BaseModel):
    """A box of the finished picture, in px, and what to draw there."""

    model_config = ConfigDict(extra="forbid")

    left: int
    top: int
    width: int
    height: int
    prompt: str = ""


class RegionBody(BaseModel):
    """A part of the picture and its words: left, right, top, bottom, middle, or "LEFT,TOP,WIDTH,HEIGHT" in shares."""

    model_config = ConfigDict(extra="forbid")

    region: Name
    words: str


class ControlBody(BaseModel):
    """A control network by name, and the id of the picture it sees; `module` canny makes that of the picture's edges."""

    model_config = ConfigDict(extra="forbid")

    network: Name
    picture: Name
    module: Name = "none"
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: Name = "balanced"
    fit: Name = "crop"
    thresholds: tuple[float, float] | None = None


class HandBoxBody(BaseModel):
    """A hand of the picture, in px, and what is wrong with it; no cause leaves that to the critic."""

    model_config = ConfigDict(extra="forbid")

    left: int
    top: int
    width: int
    height: int
    cause: str = ""


class JobBody(BaseModel):
    """The settings of one job, by the names that the library uses. `init`, `mask` and `picture` are ids of files.

    `kind` says what is done: render draws; upscale, focus and repair change a `picture`; check and find look at one; teach
    trains a `concept`, and rebase carries it from the base `old` to `model`. Boxes are objects, or texts as on the command line.
    """

    model_config = ConfigDict(extra="forbid")

    kind: JobKind = "render"
    prompt: str | None = None
    size: str | tuple[int, int] | None = None
    seed: int | str | None = None
    steps: int | None = None
    negative: str | None = None
    guidance: float | None = None
    guidance_rescale: float | None = None
    sampler: Name | None = None
    schedule: Name | None = None
    batch: int | None = None
    init: Name | None = None
    strength: float | None = None
    mask: Name | None = None
    model: Name | None = None
    vae: Name | None = None
    prediction: Name | None = None
    loras: Annotated[list[Name], Field(max_length=32)] | None = None
    embeddings: Annotated[list[Name], Field(max_length=32)] | None = None
    concepts: Annotated[list[Name], Field(max_length=32)] | None = None
    clip_skip: int | None = None
    method: Name | None = None
    upscaler: Name | None = None
    upscale: float | None = None
    slice_strength: float | None = None
    slice_steps: int | None = None
    window: str | tuple[int, int] | None = None
    overlap: float | None = None
    level_strength: float | None = None
    lock: float | None = None
    detail: float | None = None
    keep: float | None = None
    focus: Name | None = None
    focus_boxes: Annotated[list[str | FocusBoxBody], Field(max_length=_MOST_BOXES)] | None = None
    anatomy: Literal["off", "check", "repair"] | None = None
    hand_boxes: Annotated[list[str | HandBoxBody], Field(max_length=_MOST_BOXES)] | None = None
    unrepaired: Literal["flag", "withhold"] | None = None
    mask_blur: int | None = None
    mask_fill: Name | None = None
    only_masked: bool | None = None
    mask_padding: int | None = None
    outpaint: Name | None = None
    variation_seed: int | None = None
    variation_strength: float | None = None
    regions: Annotated[list[str | RegionBody], Field(max_length=MOST_REGIONS)] | None = None
    controls: Annotated[list[ControlBody], Field(max_length=MOST_CONTROLS)] | None = None
    seamless: Literal["off", "x", "y", "both"] | None = None
    styles: Annotated[list[Name], Field(max_length=32)] | None = None
    picture: Name | None = None
    old: Name | None = None
    withhold: bool | None = None
    scale: float | None = None
    kinds: Annotated[list[Name], Field(max_length=32)] | None = None
    by: Name | None = None
    concept: Name | None = None
    rung: Name | None = None
    vectors: int | None = None
    rank: int | None = None
    minutes: float | None = None
    fresh: bool | None = None
    score: bool | None = None

    def to_settings(self) -> dict[str, Any]:
        """Return what was said, by name, without the kind.

        Raises:
            RequestError: a box is none.
        """
        said = self.model_dump(exclude_none=True, exclude={"kind", "focus_boxes", "hand_boxes", "regions"})
        if self.focus_boxes is not None:
            said["focus_boxes"] = [
                one if isinstance(one, str) else api.FocusBox(**one.model_dump()) for one in self.focus_boxes
            ]
        if self.regions is not None:
            said["regions"] = [
                one if isinstance(one, str) else PromptRegion(**one.model_dump()) for one in self.regions
            ]
        if self.hand_boxes is not None:
            said["hand_boxes"] = [
                one if isinstance(one, str) else api.HandBox(**one.model_dump()) for one in self.hand_boxes
            ]
        return said
