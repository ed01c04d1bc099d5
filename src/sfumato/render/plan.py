"""Fit a plan to a budget, or refuse with the largest size that would fit.

Pure: reads no file, loads no weights, takes no clock; the same arguments give the same plan.
Start reading at `plan_render`; the engine executes what it returns and decides nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfumato.core.errors import BudgetError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import NativeMethod
from sfumato.render import budget as cost
from sfumato.render.draft import draft_plan
from sfumato.render.methods import SMALLEST_SIDE_CELLS, check_request

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.budget import Budget
    from sfumato.render.stages import Plan


def plan_render(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan:
    """Plan one picture of a request on a model, within a budget.

    Raises:
        RequestError: the size, sampler or a combination does not fit the model or method.
        BudgetError: more memory or disk than allowed; says the largest size that fits.
    """
    check_request(request, contract)
    plan = _draft_if_canvas_fits(request, contract, budget)
    if plan is None or not _fits(plan, budget):
        raise _over_budget(request, contract, budget, plan)
    return draft_plan(request, contract, budget, listed=True)


def _draft_if_canvas_fits(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan | None:
    """Draft a plan without its windows, or None where the canvas alone is beyond the budget."""
    memory = cost.standing_bytes(contract, budget, request.size) <= budget.memory_bytes
    disk = budget.disk_bytes is None or cost.disk_bytes(request.size) <= budget.disk_bytes
    return draft_plan(request, contract, budget) if memory and disk else None


def _fits(plan: Plan, budget: Budget) -> bool:
    disk = plan.disk_bytes * plan.batch
    memory = plan.memory_bytes <= budget.memory_bytes
    room = budget.free_bytes is None or plan.room_bytes <= budget.free_bytes
    spill = budget.spill_bytes is None or plan.spill_bytes <= budget.spill_bytes
    return memory and room and spill and (budget.disk_bytes is None or disk <= budget.disk_bytes)


def _over_budget(request: RenderRequest, contract: ModelContract, budget: Budget, plan: Plan | None) -> BudgetError:
    largest = find_largest_size(request, contract, budget)
    needs = _canvas_needs(request, contract, budget) if plan is None else _needs(plan, budget)
    got = f"{request.size} needs {needs}"
    if largest is None:
        return BudgetError("no size fits the budget", got=got, do="Raise --budget-gb or use a smaller model.")
    if isinstance(request.method, NativeMethod):
        return BudgetError(
            "over budget", got=got, do=f"Ask for --size {largest}, raise --budget-gb or use --method multidiffusion."
        )
    return BudgetError("over budget", got=got, do=f"Ask for --size {largest}, or raise --budget-gb.")


def _canvas_needs(request: RenderRequest, contract: ModelContract, budget: Budget) -> str:
    memory = cost.standing_bytes(contract, budget, request.size)
    if memory > budget.memory_bytes:
        return f"more than {memory / cost.GIB:.2f} GiB of {budget.memory_bytes / cost.GIB:.2f} GiB"
    return f"{cost.disk_bytes(request.size) * request.batch / cost.GIB:.2f} GiB of disk"


def _needs(plan: Plan, budget: Budget) -> str:
    if plan.memory_bytes > budget.memory_bytes:
        return f"{plan.memory_bytes / cost.GIB:.2f} GiB of {budget.memory_bytes / cost.GIB:.2f} GiB"
    if budget.free_bytes is not None and plan.room_bytes > budget.free_bytes:
        return f"{plan.room_bytes / cost.GIB:.2f} GiB free, and {budget.free_bytes / cost.GIB:.2f} GiB are"
    if budget.spill_bytes is not None and plan.spill_bytes > budget.spill_bytes:
        return f"{plan.spill_bytes / cost.GIB:.2f} GiB of disk for the autoencoder's work, see TMPDIR"
    return f"{plan.disk_bytes * plan.batch / cost.GIB:.2f} GiB of disk"


def find_largest_size(request: RenderRequest, contract: ModelContract, budget: Budget) -> PixelSize | None:
    """Return the largest size of the request's aspect whose plan fits the budget, or None."""
    low, high = 0, max(request.size.width, request.size.height) // contract.factor
    while low < high:
        middle = (low + high + 1) // 2
        size = _scaled(request.size, middle, contract.factor)
        plan = _draft_if_canvas_fits(replace(request, size=size), contract, budget)
        if plan is not None and _fits(plan, budget):
            low = middle
        else:
            high = middle - 1
    return _scaled(request.size, low, contract.factor) if low >= SMALLEST_SIDE_CELLS else None


def _scaled(size: PixelSize, long_cells: int, factor: int) -> PixelSize:
    long = max(size.width, size.height)
    cells = [max(SMALLEST_SIDE_CELLS, side * long_cells // long) for side in (size.width, size.height)]
    return PixelSize(cells[0] * factor, cells[1] * factor)
