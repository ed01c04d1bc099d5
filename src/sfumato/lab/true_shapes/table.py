"""What `sfumato bench shapes` found of one checkpoint, as a table for people.

Knows the entries of the rows and measures nothing. Start reading at `list_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sfumato.core.cards import align
from sfumato.lab.true_shapes.rows import NOT_DONE, WAYS
from sfumato.workflows.forecast.calibration_store import measure_error

_GIB = 1024**3
_HEAD = ("", "seconds", "processor s", "peak GiB", "above the model GiB", "")
Line = tuple[str, ...]
Found = Mapping[str, Any]


def list_lines(name: str, rows: Found) -> list[str]:
    """Return the lines of one checkpoint's table and its notes."""
    lines: list[Line] = []
    for row, write in (("render", _list_render), ("resume", _list_resume), ("call", _list_call)):
        if row in rows:
            lines += _list_or_say(row, rows[row], lambda found, write=write: write(found, rows))
    for way in WAYS if "decode" in rows else ():
        whose = "ours" if way == "our tiles" else "diffusers"
        found = rows["decode"][way]
        label = f"{whose}, decode {'whole' if way == 'whole' else 'in tiles'}"
        lines += _list_or_say(label, found, lambda found, label=label: [_row(label, found, found["held_bytes"])])
    title = f"{name}: {rows['size']}, native {rows['native']}, {rows['steps']} steps, random weights"
    return [title, *align([_HEAD, *lines]), *(f"note: {note}" for note in _list_notes(rows))]


def _list_or_say(label: str, found: Found, write: Any) -> list[Line]:
    """Return the lines of a row, or the one that says why there is none."""
    if NOT_DONE not in found:
        return write(found)
    return [(label, "-", "-", "-", "-", f"{found[NOT_DONE]}{_say_where(found)}")]


def _say_where(found: Found) -> str:
    return f", at {found['where']} after {found['seconds']:.0f} s" if found.get("seconds") else ""


def _list_render(found: Found, _: Found) -> list[Line]:
    total = {"seconds": found["seconds"], "peak_bytes": found["peak_bytes"]}
    total["processor_s"] = sum(part["processor_s"] for part in found["parts"].values())
    parts = (_row(f"  {part}", one, found["held_bytes"]) for part, one in found["parts"].items())
    return [_row("ours, render", total, found["held_bytes"], _say_planned(found)), *parts]


def _say_planned(found: Found) -> str:
    memory = measure_error(found["planned_bytes"], found["peak_bytes"]) or 0.0
    seconds = measure_error(found["planned_s"], found["seconds"]) or 0.0
    return (
        f"planned {found['planned_bytes'] / _GIB:.2f} GiB ({memory:+.0%}), {found['planned_s']:.0f} s ({seconds:+.0%}), "
        f"by a {found['basis']}"
    )


def _list_resume(found: Found, rows: Found) -> list[Line]:
    words = "the same bytes" if found["same"] else "OTHER BYTES"
    note = f"{words}; {found['redone_s']:.1f} s redone, killed after {found['killed_at']}"
    spent = {"seconds": found["seconds"], "peak_bytes": found["peak_bytes"]}
    spent["processor_s"] = sum(part["processor_s"] for part in found["parts"].values())
    # Where nothing was left to be drawn, it never held a model that had drawn a step: what `render` held counts.
    held = found["held_bytes"] or rows.get("render", {}).get("held_bytes")
    return [_row("ours, killed and resumed", spent, held, note)]


def _list_call(found: Found, rows: Found) -> list[Line]:
    native, full, steps = found["native"], found["full"], int(rows["steps"])
    all_s = full["seconds"] + (steps - 1) * found["step_s"]
    note = f"{found['step_s']:.0f} s a step; x {steps} steps = {all_s:.0f} s, without decoding"
    return [
        _row("diffusers, one native step", native, native["held_bytes"]),
        _row("diffusers, one full step", full, full["held_bytes"], note),
    ]


def _row(label: str, spent: Found, held_bytes: int | None, note: str = "") -> Line:
    above = "-" if held_bytes is None else f"{max(0, spent['peak_bytes'] - held_bytes) / _GIB:.2f}"
    seconds = (f"{spent[clock]:.1f}" for clock in ("seconds", "processor_s"))
    return (label, *seconds, f"{spent['peak_bytes'] / _GIB:.2f}", above, note)


def _list_notes(rows: Found) -> Iterator[str]:
    render = rows.get("render", {})
    if "disk_bytes" in render:
        planned = render["planned_disk_bytes"] / _GIB
        yield f"work in progress {render['disk_bytes'] / _GIB:.2f} GiB of disk at most, planned {planned:.2f}"
        yield f"{render['evaluations']} evaluations planned, {render['window_batch']} windows in a call"
    off = rows.get("difference", {})
    if WAYS[1] in off:
        tiles = (f"{way} {off[way]['most']:.3g} at most, {off[way]['mean']:.3g} in the mean" for way in WAYS[1:])
        yield (
            f"from the whole at {off['side_px']} px, in steps of 8 bits: {'; '.join(tiles)} "
            f"(pixels reach {off['largest']:.2f})"
        )
    loads = [found["load_average"] for found in rows.values() if isinstance(found, dict) and "load_average" in found]
    if loads:
        yield f"load of the machine {min(loads)} to {max(loads)}; decodes in float32"
