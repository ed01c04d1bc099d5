"""Which method a request takes, and whether it suits the model.

Knows sizes, words and the table of methods; no cost. Start reading at `choose_method`, then `check_request`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import ImageSource, InpaintSource, Method, NativeMethod, RenderRequest
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.render.methods.registry import METHODS, find_method
from sfumato.render.plan.sizes import SMALLEST_SIDE_CELLS, find_canvas

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelSize
    from sfumato.models.contract import ModelContract

# Up to this share of the native area a checkpoint still draws one picture, not several in one frame.
NATIVE_AREA_SLACK = 1.25


def choose_method(size: PixelSize, contract: ModelContract, *, from_picture: bool = False) -> Method:
    """Return the method used when the request names none.

    Native where a checkpoint still draws one picture. Beyond that cohesive, except for a starting
    picture: growing would shrink it to native size first and lose what it shows.
    """
    if size.area <= contract.native.area * NATIVE_AREA_SLACK:
        return NativeMethod()
    return make_method("multidiffusion" if from_picture else "cohesive", contract)


def make_method(name: str, contract: ModelContract) -> Method:
    """Return the method of a name with the settings that suit the model.

    Raises:
        RequestError: the name is unknown.
    """
    rows = {known: row for known, row in METHODS.items() if row.offered}
    if name not in rows:
        raise RequestError("unknown method", got=name, do=f"Use {', '.join(rows)}.")
    return rows[name].suit(contract)


def check_request(request: RenderRequest, contract: ModelContract) -> None:
    """Check what can only be judged with the model's contract at hand.

    Raises:
        RequestError: a side is no multiple of the factor or too small, or an option has no effect.
    """
    cells = find_canvas(request, contract).to_latent(contract.factor)
    if min(cells.width, cells.height) < SMALLEST_SIDE_CELLS:
        least = SMALLEST_SIDE_CELLS * contract.factor
        raise RequestError(f"a side has at least {least} pixels", got=str(request.size), do=f"Ask for {least} or more.")
    find_method(request.method).check(request, contract)
    if isinstance(request.source, ImageSource | InpaintSource) and request.source.strength == 0.0:
        raise RequestError("a strength of 0 changes nothing", do="Give a strength above 0, up to 1.")
    make_sampler(request.sampler)
    make_sigmas(request.schedule, contract.schedule, request.steps)
    for text in (request.prompt, request.negative):
        # What prompt editing brings in late is read now, not after the long part.
        parse_prompt(text).at_steps(request.steps)
