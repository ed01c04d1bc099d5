"""A method by its name, and whether a request suits its model.

Knows sizes, words and the table of methods; no cost. Start reading at `check_request`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import CHECK, ImageSource, InpaintSource, Method, RenderRequest
from sfumato.core.request_parts.seamless import OFF, wraps_across, wraps_down
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.render.methods.registry import METHODS, find_method
from sfumato.render.plan.sizes import SMALLEST_SIDE_CELLS, find_canvas

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# The deepest level of a denoiser has an eighth of the cells, and they have to meet too.
RING_CELLS = 8


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
    if request.controls and not find_method(request.method).takes_control:
        rows = " or ".join(name for name, row in METHODS.items() if row.takes_control)
        what = f"{request.method.kind} takes no `control`"
        raise RequestError(what, got=len(request.controls), do=f"Use `method` {rows}.")
    find_method(request.method).check(request, contract)
    if request.seamless != OFF:
        _check_seamless(request, contract)
    if isinstance(request.source, ImageSource | InpaintSource) and request.source.strength == 0.0:
        raise RequestError("a strength of 0 changes nothing", do="Give a strength above 0, up to 1.")
    make_sampler(request.sampler)
    make_sigmas(request.schedule, contract.schedule, request.steps)
    for text in (request.prompt, request.negative):
        # What prompt editing brings in late is read now, not after the long part.
        parse_prompt(text).at_steps(request.steps)


def _check_seamless(request: RenderRequest, contract: ModelContract) -> None:
    if not find_method(request.method).wraps:
        rows = " or ".join(name for name, row in METHODS.items() if row.wraps)
        what = f"{request.method.kind} draws no `seamless` picture"
        raise RequestError(what, got=request.seamless, do=f"Use `method` {rows}.")
    if request.focus is not None or (request.anatomy is not None and request.anatomy.mode != CHECK):
        do = "Leave `focus` and `anatomy` out."
        raise RequestError("a part that is drawn anew would not meet the other side", got=request.seamless, do=do)
    sides = (request.size.width * wraps_across(request.seamless), request.size.height * wraps_down(request.seamless))
    grid = RING_CELLS * contract.factor
    if any(side % grid for side in sides):
        what = f"a side that meets the opposite one is a multiple of {grid} px"
        raise RequestError(what, got=str(request.size), do=f"Ask for {request.size.round_up(grid)}.")
