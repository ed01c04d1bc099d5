"""Fit a plan to a budget, or refuse with the largest size that would fit.

Pure: reads no file, loads no weights, takes no clock; the same arguments give the same plan.
Start reading at `plan_render`; the engine executes what it returns and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import InpaintSource, MultidiffusionMethod
from sfumato.render.methods.registry import find_method
from sfumato.render.plan.budget import GIB, SMALLER_BATCHES
from sfumato.render.plan.choose_method import check_request
from sfumato.render.plan.cost import PIXEL_BYTES, count_disk_bytes, price_stage
from sfumato.render.plan.list_stages import StageList
from sfumato.render.plan.sizes import SMALLEST_SIDE_CELLS, is_growing
from sfumato.render.stages import Plan

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.budget import RenderBudget


def plan_render(request: RenderRequest, contract: ModelContract, budget: RenderBudget) -> Plan:
    """Plan one picture of a request on a model, within a budget.

    Where all windows of a batch at once are too much, fewer are denoised in one call.

    Raises:
        RequestError: the size, sampler or a combination does not fit the model or method.
        BudgetError: more memory or disk than allowed; says the largest size that fits.
    """
    check_request(request, contract)
    fitted = _find_fitting(request, contract, budget)
    if fitted is None:
        smallest = replace(budget, window_batch=min(SMALLER_BATCHES))
        raise _over_budget(request, contract, smallest)
    return draft_plan(request, contract, fitted, listed=True).plan


def find_largest_size(request: RenderRequest, contract: ModelContract, budget: RenderBudget) -> PixelSize | None:
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


@dataclass(frozen=True, kw_only=True)
class Need:
    """Hold bytes of a resource: the need, the limit or None, how to say that it is too much, and what helps."""

    needed: int
    limit: int | None
    words: str
    cure: str

    @property
    def is_short(self) -> bool:
        """Tell whether the need is more than there is."""
        return self.limit is not None and self.needed > self.limit

    def say(self) -> str:
        """Say the need and the limit."""
        limit = self.limit or 0
        # As many digits as tell the two apart.
        digits = next((count for count in range(2, 9) if _gib(self.needed, count) != _gib(limit, count)), 9)
        return self.words.format(_gib(self.needed, digits), _gib(limit, digits))


@dataclass(frozen=True, kw_only=True)
class DraftPlan:
    """Hold a plan, and its needs of every resource."""

    plan: Plan
    needs: tuple[Need, ...]

    @property
    def short(self) -> Need | None:
        """Return the first need that is more than there is, None if all fit."""
        return next((need for need in self.needs if need.is_short), None)


def draft_plan(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, *, listed: bool = False
) -> DraftPlan:
    """Draft a plan; unless `listed`, every stage holds only the first of its windows and costs the same."""
    picture = count_disk_bytes(request.size, pyramid=budget.pyramid)
    before = picture * (request.batch - 1)
    disk = None if budget.disk_bytes is None else max(0, budget.disk_bytes - before)
    lister = StageList(request=request, contract=contract, window_batch=budget.window_batch, listed=listed)
    uses = find_method(request.method).list_stages(lister)
    costs = [price_stage(use, contract, replace(budget, disk_bytes=disk), lister.halves) for use in uses]
    first, *later = [one.stage for one in costs]
    stages = (replace(first, seconds=first.seconds + budget.cost.start_s), *later)
    # A format that is not written in bands takes the picture beside what it is encoded with.
    saved = stages[-1].canvas.area * (budget.whole_bytes + PIXEL_BYTES) if budget.whole_bytes else 0
    memory, host = max(stage.memory_bytes for stage in stages), max(one.host_bytes for one in costs)
    to_save = (budget.host_base_bytes if budget.separate else budget.base_bytes) + saved
    spill = max(one.spill_bytes for one in costs)
    beside = [one.map_bytes or (one.spill_bytes if budget.spill_shared else 0) for one in costs]
    work = [one.stage.work_bytes + maps for one, maps in zip(costs, beside, strict=True)]
    peak_disk = before + max(*work, costs[-1].left_bytes + picture)
    plan = Plan(
        method=request.method.kind,
        size=request.size,
        batch=request.batch,
        stages=stages,
        memory_bytes=memory if budget.separate else max(memory, to_save),
        host_bytes=max(host, to_save) if budget.separate else 0,
        disk_bytes=picture,
        peak_disk_bytes=peak_disk,
        work_bytes=max(stage.work_bytes for stage in stages),
        spill_bytes=spill,
        autoencoder_bytes=min(one.autoencoder_bytes for one in costs),
        seconds=sum(stage.seconds for stage in stages),
        open_s=budget.cost.open_s,
        save_s=request.size.area * budget.cost.save_s,
        basis=budget.cost.basis,
    )
    # Where everything that is free is allowed, allowing more does not help.
    is_all = budget.free_bytes is not None and budget.memory_bytes >= budget.free_bytes
    cure = "free some memory" if is_all else "raise --budget-gb"
    saving = (to_save, budget.host_bytes if budget.separate else budget.memory_bytes)
    spill_limit, place = _find_spill_limit(plan, budget, beside=uses[-1].in_bands)
    spilled = f"{{0}} of disk for the autoencoder's work, {place}, and {{1}} are left"
    needs = (
        Need(needed=memory, limit=budget.memory_bytes, words="{0} of {1}", cure=cure),
        Need(
            needed=host,
            limit=budget.host_bytes,
            words="{0} of {1} of the host's memory",
            cure="free memory of the host",
        ),
        Need(needed=saving[0], limit=saving[1], words="{0} of {1} to be saved", cure="save it as .png, .tif or .dzi"),
        Need(
            needed=max(one.room_bytes for one in costs),
            limit=budget.free_bytes,
            words="{0} free, and {1} are",
            cure="free some memory",
        ),
        Need(needed=spill, limit=spill_limit, words=spilled, cure="set TMPDIR to a folder with more room"),
        Need(
            needed=peak_disk,
            limit=budget.disk_bytes,
            words="{0} of disk, and {1} are free",
            cure="free some disk space, or give another --out",
        ),
    )
    return DraftPlan(plan=plan, needs=needs)


def _find_spill_limit(plan: Plan, budget: RenderBudget, *, beside: bool) -> tuple[int | None, str]:
    """Return the disk for what the autoencoder cannot keep in memory, and where that is.

    No disk is promised twice: where TMPDIR is on that of the picture, what lies beside it by then is taken off both.
    """
    taken, spill = plan.work_bytes + plan.disk_bytes * (plan.batch - 1), budget.spill_bytes
    if spill is not None and budget.spill_shared:
        spill = max(0, spill - taken)
    if not beside or budget.separate or spill is None or budget.disk_bytes is None:
        return spill, "see TMPDIR"
    return max(spill, budget.disk_bytes - taken), "beside the picture or in TMPDIR"


def _find_fitting(request: RenderRequest, contract: ModelContract, budget: RenderBudget) -> RenderBudget | None:
    """Return the budget with the largest batch of windows whose plan fits it, or None."""
    tries = [replace(budget, window_batch=batch) for batch in SMALLER_BATCHES]
    return next((one for one in tries if draft_plan(request, contract, one).short is None), None)


def _over_budget(request: RenderRequest, contract: ModelContract, budget: RenderBudget) -> BudgetError:
    short = draft_plan(request, contract, budget).short
    assert short is not None, "only what does not fit is refused"
    got, row = f"{request.size} needs {short.say()}", find_method(request.method)
    largest = find_largest_size(request, contract, budget)
    if isinstance(request.source, InpaintSource):
        # A picture to inpaint keeps its size: another method where that fits, else a smaller picture.
        windows = replace(request, method=MultidiffusionMethod())
        if row.draws_whole and _find_fitting(windows, contract, budget):
            advice = "Use --method multidiffusion"
        else:
            advice = f"Shrink the picture and its mask to {largest}" if largest else "Use a smaller model"
    elif largest is None:
        do = f"{short.cure[0].upper()}{short.cure[1:]}, or use a smaller model."
        return BudgetError("no size fits the budget", got=got, do=do)
    elif row.draws_whole:
        advice = f"Ask for --size {largest}, use --method multidiffusion"
    else:
        advice = f"Ask for --size {largest}"
        try:
            check_request(replace(request, size=largest), contract)
        except RequestError:
            # So small that there is nothing to enlarge.
            advice += " with --method native"
    return BudgetError("over budget", got=got, do=f"{advice}, or {short.cure}.")


def _scaled(size: PixelSize, long_cells: int, factor: int) -> PixelSize:
    long = max(size.width, size.height)
    cells = [max(SMALLEST_SIDE_CELLS, side * long_cells // long) for side in (size.width, size.height)]
    return PixelSize(cells[0] * factor, cells[1] * factor)


def _gib(count: int, digits: int) -> str:
    return f"{count / GIB:.{digits}f} GiB"
