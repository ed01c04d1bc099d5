"""The one value that holds everything that changes pixels: `RenderRequest`.

Same request + same weights = same bytes. The request is checked when it is made, round-trips
through JSON, and is stored in every picture. It knows ranges that hold for any model; whether a
sampler name exists or a size fits a model is decided by the packages above.
Start reading at `RenderRequest`; the sources are a closed union, the methods are open: see `Method`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import ClassVar, TypeAlias, cast

from sfumato.core import serialize
from sfumato.core.errors import RequestError
from sfumato.core.focus import LARGEST_COORDINATE_PX, MOST_BOXES, FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.core.request_parts.control import MOST_CONTROLS, ControlRef
from sfumato.core.request_parts.edit import CropBox
from sfumato.core.request_parts.seamless import check_seamless
from sfumato.core.request_parts.weights import (
    LONGEST_PATH_CHARACTERS,
    LONGEST_PROMPT_CHARACTERS,
    MOST_REGIONS,
    ConceptRef,
    LoraRef,
    PromptRegion,
    check_file,
)
from sfumato.core.validate import check_float, check_int, check_text

# 32 bits is what most tools roll, 64 what some do; a request imported from them has to fit.
LARGEST_SEED = 2**64 - 1
# Noise schedules of the families served here have 1000 trained steps.
MOST_STEPS = 1000
# Beyond this, guidance is saturated noise in every published scale.
LARGEST_GUIDANCE = 100.0
# CLIP ViT-L has 12 layers, the larger text encoders of SD 2.x and SDXL 24 and 32.
DEEPEST_CLIP_SKIP = 32
MOST_PICTURES = 64
# PNG allows 2^31-1, but nothing here addresses a side of more than a million pixels.
LONGEST_SIDE_PX = 1_000_000

OFF, CHECK, REPAIR = "off", "check", "repair"
FLAG, WITHHOLD = "flag", "withhold"
CAUSES_TOLD = ("extra", "missing", "fused", "split", "third-limb", "wrong-side")
"""What a user may say is wrong with a hand: the critic looks for the first four itself."""
MOST_ROUNDS, MOST_CANDIDATES = 3, 8
_HAND_BOX = re.compile(r"\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*(?::\s*([a-z-]+)\s*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """Start from noise alone (txt2img)."""

    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Start from a picture with noise on top (img2img); strength 1 keeps nothing of it."""

    kind: ClassVar[str] = "image"
    path: str
    sha256: str
    strength: float = 0.75

    def __post_init__(self) -> None:
        check_file("the starting picture", self.path, self.sha256)
        check_float("strength", self.strength, low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InpaintSource:
    """Re-render where the mask is white; pixels where it is black come back bit-identical."""

    kind: ClassVar[str] = "inpaint"
    path: str
    sha256: str
    mask: str
    mask_sha256: str
    strength: float = 0.75

    def __post_init__(self) -> None:
        check_file("the starting picture", self.path, self.sha256)
        check_file("the mask", self.mask, self.mask_sha256)
        check_float("strength", self.strength, low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSource:
    """Grow this picture itself, `size` as it is read; nothing is drawn below it. Only the cohesive method does."""

    kind: ClassVar[str] = "picture"
    path: str
    sha256: str
    size: PixelSize

    def __post_init__(self) -> None:
        check_file("the picture to grow", self.path, self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """The settings of one render method; a method has a child of this class, with a `kind` of its own. An interface.

    A child is known to `from_json` once it is registered: see `register_settings`. Fields that several methods
    have bear one name: `upscaler`, `strength`, `overlap`. `grows_picture` says that it takes a `PictureSource`.
    """

    kind: ClassVar[str]
    grows_picture: ClassVar[bool] = False

    def to_pairs(self) -> dict[str, str]:
        """Return the pairs that the `parameters` text of a picture lists, by the names that other tools use."""
        return {}


def register_settings(settings: type[Method]) -> None:
    """Let the settings of a method be read from JSON.

    Raises:
        RequestError: another class has the same kind.
    """
    serialize.register(Method, settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeMethod(Method):
    """Denoise the whole canvas at once."""

    kind: ClassVar[str] = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class GobigMethod(Method):
    """Render a native base, then enlarge it round by round and re-render overlapping slices by img2img.

    `upscale` is the enlargement of one round, `overlap` a fraction of the slice's side, `strength`
    the img2img strength of a slice, `steps` the schedule a slice is cut from (None: the request's).
    Source: the txt2imghd and GOBIG scripts of 2022.
    """

    kind: ClassVar[str] = "gobig"
    upscaler: str = "lanczos"
    upscale: float = 2.0
    overlap: float = 0.25
    strength: float = 0.35
    steps: int | None = None

    def __post_init__(self) -> None:
        check_text("the upscaler", self.upscaler, most=LONGEST_PATH_CHARACTERS, empty=False)
        check_float("the enlargement of one round", self.upscale, low=1.05, high=8.0)
        check_float("the overlap of slices", self.overlap, low=0.0, high=0.9)
        check_float("the strength of slices", self.strength, low=0.0, high=1.0)
        if self.steps is not None:
            check_int("the steps of slices", self.steps, low=1, high=MOST_STEPS)

    def to_pairs(self) -> dict[str, str]:
        """Return the pairs of `parameters`."""
        return _list_pairs(self.overlap, self.upscaler, "Slice strength", self.strength)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultidiffusionMethod(Method):
    """Fuse the predictions of overlapping windows on the whole canvas at every step.

    `window` is a size in pixels (None: the model's native size), `overlap` a fraction of its side.
    Source: MultiDiffusion, Bar-Tal et al. 2023, equation 5.
    """

    kind: ClassVar[str] = "multidiffusion"
    window: PixelSize | None = None
    overlap: float = 0.5

    def __post_init__(self) -> None:
        check_float("the overlap of windows", self.overlap, low=0.0, high=0.95)

    def to_pairs(self) -> dict[str, str]:
        """Return the pairs of `parameters`."""
        return {"Tile overlap": f"{self.overlap:g}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CohesiveMethod(Method):
    """Grow a native base level by level, every window of every step held to the whole picture.

    `strength` is the share of the schedule that a level walks, `overlap` the least a window shares with
    its neighbour, as a fraction of its side, `lock` (0 to 1) holds the low band to the level below, and
    `detail` (1 to 1.5) multiplies what is fine in every step, for each octave that a level adds.
    With `phrases` a window is told only the phrases of the prompt that lie in it, with `predict` what the
    model is not sure of is drawn anew less, with `shift` windows move from step to step, with `hold`
    wide areas get back the colours of the base, and with `guard` small parts that a level lost come back.
    With `crisp` a level that was only resampled gets steep edges before it is drawn anew.
    Of a given picture, `keep` (0 to 1) is how much stays of what it shows sharply.
    """

    kind: ClassVar[str] = "cohesive"
    grows_picture: ClassVar[bool] = True
    upscaler: str = "lanczos"
    strength: float = 0.35
    overlap: float = 0.35
    lock: float = 0.7
    detail: float = 1.0
    phrases: bool = True
    predict: bool = True
    shift: bool = True
    hold: bool = True
    guard: bool = True
    crisp: bool = True
    keep: float = 1.0

    def __post_init__(self) -> None:
        check_text("the upscaler", self.upscaler, most=LONGEST_PATH_CHARACTERS, empty=False)
        check_float("the strength of a level", self.strength, low=0.0, high=1.0)
        check_float("the overlap of windows", self.overlap, low=0.0, high=0.9)
        check_float("the lock of the low band", self.lock, low=0.0, high=1.0)
        check_float("the gain of fine detail", self.detail, low=1.0, high=1.5)
        check_float("the share of sharp detail that is kept", self.keep, low=0.0, high=1.0)

    def to_pairs(self) -> dict[str, str]:
        """Return the pairs of `parameters`."""
        return _list_pairs(self.overlap, self.upscaler, "Level strength", self.strength)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMethod(Method):
    """Take the picture of a `PictureSource` as it is; only focus and repair change it."""

    kind: ClassVar[str] = "picture"
    grows_picture: ClassVar[bool] = True


for _settings in (NativeMethod, GobigMethod, MultidiffusionMethod, CohesiveMethod, PictureMethod):
    register_settings(_settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBox:
    """Name one hand of the finished picture by its box, in px, and what is wrong with it; no cause leaves that to the critic."""

    left: int
    top: int
    width: int
    height: int
    cause: str = ""

    def __post_init__(self) -> None:
        for name in ("left", "top"):
            check_int(f"the {name} of a hand's box", getattr(self, name), low=0, high=LARGEST_COORDINATE_PX)
        for name in ("width", "height"):
            check_int(f"the {name} of a hand's box", getattr(self, name), low=1, high=LARGEST_COORDINATE_PX)
        if self.cause and self.cause not in CAUSES_TOLD:
            raise RequestError("a hand is wrong in another way", got=self.cause, do=f"Say {', '.join(CAUSES_TOLD)}.")

    @property
    def box(self) -> PixelBox:
        """Return the box in px of the picture."""
        return PixelBox(self.left, self.top, self.left + self.width, self.top + self.height)

    @classmethod
    def parse(cls, text: str) -> HandBox:
        """Read `X,Y,W,H` or `X,Y,W,H:CAUSE`.

        Raises:
            RequestError: the text is something else.
        """
        match = _HAND_BOX.fullmatch(text)
        if match is None:
            do = "Write `box` X,Y,W,H or X,Y,W,H:CAUSE, in pixels: 120,80,64,64:extra."
            raise RequestError("the box of a hand is four whole numbers with commas between", got=text, do=do)
        left, top, width, height = (int(number) for number in match.groups()[:4])
        return cls(left=left, top=top, width=width, height=height, cause=match[5] or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnatomySettings:
    """Say what is done about hands after the render.

    With `mode` check they are only judged: no pixel changes. With repair, one that is wrong is drawn anew: a round for
    each of `strengths`, `candidates` in each, and with `new_seed` one more round from another seed. `boxes` are hands
    that the user points at; without them finders look. `unrepaired` says what becomes of a picture in which a hand
    stays wrong: flag delivers it and says so, withhold writes no file.
    """

    mode: str = CHECK
    boxes: tuple[HandBox, ...] = ()
    strengths: tuple[float, ...] = (0.35, 0.55, 0.75)
    candidates: int = 4
    new_seed: bool = True
    unrepaired: str = FLAG

    def __post_init__(self) -> None:
        if self.mode not in (CHECK, REPAIR):
            raise RequestError("`anatomy` is off, check or repair", got=self.mode)
        if self.unrepaired not in (FLAG, WITHHOLD):
            raise RequestError("`unrepaired` is flag or withhold", got=self.unrepaired)
        check_int("the number of hand boxes", len(self.boxes), low=0, high=MOST_BOXES)
        check_int("the rounds of a repair", len(self.strengths), low=1, high=MOST_ROUNDS)
        for strength in self.strengths:
            check_float("the strength of a repair", strength, low=0.01, high=1.0)
        check_int("the candidates of a repair", self.candidates, low=1, high=MOST_CANDIDATES)

    @property
    def rounds(self) -> int:
        """Return how many rounds a hand takes at most."""
        return len(self.strengths) + self.new_seed

    def __str__(self) -> str:
        """Say what is done, and with how many boxes."""
        boxes = f", {len(self.boxes)} box{'es' if len(self.boxes) > 1 else ''}" if self.boxes else ""
        return f"{self.mode}{boxes}" + (", withheld if a hand stays wrong" if self.unrepaired == WITHHOLD else "")


Source: TypeAlias = TextSource | ImageSource | InpaintSource | PictureSource


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """Everything that changes pixels, in words; picture i of a batch uses seed + i."""

    kind: ClassVar[str] = "render"
    prompt: str
    size: PixelSize
    negative: str = ""
    seed: int = 1
    steps: int = 20
    sampler: str = "DPM++ 2M"
    schedule: str = "karras"
    guidance: float = 7.0
    guidance_rescale: float = 0.0
    clip_skip: int = 1
    batch: int = 1
    model: str = "mini"
    vae: str | None = None
    loras: tuple[LoraRef, ...] = ()
    embeddings: tuple[str, ...] = ()
    source: Source = TextSource()
    method: Method = NativeMethod()
    # What the checkpoint predicts, where it does not say it itself: epsilon or v.
    prediction: str | None = None
    concepts: tuple[ConceptRef, ...] = ()
    # What is drawn anew at native size after the render.
    focus: FocusSettings | None = None
    # Whether hands are checked or repaired after that.
    anatomy: AnatomySettings | None = None
    # None until `prepare` asks the machine; a stored request says it.
    arithmetic: Arithmetic | None = None
    # Another seed, whose noise takes this share of the way: 0 is the picture of `seed`, 1 that of the other.
    variation_seed: int | None = None
    variation_strength: float = 0.0
    # The box of a masked picture that alone is drawn, at `size`.
    crop: CropBox | None = None
    # Which opposite sides meet.
    seamless: str = "off"
    # Parts of the picture with words of their own.
    regions: tuple[PromptRegion, ...] = ()
    # Networks that steer the picture by others.
    controls: tuple[ControlRef, ...] = ()

    def __post_init__(self) -> None:
        check_seamless(self.seamless)
        check_int("the number of regions", len(self.regions), low=0, high=MOST_REGIONS)
        check_int("the number of controls", len(self.controls), low=0, high=MOST_CONTROLS)
        self._check_words()
        self._check_variation()
        if self.prediction not in (None, "epsilon", "v"):
            raise RequestError("a checkpoint predicts epsilon or v", got=self.prediction)
        check_int("a side of the picture", max(self.size.width, self.size.height), low=1, high=LONGEST_SIDE_PX)
        check_int("the seed", self.seed, low=0, high=LARGEST_SEED)
        check_int("the number of steps", self.steps, low=1, high=MOST_STEPS)
        check_float("guidance", self.guidance, low=0.0, high=LARGEST_GUIDANCE)
        check_float("guidance_rescale", self.guidance_rescale, low=0.0, high=1.0)
        check_int("clip_skip", self.clip_skip, low=1, high=DEEPEST_CLIP_SKIP)
        check_int("the number of pictures", self.batch, low=1, high=MOST_PICTURES)
        check_int("the seed of the last picture", self.seed + self.batch - 1, low=0, high=LARGEST_SEED)
        if isinstance(self.source, PictureSource) and not self.method.grows_picture:
            do = "Use the cohesive method, or start from the picture with `init`."
            raise RequestError("only the cohesive method grows a given picture", got=self.method.kind, do=do)
        if isinstance(self.source, PictureSource) and self.controls:
            do = "Start from the picture with `init`, or leave `control` out."
            raise RequestError("a picture that grows takes no control", got=len(self.controls), do=do)
        if self.focus is not None:
            self._check_focus(self.focus)
        if self.anatomy is not None:
            self._check_anatomy(self.anatomy)

    def _check_variation(self) -> None:
        check_float("variation_strength", self.variation_strength, low=0.0, high=1.0)
        if (self.variation_seed is None) != (self.variation_strength == 0.0):
            raise RequestError("`variation_seed` and `variation_strength` need each other", do="Say both, or neither.")
        if self.variation_seed is not None:
            check_int("variation_seed", self.variation_seed, low=0, high=LARGEST_SEED - self.batch)
        if self.crop is not None and not isinstance(self.source, InpaintSource):
            raise RequestError("only a masked picture has a box that is drawn", do="Give `init` and `mask`.")

    def choose_picture(self, index: int) -> RenderRequest:
        """Return the request of picture `index` of the batch alone: the next seed, or the next variation of one seed."""
        if self.variation_seed is not None:
            return replace(self, variation_seed=self.variation_seed + index, batch=1)
        return replace(self, seed=self.seed + index, batch=1)

    def _check_focus(self, focus: FocusSettings) -> None:
        if isinstance(self.source, InpaintSource):
            do = "Render with the mask first, then run sfumato focus on the result."
            raise RequestError("a mask keeps the pixels that `focus` may change", do=do)
        for one in focus.boxes:
            if not self.size.box.contains(one.box):
                got = f"{one.left},{one.top},{one.width},{one.height}, the picture is {self.size}"
                raise RequestError("a focus box lies outside the picture", got=got, do="Give a box inside it.")

    def _check_anatomy(self, anatomy: AnatomySettings) -> None:
        if isinstance(self.source, InpaintSource) and anatomy.mode != CHECK:
            do = "Render with the mask first, then run sfumato repair on the result."
            raise RequestError("a mask keeps the pixels that `anatomy` may change", do=do)
        for one in anatomy.boxes:
            if not self.size.box.contains(one.box):
                got = f"{one.left},{one.top},{one.width},{one.height}, the picture is {self.size}"
                raise RequestError("the box of a hand lies outside the picture", got=got, do="Give a box inside it.")

    def _check_words(self) -> None:
        check_text("the prompt", self.prompt, most=LONGEST_PROMPT_CHARACTERS)
        check_text("the negative prompt", self.negative, most=LONGEST_PROMPT_CHARACTERS)
        for what, word in (("sampler", self.sampler), ("schedule", self.schedule)):
            check_text(f"the {what}", word, most=64, empty=False)
        files = [self.model, *self.embeddings, *([] if self.vae is None else [self.vae])]
        for path in files:
            check_text("a model, vae or embedding", path, most=LONGEST_PATH_CHARACTERS, empty=False)

    def to_json(self) -> dict[str, serialize.Json]:
        """Return the request as JSON values, tagged with its kind."""
        value = cast("dict[str, serialize.Json]", serialize.to_json(self))
        # Left out where nothing is said, so that requests keep the hashes that stored pictures carry.
        late: dict[str, serialize.Json] = {
            "prediction": None,
            "focus": None,
            "concepts": [],
            "anatomy": None,
            "arithmetic": None,
            "variation_seed": None,
            "variation_strength": 0.0,
            "crop": None,
            "seamless": "off",
            "regions": [],
            "controls": [],
        }
        for concept in cast("list[dict[str, serialize.Json]]", value.get("concepts", [])):
            for key in [key for key in ("region", "words") if not concept[key]]:
                del concept[key]
        return {key: item for key, item in value.items() if key not in late or item != late[key]}

    @classmethod
    def from_json(cls, value: object) -> RenderRequest:
        """Rebuild a request from JSON values.

        Raises:
            RequestError: a key is unknown or missing, or a value is out of range.
        """
        return serialize.from_json(cls, value, where="the request")

    def request_hash(self) -> str:
        """Return the SHA-256 (hex) of the canonical JSON of the request."""
        return hashlib.sha256(serialize.canonical_text(self.to_json()).encode()).hexdigest()


def _list_pairs(overlap: float, upscaler: str, strength_name: str, strength: float) -> dict[str, str]:
    return {
        "Upscaler": PurePath(upscaler).stem,
        strength_name: f"{strength:g}",
        "Tile overlap": f"{overlap:g}",
    }
