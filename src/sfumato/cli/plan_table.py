"""A plan as a table for a terminal.

Knows a plan's values only. Start reading at `write_plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.render.stages import Plan, Stage

_HEAD = ("stage", "canvas", "windows", "of cells", "steps", "evaluations", "memory", "time")


def write_plan(plan: Plan) -> str:
    """Write a plan as aligned text: a row per stage, then the totals."""
    rows = [_HEAD, *(_row(stage) for stage in plan.stages)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_totals(plan)]) + "\n"


def _row(stage: Stage) -> tuple[str, ...]:
    return (
        stage.name,
        str(stage.canvas),
        str(len(stage.windows)),
        str(stage.windows[0].size),
        str(stage.steps - stage.first_step),
        f"{stage.evaluations:,}",
        write_bytes(stage.memory_bytes),
        write_seconds(stage.seconds),
    )


def _totals(plan: Plan) -> list[str]:
    basis = (
        "at the pace of earlier renders here" if plan.basis == "measured" else "a guess until something was rendered"
    )
    times = f" x {plan.batch} pictures" if plan.batch > 1 else ""
    spill = f", and {write_bytes(plan.spill_bytes)} for a while" if plan.spill_bytes else ""
    return [
        f"method       {plan.method}, {plan.size}",
        f"memory       {write_bytes(plan.memory_bytes)} at most, the model included",
        f"disk         {write_bytes(plan.disk_bytes)} at most{times}{spill}",
        f"time         {write_seconds(plan.seconds)}{times} ({basis})",
    ]


def write_bytes(count: int) -> str:
    """Write a number of bytes the way people read it."""
    return f"{count / 1024**3:.2f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"


def write_seconds(seconds: float) -> str:
    """Write a duration the way people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
