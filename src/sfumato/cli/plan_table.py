"""A plan as a table for a terminal.

Knows a plan's values only. Start reading at `write_plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.disk_workspace import name_work

if TYPE_CHECKING:
    from sfumato.render.stages import FocusForecast, ForecastPart, Plan, Stage
    from sfumato.workflows.run_options import RunOptions

_HEAD = ("stage", "canvas", "windows", "at once", "of cells", "steps", "evaluations", "memory", "time")
_BASES = {
    "probe": "as a probe of this machine says",
    "measured": "at the pace of earlier renders here",
    "guess": "a guess until something was rendered; `sfumato bench probe` measures it",
}


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
        str(stage.window_batch),
        str(stage.windows[0].size),
        str(stage.steps - stage.first_step),
        f"{stage.evaluations:,}",
        write_bytes(stage.memory_bytes),
        write_seconds(stage.seconds),
    )


def _totals(plan: Plan) -> list[str]:
    times = f" x {plan.batch} pictures" if plan.batch > 1 else ""
    each_s = plan.seconds + plan.save_s
    opening = f", after {write_seconds(plan.open_s)} to open the model" if plan.open_s else ""
    # A picture that is only worked on is padded for the forecast alone.
    is_cut = plan.canvas != plan.size and plan.method != "picture"
    return [
        f"method       {plan.method}, {plan.size}{f', cut from {plan.canvas}' if is_cut else ''}",
        *_memory(plan),
        _disk(plan),
        f"time         {write_seconds(each_s)}{times}{opening} ({_BASES[plan.basis]})",
        *_spill(plan),
        *_list_pass("windows", plan.windows),
        *_list_pass("focus", plan.focus),
        *_list_pass("hands", plan.anatomy),
    ]


def _disk(plan: Plan) -> str:
    """Say the most there is at once, and what stays where that is less."""
    stays = plan.disk_bytes * plan.batch
    after = f" at once, {write_bytes(stays)} when it is done" if plan.peak_disk_bytes > stays else ""
    return f"disk         {write_bytes(plan.peak_disk_bytes)} at most{after}"


def _list_pass(name: str, forecast: FocusForecast | None) -> list[str]:
    """Say what a pass takes on top: of each part that is known, else of any part that is found."""
    if forecast is None:
        return []
    label = f"{name:<13}"
    if not forecast.tries:
        return [f"{label}only checked, seconds for each that is found"]
    tries = f"up to {forecast.tries} tries" if forecast.tries > 1 else "in all levels together"
    part = f"{tries}, {write_seconds(forecast.part_seconds)} at most"
    lines = [] if forecast.is_complete else [f"{label}each part that is found then: {part}"]
    lines += [f"{label}{write_part(part)}" for part in forecast.parts]
    if forecast.is_complete:
        taken = sum(part.is_taken for part in forecast.parts)
        lines.append(f"{label}{taken} of {len(forecast.parts)} parts, {write_seconds(forecast.seconds)} at most")
    return lines


def write_part(part: ForecastPart) -> str:
    """Say of a part whether it is drawn anew, why, and what it takes at most."""
    box = f"{part.kind} {part.box.width}x{part.box.height} at {part.box.left},{part.box.top}"
    if not part.is_taken:
        return f"{box}: left, {part.reason}"
    return f"{box}: {part.reason}, {write_seconds(part.seconds)} at most"


def _spill(plan: Plan) -> list[str]:
    """Say where the autoencoder needs another disk."""
    if not plan.spill_bytes:
        return []
    return [
        f"autoencoder  keeps {write_bytes(plan.spill_bytes)} with temporary files (TMPDIR) if the picture's disk is full"
    ]


def _memory(plan: Plan) -> list[str]:
    """Write one number where device and host share their memory, else two."""
    if not plan.host_bytes:
        memory = write_bytes(plan.memory_bytes)
        return [f"memory       {memory} at most, the model included; device and host are one"]
    return [
        f"device       {write_bytes(plan.memory_bytes)} at most, the model included",
        f"host         {write_bytes(plan.host_bytes)} at most",
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


def write_cost(plan: Plan, options: RunOptions) -> str | None:
    """Say size, levels, windows, time, memory and disk of a plan, in the words of `sfumato plan`; None at native size."""
    # The base of a method, or a picture of native size, needs no announcement.
    large = [stage for stage in plan.stages if len(stage.windows) > 1]
    if not large:
        return None
    grown = len(plan.stages) - 1 if plan.work_bytes else 0
    levels = f" in {grown} level{'s' if grown > 1 else ''}" if grown else ""
    windows = sum(len(stage.windows) for stage in large)
    each = f" for each of {plan.batch} pictures" if plan.batch > 1 else ""
    rest = ", less what is done already" if options.resume else ""
    return (
        f"{plan.size}{levels}, {windows:,} windows: about {write_seconds(plan.seconds + plan.save_s)}{each}, "
        f"{_write_memory(plan)}, {write_bytes(plan.peak_disk_bytes)} of disk{_find_place(plan, options)}{rest}"
    )


def _write_memory(plan: Plan) -> str:
    """Write one number where device and host share their memory, else two."""
    if not plan.host_bytes:
        return f"{write_bytes(plan.memory_bytes)} of memory"
    return f"{write_bytes(plan.memory_bytes)} on the device, {write_bytes(plan.host_bytes)} on the host"


def _find_place(plan: Plan, options: RunOptions) -> str:
    """Name the folder that most of the disk is for; each picture of a batch has its own."""
    if not plan.work_bytes:
        return ""
    return f" in {name_work(options.out).name if options.out else ''}" if plan.batch == 1 else " beside the pictures"
