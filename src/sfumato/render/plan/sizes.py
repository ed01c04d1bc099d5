"""What is denoised for a request, and whether its size suits: sides, given pictures, enlargements.

Knows sizes and words; no method, no cost. Start reading at `find_canvas`, then `check_enlarging`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import InpaintSource, PictureSource, RenderRequest, Source
from sfumato.core.resampling import fit_box
from sfumato.render.layout import choose_base_size

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# Fewer cells than this and the deepest level of the denoiser has nothing left to see.
SMALLEST_SIDE_CELLS = 4


def find_canvas(request: RenderRequest, contract: ModelContract) -> PixelSize:
    """Return what is denoised: the size of the request; a picture that keeps its own size is padded to whole cells."""
    source = request.source
    keeps = isinstance(source, InpaintSource) or (isinstance(source, PictureSource) and source.size == request.size)
    return request.size.round_up(contract.factor) if keeps else request.size


def find_enlargement(picture: PixelSize, size: PixelSize) -> float:
    """Return how many times larger a picture becomes when its centred part of the right aspect fills a size."""
    left, _, right, _ = fit_box(picture, size)
    return size.width / (right - left)


def is_growing(source: Source, size: PixelSize) -> bool:
    """Tell whether a size is larger than a given picture; any is where none is given."""
    return not isinstance(source, PictureSource) or find_enlargement(source.size, size) > 1.0


def check_enlarging(request: RenderRequest, contract: ModelContract, *, strength: float, option: str) -> None:
    """Check a request for a method that enlarges a base and draws the enlarged picture anew.

    `strength` is the share of the schedule that it draws anew, `option` what sets it on the command line.

    Raises:
        RequestError: there is a mask, nothing to enlarge, or nothing would be drawn anew.
    """
    kind = request.method.kind
    if isinstance(request.source, InpaintSource):
        raise RequestError(
            f"{kind} re-renders the whole picture, so it cannot keep the pixels outside a mask",
            do="Use `method` native or `method` multidiffusion with `mask`.",
        )
    if isinstance(request.source, PictureSource):
        _check_larger(request.size, request.source, contract.factor)
    elif choose_base_size(request.size, contract) == request.size:
        raise RequestError(
            f"{kind} has nothing to enlarge: {contract.name} draws {contract.native} at once",
            got=str(request.size),
            do="Use `method` native, or a larger `size`.",
        )
    if strength == 0.0:
        what = option.removeprefix("--").removesuffix("-strength")
        raise RequestError(f"{what}s of strength 0 are not re-rendered", do=f"Give {option} above 0.")


def _check_larger(size: PixelSize, source: PictureSource, factor: int) -> None:
    if is_growing(source, size):
        return
    twice = PixelSize(2 * source.size.width, 2 * source.size.height).round_up(factor)
    raise RequestError(
        "a picture grows to a larger size",
        got=f"`size` {size}, the picture is {source.size}",
        do=f"Ask for more, {twice} say.",
    )
