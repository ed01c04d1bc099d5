"""Fit a plan to a budget, or refuse with the largest size that would fit.

Pure: reads no file, loads no weights, takes no clock; the same arguments give the same plan.
Start reading at `plan_render`; the engine executes what it returns and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, InpaintSource, MultidiffusionMethod, NativeMethod
from sfumato.render.plan import budget as cost
from sfumato.render.plan.budget import SMALLER_BATCHES
from sfumato.render.plan.canvas_cost import count_disk_bytes
from sfumato.render.plan.choose_method import SMALLEST_SIDE_CELLS, check_request, is_growing
from sfumato.render.plan.list_stages import draft_plan, hold_canvas

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.budget import Budget
    from sfumato.render.stages import Plan


def plan_render(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan:
    """Plan one picture of a request on a model, within a budget.

    Where all windows of a batch at once are too much, fewer are denoised in one call; what the
    autoencoder may take follows from what is left.

    Raises:
        RequestError: the size, sampler or a combination does not fit the model or method.
        BudgetError: more memory or disk than allowed; says the largest size that fits.
    """
    check_request(request, contract)
    fitted = _find_fitting(request, contract, budget)
    if fitted is None:
        smallest = replace(budget, window_batch=min(SMALLER_BATCHES))
        raise _over_budget(request, contract, smallest, _draft_if_canvas_fits(request, contract, smallest))
    return draft_plan(request, contract, fitted, listed=True)


def _find_fitting(request: RenderRequest, contract: ModelContract, budget: Budget) -> Budget | None:
    """Return the budget with the largest batch of windows whose plan fits it, or None."""
    for batch in SMALLER_BATCHES:
        tried = replace(budget, window_batch=batch)
        plan = _draft_if_canvas_fits(request, contract, tried)
        if plan is None:
            return None
        if _fits(plan, tried):
            return tried
    return None


def _draft_if_canvas_fits(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan | None:
    """Draft a plan without its windows, or None where the canvas alone is beyond the budget."""
    memory = _standing(request, contract, budget) <= budget.memory_bytes
    disk = budget.disk_bytes is None or _count_pictures(request, budget) <= budget.disk_bytes
    return draft_plan(request, contract, budget) if memory and disk else None


def _count_pictures(request: RenderRequest, budget: Budget) -> int:
    return count_disk_bytes(request.size, pyramid=budget.pyramid) * request.batch


def _standing(request: RenderRequest, contract: ModelContract, budget: Budget) -> int:
    return cost.standing_bytes(contract, budget, hold_canvas(request, contract))


def _fits(plan: Plan, budget: Budget) -> bool:
    return not any(need.is_short for need in _list_needs(plan, budget))


@dataclass(frozen=True, kw_only=True)
class _Need:
    """Hold bytes of a resource that are needed, those there are or None, how to say that it is too much, and what helps."""

    needed: int
    limit: int | None
    words: str
    cure: str

    @property
    def is_short(self) -> bool:
        return self.limit is not None and self.needed > self.limit

    def say(self) -> str:
        limit = self.limit or 0
        # As many digits as tell the two apart.
        digits = next((count for count in range(2, 9) if _gib(self.needed, count) != _gib(limit, count)), 9)
        return self.words.format(_gib(self.needed, digits), _gib(limit, digits))


def _list_needs(plan: Plan, budget: Budget) -> tuple[_Need, ...]:
    """List what a plan needs of each resource."""
    spill_room, where = _find_spill_room(plan, budget)
    drawn, on_host = max(stage.memory_bytes for stage in plan.stages), max(stage.host_bytes for stage in plan.stages)
    spilled = f"{{0}} of disk for the autoencoder's work, {where}, and {{1}} are left"
    return (
        _need_memory(drawn, budget),
        _Need(
            needed=on_host,
            limit=budget.host_bytes,
            words="{0} of {1} of the host's memory",
            cure="free memory of the host",
        ),
        _need_to_save(plan, budget),
        _Need(needed=plan.room_bytes, limit=budget.free_bytes, words="{0} free, and {1} are", cure="free some memory"),
        _Need(needed=plan.spill_bytes, limit=spill_room, words=spilled, cure="set TMPDIR to a folder with more room"),
        _need_disk(plan.peak_disk_bytes, budget),
    )


def _need_memory(needed: int, budget: Budget, words: str = "{0} of {1}") -> _Need:
    # Where everything that is free is allowed, allowing more does not help.
    is_all = budget.free_bytes is not None and budget.memory_bytes >= budget.free_bytes
    cure = "free some memory" if is_all else "raise --budget-gb"
    return _Need(needed=needed, limit=budget.memory_bytes, words=words, cure=cure)


def _need_to_save(plan: Plan, budget: Budget) -> _Need:
    """Return what a plan needs of the memory that a picture is saved from: it is the most where a format takes it whole."""
    needed, limit = (
        (plan.host_bytes, budget.host_bytes) if budget.separate else (plan.memory_bytes, budget.memory_bytes)
    )
    return _Need(needed=needed, limit=limit, words="{0} of {1} to be saved", cure="save it as .png, .tif or .dzi")


def _need_disk(needed: int, budget: Budget) -> _Need:
    cure = "free some disk space, or give another --out"
    return _Need(needed=needed, limit=budget.disk_bytes, words="{0} of disk, and {1} are free", cure=cure)


def _find_spill_room(plan: Plan, budget: Budget) -> tuple[int | None, str]:
    """Return the disk for what the autoencoder cannot keep in memory, and where: also what work in progress leaves.

    No disk is promised twice: where TMPDIR is on that of the picture, what lies beside it by then is taken off both.
    """
    taken = plan.work_bytes + plan.disk_bytes * (plan.batch - 1)
    spill = budget.spill_bytes
    if spill is not None and budget.spill_shared:
        spill = max(0, spill - taken)
    grown = plan.method == CohesiveMethod.kind and budget.maps_beside
    if not grown or spill is None or budget.disk_bytes is None:
        return spill, "see TMPDIR"
    return max(spill, budget.disk_bytes - taken), "beside the picture or in TMPDIR"


def _over_budget(request: RenderRequest, contract: ModelContract, budget: Budget, plan: Plan | None) -> BudgetError:
    needs = _canvas_needs(request, contract, budget) if plan is None else _list_needs(plan, budget)
    short = next(need for need in needs if need.is_short)
    got = f"{request.size} needs {short.say()}"
    largest = find_largest_size(request, contract, budget)
    if isinstance(request.source, InpaintSource):
        advice = _advise_inpainting(request, contract, budget, largest)
    elif largest is None:
        do = f"{short.cure[0].upper()}{short.cure[1:]}, or use a smaller model."
        return BudgetError("no size fits the budget", got=got, do=do)
    else:
        advice = _advise_size(request, contract, largest)
    return BudgetError("over budget", got=got, do=f"{advice}, or {short.cure}.")


def _advise_size(request: RenderRequest, contract: ModelContract, largest: PixelSize) -> str:
    """Say what size to ask for, and a method that draws it."""
    if isinstance(request.method, NativeMethod):
        return f"Ask for --size {largest}, use --method multidiffusion"
    try:
        check_request(replace(request, size=largest), contract)
    except RequestError:
        # So small that there is nothing to enlarge.
        return f"Ask for --size {largest} with --method native"
    return f"Ask for --size {largest}"


def _advise_inpainting(
    request: RenderRequest, contract: ModelContract, budget: Budget, largest: PixelSize | None
) -> str:
    """Say what helps a picture that keeps its size: another method where that fits, else a smaller picture."""
    windows = replace(request, method=MultidiffusionMethod())
    if isinstance(request.method, NativeMethod) and _find_fitting(windows, contract, budget):
        return "Use --method multidiffusion"
    return f"Shrink the picture and its mask to {largest}" if largest else "Use a smaller model"


def _canvas_needs(request: RenderRequest, contract: ModelContract, budget: Budget) -> tuple[_Need, ...]:
    memory = _need_memory(_standing(request, contract, budget), budget, "more than {0} of {1}")
    return (memory, _need_disk(_count_pictures(request, budget), budget))


def _gib(count: int, digits: int) -> str:
    return f"{count / cost.GIB:.{digits}f} GiB"


def find_largest_size(request: RenderRequest, contract: ModelContract, budget: Budget) -> PixelSize | None:
    """Return the largest size of the request's aspect whose plan fits the budget, or None."""
    low, high = 0, max(request.size.width, request.size.height) // contract.factor
    while low < high:
        middle = (low + high + 1) // 2
        size = _scaled(request.size, middle, contract.factor)
        if _find_fitting(replace(request, size=size), contract, budget):
            low = middle
        else:
            high = middle - 1
    largest = _scaled(request.size, low, contract.factor)
    return largest if low >= SMALLEST_SIDE_CELLS and is_growing(request.source, largest) else None


def _scaled(size: PixelSize, long_cells: int, factor: int) -> PixelSize:
    long = max(size.width, size.height)
    cells = [max(SMALLEST_SIDE_CELLS, side * long_cells // long) for side in (size.width, size.height)]
    return PixelSize(cells[0] * factor, cells[1] * factor)
