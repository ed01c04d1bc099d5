"""Plain values become a `RenderRequest`: the only place where defaults are applied.

The command line, the library and servers all come through here, so the same words give the same picture everywhere.
Reads the sizes and digests of pictures; runs nothing. Start reading at `make_request`; what may be said is in `values`; the
request of `upscale` with a model is made by `make_upscale_request`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sfumato.canvas.formats.images import read_size as read_picture_size
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.focus import AUTO, FocusBox, FocusSettings
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import (
    OFF,
    REPAIR,
    AnatomySettings,
    CohesiveMethod,
    HandBox,
    InpaintSource,
    LoraRef,
    Method,
    MultidiffusionMethod,
    NativeMethod,
    PictureMethod,
    PictureSource,
    RenderRequest,
    Source,
    TextSource,
)
from sfumato.core.request_parts.edit import CropBox
from sfumato.core.request_parts.weights import PromptRegion
from sfumato.nn.samplers import choose_schedule, make_sampler
from sfumato.render.exact_scale import SCALE_PARTS, scale_size
from sfumato.render.plan.choose_method import make_method
from sfumato.workflows.control.units import make_control_refs
from sfumato.workflows.edit.sources import choose_drawn_size, find_file, make_source, read_crop
from sfumato.workflows.files.source_picture import make_picture_source
from sfumato.workflows.focus.kinds import read_words
from sfumato.workflows.personalize.resolve import find_concept_ref
from sfumato.workflows.series.expand import apply_styles, expand_prompt
from sfumato.workflows.values import PictureLike, RequestValues, SizeLike

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract


# Seeds are drawn from 32 bits: the range that other tools roll and show.
RANDOM_SEEDS = 2**32
MOST_SCALE = 1000
# setting -> (field of the method's settings, methods that have it)
METHOD_SETTINGS = {
    "upscaler": ("upscaler", ("gobig", "cohesive")),
    "upscale": ("upscale", ("gobig",)),
    "slice_strength": ("strength", ("gobig",)),
    "slice_steps": ("steps", ("gobig",)),
    "window": ("window", ("multidiffusion",)),
    "overlap": ("overlap", ("gobig", "multidiffusion", "cohesive")),
    "level_strength": ("strength", ("cohesive",)),
    "lock": ("lock", ("cohesive",)),
    "detail": ("detail", ("cohesive",)),
    "keep": ("keep", ("cohesive",)),
}
# Settings that go into the request as they are.
_PLAIN = (
    *("prompt", "negative", "steps", "guidance", "guidance_rescale", "clip_skip", "batch"),
    *("model", "vae", "prediction", "seamless"),
)


def make_request(
    values: RequestValues,
    contract: ModelContract,
    *,
    stored: RenderRequest | None = None,
    needs_prompt: bool = True,
) -> RenderRequest:
    """Build the request: the stored one or the defaults, changed by what was said.

    Raises:
        RequestError: no prompt, an unknown name, a value out of range, or a setting that would have no effect.
    """
    if needs_prompt and not values.prompt and stored is None and values.init is None:
        raise RequestError("nothing to draw", do='Give a prompt: "a house by the sea".')
    source = make_source(values, stored)
    crop = read_crop(values, source, contract, stored)
    size = _choose_size(values, source, contract, stored) if crop is None else _choose_crop_size(crop, values, contract)
    seamless = values.seamless or (stored.seamless if stored else "off")
    usual = choose_method(source, size, contract, seamless=seamless)
    method = _choose_settings(values, usual, contract, stored)
    changes: dict[str, Any] = {name: getattr(values, name) for name in _PLAIN if getattr(values, name) is not None}
    changes |= _choose_sampling(values, stored)
    if values.seed is not None or stored is None:
        changes["seed"] = choose_seed(values.seed)
    changes |= _choose_words(values, stored, int(changes.get("seed", stored.seed if stored else 0)))
    if values.loras:
        changes["loras"] = tuple(read_lora(one) if isinstance(one, str) else one for one in values.loras)
    if values.embeddings:
        changes["embeddings"] = tuple(values.embeddings)
    if values.concepts:
        base_ref = values.model or (stored.model if stored else DEFAULTS.model)
        changes["concepts"] = tuple(
            find_concept_ref(one, base_ref) if isinstance(one, str) else one for one in values.concepts
        )
    if values.regions is not None:
        changes["regions"] = tuple(PromptRegion.parse(one) if isinstance(one, str) else one for one in values.regions)
    if values.controls is not None:
        changes["controls"] = make_control_refs(values.controls, size)
    changes |= _choose_variation(values, stored)
    changes["focus"] = choose_focus(values, stored)
    changes["anatomy"] = choose_anatomy(values, stored)
    base = stored or RenderRequest(
        prompt=values.prompt or "",
        size=size,
        steps=DEFAULTS.steps,
        sampler=DEFAULTS.sampler,
        schedule=DEFAULTS.schedule,
        guidance=contract.guidance,
        guidance_rescale=DEFAULTS.guidance_rescale,
        clip_skip=DEFAULTS.clip_skip,
        batch=DEFAULTS.batch,
        model=DEFAULTS.model,
    )
    request = replace(base, **changes, size=size, source=source, method=method, crop=crop)
    if values.negative and not _uses_negative(request):
        raise RequestError("`negative` has no effect with `guidance` 1", do="Leave one of them out.")
    return request


def make_upscale_request(
    values: RequestValues, picture: PictureLike, contract: ModelContract, *, scale: float | None = None
) -> RenderRequest:
    """Build the request that grows a picture with a model: the cohesive method on the picture's own pixels.

    Raises:
        RequestError: a scale that is none, a picture that cannot be read, or as `make_request`.
    """
    source = make_picture_source(find_file(picture))
    size = choose_upscale_size(source.size, values.size, scale)
    asked = replace(values, size=size, method=CohesiveMethod.kind)
    return replace(make_request(asked, contract, needs_prompt=False), source=source)


def make_focus_request(
    values: RequestValues, picture: PictureLike, contract: ModelContract, *, stored: RenderRequest | None = None
) -> RenderRequest:
    """Build the request that draws parts of a picture anew and leaves the rest: words and steps of `stored`, if there.

    Without `focus` and boxes, every part whose look is predictable.

    Raises:
        RequestError: a picture that cannot be read, focus is off, or as `make_request`.
    """
    source = make_picture_source(find_file(picture))
    asked = values if values.focus or values.focus_boxes else replace(values, focus=AUTO)
    focus = choose_focus(asked, None)
    if focus is None:
        raise RequestError("with `focus` off nothing would be drawn anew", do="Say auto, or kinds: face,person.")
    made = _take_words(asked, contract, stored)
    return replace(made, source=source, size=source.size, method=PictureMethod(), focus=focus)


def make_repair_request(
    values: RequestValues, picture: PictureLike, contract: ModelContract, *, stored: RenderRequest | None = None
) -> RenderRequest:
    """Build the request that repairs the hands of a picture and leaves the rest: words and steps of `stored`, if there.

    Raises:
        RequestError: a picture that cannot be read, a box outside it, or as `make_request`.
    """
    source = make_picture_source(find_file(picture))
    anatomy = choose_anatomy(replace(values, anatomy=REPAIR), None)
    made = _take_words(values, contract, stored)
    return replace(made, source=source, size=source.size, method=PictureMethod(), anatomy=anatomy)


def _take_words(values: RequestValues, contract: ModelContract, stored: RenderRequest | None) -> RenderRequest:
    """Return what is said of words and steps: method, source and size of a stored picture say nothing of this one."""
    base = None
    if stored is not None:
        base = replace(stored, source=TextSource(), method=NativeMethod(), focus=None, anatomy=None, batch=1)
        base = replace(base, seamless="off", regions=(), controls=())
    plain = replace(
        values,
        size=contract.native,
        focus="off",
        focus_boxes=None,
        anatomy=OFF,
        hand_boxes=None,
        unrepaired=None,
        batch=None,
    )
    return make_request(plain, contract, stored=base, needs_prompt=False)


def choose_focus(values: RequestValues, stored: RenderRequest | None) -> FocusSettings | None:
    """Return what is drawn anew after the render: as said, else as stored; None where focus is off.

    Raises:
        RequestError: an unknown kind, a box that is none, or boxes beside off.
    """
    before = stored.focus if stored else None
    if values.focus is None and not values.focus_boxes:
        for name in ("focus_detail", "focus_when"):
            if getattr(values, name) is not None:
                raise RequestError(f"`{name}` has no effect without `focus`", do="Say `focus` auto, or leave it out.")
        return before
    words = read_words(values.focus) if values.focus is not None else (before.words if before else ())
    given = values.focus_boxes or (before.boxes if before and values.focus is None else ())
    boxes = tuple(FocusBox.parse(one) if isinstance(one, str) else one for one in given)
    if not words and values.focus is not None:
        if values.focus_boxes:
            raise RequestError("`focus_box` has no effect with `focus` off", do="Leave one of them out.")
        return None
    said = {"detail": values.focus_detail, "when": values.focus_when}
    changes: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return replace(before or FocusSettings(), words=words, boxes=boxes, **changes)


def choose_anatomy(values: RequestValues, stored: RenderRequest | None) -> AnatomySettings | None:
    """Return what is done about hands after the render: as said, else as stored; None where anatomy is off.

    Raises:
        RequestError: an unknown word, a box that is none, or a setting that would have no effect.
    """
    before = stored.anatomy if stored else None
    mode = values.anatomy or (before.mode if before else DEFAULTS.anatomy)
    if mode == OFF:
        for name, value in (("hand_boxes", values.hand_boxes), ("unrepaired", values.unrepaired)):
            if value:
                raise RequestError(f"`{name}` has no effect with `anatomy` off", do="Say `anatomy` repair.")
        return None
    boxes = values.hand_boxes or (before.boxes if before else ())
    changes: dict[str, Any] = {} if values.unrepaired is None else {"unrepaired": values.unrepaired}
    hands = tuple(HandBox.parse(one) if isinstance(one, str) else one for one in boxes)
    return replace(before or AnatomySettings(), mode=mode, boxes=hands, **changes)


def choose_upscale_size(picture: PixelSize, size: SizeLike | None, scale: float | None) -> PixelSize:
    """Return the size that a picture grows to: `size`, or `scale` times its own.

    Raises:
        RequestError: both are said, or the scale is not a number of quarters above 1.
    """
    if size is not None:
        if scale is not None:
            raise RequestError("`size` and `scale` say the same thing", do="Leave one of them out.")
        return read_size(size)
    scale = DEFAULTS.scale if scale is None else scale
    if not 1.0 < scale <= MOST_SCALE or Fraction(scale).denominator not in SCALE_PARTS:
        do = "Give `scale` 2, or say the `size`."
        what = f"`scale` is above 1 and at most {MOST_SCALE}, a whole number of quarters"
        raise RequestError(what, got=scale, do=do)
    return scale_size(picture, Fraction(scale))


def choose_method(source: Source, size: PixelSize, contract: ModelContract, *, seamless: str = "off") -> Method:
    """Return the method that is used when none is named: the size decides.

    Native where a checkpoint draws one picture, cohesive beyond that. A mask keeps pixels outside it, which only
    methods on one canvas do, so a masked picture is native at any size. Sides meet in windows that wrap.
    """
    if isinstance(source, PictureSource):
        return make_method(CohesiveMethod.kind, contract)
    if size.area <= contract.native.area * DEFAULTS.native_slack or isinstance(source, InpaintSource):
        return NativeMethod()
    return make_method(DEFAULTS.large_method if seamless == "off" else MultidiffusionMethod.kind, contract)


def choose_seed(seed: int | str | None) -> int:
    """Return the seed that was said; a random one for None or "random".

    Raises:
        RequestError: another word.
    """
    if seed is None or seed == "random":
        return secrets.randbelow(RANDOM_SEEDS)
    if isinstance(seed, str):
        raise RequestError("`seed` is a number or random", got=seed)
    return seed


def read_size(size: SizeLike) -> PixelSize:
    """Return a size in px from "1024x576" or (width, height).

    Raises:
        RequestError: it is no size.
    """
    if isinstance(size, PixelSize):
        return size
    if isinstance(size, str):
        return PixelSize.parse(size)
    try:
        width, height = size
        return PixelSize(int(width), int(height))
    except (TypeError, ValueError) as error:
        raise RequestError("a size is two numbers, width and height in px", got=size, do="Say (1024, 576).") from error


def read_lora(text: str) -> LoraRef:
    """Read `FILE` or `FILE:WEIGHT`.

    Raises:
        RequestError: the weight is out of range.
    """
    path, colon, weight = text.rpartition(":")
    try:
        return LoraRef(path=path, weight=float(weight)) if colon else LoraRef(path=text)
    except ValueError:
        # What follows the colon is no number, so the colon belongs to the path.
        return LoraRef(path=text)


def _choose_size(
    values: RequestValues, source: Source, contract: ModelContract, stored: RenderRequest | None
) -> PixelSize:
    if values.size is not None:
        return read_size(values.size)
    if stored is not None and values.init is None:
        return stored.size
    if isinstance(source, TextSource | PictureSource):
        return contract.native
    found = read_picture_size(source.path)
    if isinstance(source, InpaintSource):
        # Every pixel outside the mask is kept, so the size is too.
        return found
    # A side is cut down to whole cells; the picture is cropped and resampled to that.
    cells = [max(1, side // contract.factor) for side in (found.width, found.height)]
    return PixelSize(cells[0] * contract.factor, cells[1] * contract.factor)


def _choose_crop_size(crop: CropBox, values: RequestValues, contract: ModelContract) -> PixelSize:
    return choose_drawn_size(crop, contract) if values.size is None else read_size(values.size)


def _choose_settings(
    values: RequestValues, default: Method, contract: ModelContract, stored: RenderRequest | None
) -> Method:
    method = _choose_base(values, default, contract, stored)
    changes: dict[str, Any] = {}
    for setting, (field, kinds) in METHOD_SETTINGS.items():
        value = getattr(values, setting)
        if value is None:
            continue
        if method.kind not in kinds:
            raise RequestError(
                f"`{setting}` has no effect with {method.kind}", do=f"Use `method` {' or '.join(kinds)}."
            )
        changes[field] = _READERS.get(setting, _keep)(value)
    return replace(method, **changes)


def _choose_base(
    values: RequestValues, default: Method, contract: ModelContract, stored: RenderRequest | None
) -> Method:
    if values.method is None:
        return stored.method if stored and values.size is None else default
    if stored and stored.method.kind == values.method:
        return stored.method
    return make_method(values.method, contract)


def _keep(value: Any) -> Any:
    return value


def _read_upscaler(name: str) -> str:
    # Other tools write "Lanczos".
    return DEFAULTS.upscaler if name.casefold() == DEFAULTS.upscaler else name


_READERS: dict[str, Callable[[Any], Any]] = {"window": read_size, "upscaler": _read_upscaler}


def _choose_sampling(values: RequestValues, stored: RenderRequest | None) -> dict[str, str]:
    """Return sampler and schedule; a sampler's name may bring its schedule ("DPM++ 2M Karras")."""
    if values.sampler is None and values.schedule is None:
        return {}
    before = stored.sampler if stored else DEFAULTS.sampler
    sampler = make_sampler(values.sampler or before)
    return {"sampler": sampler.label, "schedule": choose_schedule(sampler, values.schedule or "automatic")}


def _choose_words(values: RequestValues, stored: RenderRequest | None, seed: int) -> dict[str, str]:
    """Return the prompt with its choices made and styles joined; what a stored request says is chosen already."""
    if values.prompt is None and not values.styles:
        return {}
    prompt, negative = values.prompt or (stored.prompt if stored else ""), values.negative or ""
    negative = negative or (stored.negative if stored else "")
    styled = apply_styles(prompt, negative, tuple(values.styles or ()))
    if values.prompt is not None:
        styled = (expand_prompt(styled[0], seed), expand_prompt(styled[1], seed))
    return {"prompt": styled[0]} | ({"negative": styled[1]} if styled[1] != (stored.negative if stored else "") else {})


def _choose_variation(values: RequestValues, stored: RenderRequest | None) -> dict[str, Any]:
    """Return the other seed and how far the noise goes its way; a strength of 0 is no variation."""
    seed, strength = values.variation_seed, values.variation_strength
    if strength is None:
        before = stored.variation_strength if stored else 0.0
        if seed is not None and not before:
            raise RequestError("`variation_seed` has no effect without `variation_strength`", do="Say both.")
        return {} if seed is None else {"variation_seed": seed}
    if strength == 0.0:
        return {"variation_strength": 0.0} | ({"variation_seed": None} if stored else {})
    known = seed if seed is not None else stored.variation_seed if stored else None
    return {"variation_seed": choose_seed(None) if known is None else known, "variation_strength": strength}


def _uses_negative(request: RenderRequest) -> bool:
    alone = len(parse_prompt(request.prompt).clauses) == 1
    return request.guidance != 1.0 or not alone
