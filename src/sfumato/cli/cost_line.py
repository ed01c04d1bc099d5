"""What a large render is about to cost, in one line, before its first step.

Knows a plan's values and the place of the picture. Start reading at `write_cost`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.disk_workspace import name_work
from sfumato.cli.plan_table import write_bytes, write_seconds

if TYPE_CHECKING:
    from sfumato.render.stages import Plan
    from sfumato.workflows.forecast.plan_request import Wishes

# Stages of native size, which need no announcement.
_SMALL = ("sample", "read")


def write_cost(plan: Plan, wishes: Wishes) -> str | None:
    """Say size, levels, windows, time, memory and disk of a plan, in the words of `sfumato plan`; None at native size."""
    large = [stage for stage in plan.stages if stage.kind not in _SMALL]
    if not large:
        return None
    grown = sum(stage.kind == "grow" for stage in large)
    levels = f" in {grown} level{'s' if grown > 1 else ''}" if grown else ""
    windows = sum(len(stage.windows) for stage in large)
    each = f" for each of {plan.batch} pictures" if plan.batch > 1 else ""
    rest = ", less what is done already" if wishes.resume else ""
    return (
        f"{plan.size}{levels}, {windows:,} windows: about {write_seconds(plan.seconds + plan.save_s)}{each}, "
        f"{_write_memory(plan)}, {write_bytes(plan.peak_disk_bytes)} of disk{_find_place(plan, wishes)}{rest}"
    )


def _write_memory(plan: Plan) -> str:
    """Write one number where device and host share their memory, else two."""
    if not plan.host_bytes:
        return f"{write_bytes(plan.memory_bytes)} of memory"
    return f"{write_bytes(plan.memory_bytes)} on the device, {write_bytes(plan.host_bytes)} on the host"


def _find_place(plan: Plan, wishes: Wishes) -> str:
    """Name the folder that most of the disk is for; each picture of a batch has its own."""
    if not plan.work_bytes:
        return ""
    return f" in {name_work(wishes.out).name}" if plan.batch == 1 else " beside the pictures"
