"""What was typed becomes a `RenderRequest`: defaults, a stored request, and options without effect refused.

Reads the pictures' sizes and digests; runs nothing. Start reading at `make_request`;
that of `upscale` is made by `make_upscale`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.canvas.formats.images import file_sha256, read_request, read_size
from sfumato.canvas.formats.save import PYRAMID_SUFFIXES
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    LoraRef,
    Method,
    PictureSource,
    RenderRequest,
    Source,
    TextSource,
)
from sfumato.core.settings import LARGEST_BUDGET_GB
from sfumato.nn.samplers import choose_schedule, make_sampler
from sfumato.render.exact_scale import SCALE_PARTS, scale_size
from sfumato.render.plan.choose_method import choose_method, make_method
from sfumato.workflows.files.source_picture import make_picture_source

if TYPE_CHECKING:
    from sfumato.cli.options import RenderOptions, UpscaleOptions
    from sfumato.models.contract import ModelContract

# option -> (field of the method, methods that have it)
_METHOD_OPTIONS = {
    "upscaler": ("upscaler", ("gobig", "cohesive")),
    "upscale": ("upscale", ("gobig",)),
    "slice_strength": ("strength", ("gobig",)),
    "slice_steps": ("steps", ("gobig",)),
    "window": ("window", ("multidiffusion",)),
    "overlap": ("overlap", ("gobig", "multidiffusion", "cohesive")),
    "level_strength": ("strength", ("cohesive",)),
    "lock": ("lock", ("cohesive",)),
    "detail": ("detail", ("cohesive",)),
}
# What upscale does to a picture unless told otherwise.
_USUAL_SCALE = Fraction(2)
_MOST_SCALE = 1000
_PREVIEW_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_OUT_SUFFIXES = (*_PREVIEW_SUFFIXES, *PYRAMID_SUFFIXES)
_PLAIN = ("prompt", "negative", "seed", "steps", "guidance", "guidance_rescale", "clip_skip", "batch", "model", "vae")


def check_options(options: RenderOptions) -> None:
    """Check what needs no model: options of later versions, names of files, options that need another.

    Raises:
        RequestError: says what to use instead.
    """
    for name, value in (("focus", options.focus), ("anatomy", options.anatomy)):
        if value not in (None, "off"):
            raise RequestError(f"--{name} {value} is not in this version", do=f"Leave --{name} out, or say off.")
    _check_name("--out", options.out, _OUT_SUFFIXES)
    _check_name("--preview", options.preview, _PREVIEW_SUFFIXES)
    if options.preview is None and options.preview_every is not None:
        raise RequestError("--preview-every has no effect without --preview", do="Add --preview FILE.png.")
    if options.preview_every is not None and options.preview_every < 1:
        raise RequestError("--preview-every is at least 1", got=options.preview_every, do="Give a number of steps.")
    if options.budget_gb is not None and not 0.0 < options.budget_gb <= LARGEST_BUDGET_GB:
        do = "Give gigabytes, --budget-gb 4 say."
        raise RequestError(
            f"--budget-gb is a number above 0, at most {LARGEST_BUDGET_GB:g}", got=options.budget_gb, do=do
        )


def read_stored(options: RenderOptions) -> RenderRequest | None:
    """Read the request of `--from`, or None without it."""
    return None if options.source is None else read_request(options.source)


def model_of(options: RenderOptions, stored: RenderRequest | None) -> str:
    """Return which model is asked for."""
    return options.model or (stored.model if stored else "mini")


def make_request(options: RenderOptions, stored: RenderRequest | None, contract: ModelContract) -> RenderRequest:
    """Build the request: the stored one or the defaults, changed by what was typed.

    Raises:
        RequestError: no prompt, an unknown name, or an option that would have no effect.
    """
    if options.prompt is None and stored is None:
        raise RequestError("nothing to draw", do='Give a prompt: sfumato render "a house by the sea".')
    source = _make_source(options, stored)
    size = _make_size(options, stored, (source, contract))
    method = _make_method(options, stored, (_choose_method(source, size, contract), contract))
    changes = {name: getattr(options, name) for name in _PLAIN if getattr(options, name) is not None}
    changes |= _sampling(options, stored)
    if options.lora:
        changes["loras"] = tuple(read_lora(text) for text in options.lora)
    if options.embedding:
        changes["embeddings"] = tuple(options.embedding)
    base = stored or RenderRequest(prompt=options.prompt or "", size=size, guidance=contract.guidance)
    request = replace(base, **changes, size=size, source=source, method=method)
    if options.negative and not _uses_negative(request):
        raise RequestError("--negative has no effect with --guidance 1", do="Leave one of them out.")
    return request


def make_upscale(options: UpscaleOptions, contract: ModelContract) -> RenderRequest:
    """Build the request that grows a picture: the cohesive method on the picture's own pixels.

    Raises:
        RequestError: a scale that is none, a picture that cannot be read, or as `make_request`.
    """
    if options.size is not None and options.scale is not None:
        raise RequestError("--size and --scale say the same thing", do="Leave one of them out.")
    source = make_picture_source(options.picture)
    size = options.size or str(scale_size(source.size, _read_scale(options.scale)))
    asked = replace(options, size=size, prompt=options.prompt or "", method=CohesiveMethod.kind)
    request = make_request(asked, None, contract)
    assert isinstance(request.method, CohesiveMethod), "it was asked for"
    keep = request.method.keep if options.keep is None else options.keep
    return replace(request, source=source, method=replace(request.method, keep=keep))


def _read_scale(scale: float | None) -> Fraction:
    if scale is None:
        return _USUAL_SCALE
    if not 1.0 < scale <= _MOST_SCALE or Fraction(scale).denominator not in SCALE_PARTS:
        do = "Give --scale 2, or say the size with --size WxH."
        what = f"--scale is above 1 and at most {_MOST_SCALE}, a whole number of quarters"
        raise RequestError(what, got=scale, do=do)
    return Fraction(scale)


def _choose_method(source: Source, size: PixelSize, contract: ModelContract) -> Method:
    if isinstance(source, PictureSource):
        return make_method(CohesiveMethod.kind, contract)
    return choose_method(size, contract, from_picture=source != TextSource())


def _uses_negative(request: RenderRequest) -> bool:
    alone = len(parse_prompt(request.prompt).clauses) == 1
    return request.guidance != 1.0 or not alone


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


def _check_name(option: str, path: Path | None, suffixes: tuple[str, ...]) -> None:
    if path is not None and path.suffix.lower() not in suffixes:
        do = f"Use {', '.join(suffixes[:-1])} or {suffixes[-1]}."
        raise RequestError(f"{option} names no picture format", got=str(path), do=do)


def _make_source(options: RenderOptions, stored: RenderRequest | None) -> Source:
    before = stored.source if stored else TextSource()
    if options.init is None:
        if options.mask is not None:
            raise RequestError("--mask has no effect without --init", do="Add --init IMG, the picture to change.")
        if isinstance(before, ImageSource | InpaintSource):
            return _stronger(before, options.strength)
        if options.strength is not None:
            raise RequestError("--strength has no effect without --init", do="Add --init IMG, or use --slice-strength.")
        return before
    path, digest = _full_path(options.init), file_sha256(options.init, what="the picture of --init")
    if options.mask is None:
        return _stronger(ImageSource(path=path, sha256=digest), options.strength)
    mask, mask_digest = _full_path(options.mask), file_sha256(options.mask, what="the picture of --mask")
    inpaint = InpaintSource(path=path, sha256=digest, mask=mask, mask_sha256=mask_digest)
    return _stronger(inpaint, options.strength)


def _full_path(path: Path) -> str:
    # A stored request is repeated in another folder too; the digest says whether it still is the same picture.
    return str(path.resolve())


def _stronger(source: ImageSource | InpaintSource, strength: float | None) -> ImageSource | InpaintSource:
    return source if strength is None else replace(source, strength=strength)


def _make_size(options: RenderOptions, stored: RenderRequest | None, given: tuple[Source, ModelContract]) -> PixelSize:
    source, contract = given
    if options.size is not None:
        return PixelSize.parse(options.size)
    if stored is not None and options.init is None:
        return stored.size
    if isinstance(source, TextSource | PictureSource):
        return contract.native
    found = read_size(source.path)
    if isinstance(source, InpaintSource):
        # Every pixel outside the mask is kept, so the size is too.
        return found
    # A side is cut down to whole cells; the picture is cropped and resampled to that.
    cells = [max(1, side // contract.factor) for side in (found.width, found.height)]
    return PixelSize(cells[0] * contract.factor, cells[1] * contract.factor)


def _make_method(options: RenderOptions, stored: RenderRequest | None, usual: tuple[Method, ModelContract]) -> Method:
    method = _base_method(options, stored, usual)
    changes: dict[str, Any] = {}
    for option, (field, kinds) in _METHOD_OPTIONS.items():
        value = getattr(options, option)
        if value is None:
            continue
        if method.kind not in kinds:
            flag = f"--{option.replace('_', '-')}"
            raise RequestError(f"{flag} has no effect with {method.kind}", do=f"Add --method {' or '.join(kinds)}.")
        changes[field] = _READ.get(option, _keep)(value)
    return replace(method, **changes)


def _keep(value: Any) -> Any:
    return value


def _read_upscaler(name: str) -> str:
    # Other tools write "Lanczos".
    return _RESAMPLING if name.casefold() == _RESAMPLING else name


_RESAMPLING = GobigMethod().upscaler
_READ: dict[str, Callable[[Any], Any]] = {"window": PixelSize.parse, "upscaler": _read_upscaler}


def _base_method(options: RenderOptions, stored: RenderRequest | None, usual: tuple[Method, ModelContract]) -> Method:
    default, contract = usual
    if options.method is None:
        return stored.method if stored and options.size is None else default
    if stored and stored.method.kind == options.method:
        return stored.method
    return make_method(options.method, contract)


def _sampling(options: RenderOptions, stored: RenderRequest | None) -> dict[str, str]:
    """Return sampler and schedule; a sampler's name may bring its schedule ("DPM++ 2M Karras")."""
    if options.sampler is None and options.schedule is None:
        return {}
    before = stored.sampler if stored else RenderRequest.__dataclass_fields__["sampler"].default
    sampler = make_sampler(options.sampler or before)
    return {"sampler": sampler.label, "schedule": choose_schedule(sampler, options.schedule or "automatic")}
