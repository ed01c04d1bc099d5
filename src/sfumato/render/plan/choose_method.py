"""Which method a request takes, and whether it suits the model.

Knows sizes and words; no cost. Start reading at `choose_method`, then `check_request`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    Method,
    MultidiffusionMethod,
    NativeMethod,
    PictureSource,
    RenderRequest,
    Source,
)
from sfumato.core.resampling import fit_box
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.render.layout import choose_base_size

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# Up to this share of the native area a checkpoint still draws one picture, not several in one frame.
NATIVE_AREA_SLACK = 1.25
# Fewer cells than this and the deepest level of the denoiser has nothing left to see.
SMALLEST_SIDE_CELLS = 4


def choose_method(size: PixelSize, contract: ModelContract, *, from_picture: bool = False) -> Method:
    """Return the method used when none is asked for.

    Native where a checkpoint still draws one picture. Beyond that cohesive, except for a starting
    picture: growing would shrink it to native size first and lose what it shows.
    """
    if size.area <= contract.native.area * NATIVE_AREA_SLACK:
        return NativeMethod()
    return make_method("multidiffusion" if from_picture else "cohesive", contract)


def make_method(name: str, contract: ModelContract) -> Method:
    """Return the method of a name with what suits the model.

    Raises:
        RequestError: the name is unknown.
    """
    methods: tuple[Method, ...] = (
        NativeMethod(),
        GobigMethod(strength=contract.slice_strength),
        MultidiffusionMethod(),
        CohesiveMethod(),
    )
    known = {method.kind: method for method in methods}
    if name not in known:
        raise RequestError("unknown method", got=name, do=f"Use {', '.join(known)}.")
    return known[name]


def check_request(request: RenderRequest, contract: ModelContract) -> None:
    """Check what can only be judged with the model's contract at hand.

    Raises:
        RequestError: a side is no multiple of the factor or too small, or an option has no effect.
    """
    cells = find_canvas(request, contract).to_latent(contract.factor)
    if min(cells.width, cells.height) < SMALLEST_SIDE_CELLS:
        least = SMALLEST_SIDE_CELLS * contract.factor
        raise RequestError(f"a side has at least {least} pixels", got=str(request.size), do=f"Ask for {least} or more.")
    if isinstance(request.method, GobigMethod | CohesiveMethod):
        _check_growing(request, request.method, contract)
    if isinstance(request.source, ImageSource | InpaintSource) and request.source.strength == 0.0:
        raise RequestError("a strength of 0 changes nothing", do="Give a strength above 0, up to 1.")
    make_sampler(request.sampler)
    make_sigmas(request.schedule, contract.schedule, request.steps)
    for text in (request.prompt, request.negative):
        # What prompt editing brings in late is read now, not after the long part.
        parse_prompt(text).at_steps(request.steps)


def find_canvas(request: RenderRequest, contract: ModelContract) -> PixelSize:
    """Return what is denoised: the size asked for; a picture to inpaint keeps its own, padded to whole cells."""
    return request.size.round_up(contract.factor) if isinstance(request.source, InpaintSource) else request.size


def find_enlargement(given: PixelSize, size: PixelSize) -> float:
    """Return how many times larger a picture becomes when its centred part of the right aspect fills a size."""
    left, _, right, _ = fit_box(given, size)
    return size.width / (right - left)


def is_growing(source: Source, size: PixelSize) -> bool:
    """Tell whether a size is larger than a given picture; any is where none is given."""
    return not isinstance(source, PictureSource) or find_enlargement(source.size, size) > 1.0


def _check_larger(size: PixelSize, source: PictureSource, factor: int) -> None:
    if is_growing(source, size):
        return
    twice = PixelSize(2 * source.size.width, 2 * source.size.height).round_up(factor)
    raise RequestError(
        "a picture grows to a larger size",
        got=f"--size {size}, the picture is {source.size}",
        do=f"Ask for more, {twice} say.",
    )


def _check_growing(request: RenderRequest, method: GobigMethod | CohesiveMethod, contract: ModelContract) -> None:
    if isinstance(request.source, InpaintSource):
        raise RequestError(
            f"{method.kind} re-renders the whole picture, so it cannot keep the pixels outside a mask",
            do="Use --method native or --method multidiffusion with --mask.",
        )
    if isinstance(request.source, PictureSource):
        _check_larger(request.size, request.source, contract.factor)
    elif choose_base_size(request.size, contract) == request.size:
        native = contract.native
        raise RequestError(
            f"{method.kind} has nothing to enlarge: {contract.name} draws {native} at once",
            got=str(request.size),
            do="Use --method native, or a larger --size.",
        )
    if method.strength == 0.0:
        what = "slices" if isinstance(method, GobigMethod) else "levels"
        option = "--slice-strength" if isinstance(method, GobigMethod) else "--level-strength"
        raise RequestError(f"{what} of strength 0 are not re-rendered", do=f"Give {option} above 0.")
