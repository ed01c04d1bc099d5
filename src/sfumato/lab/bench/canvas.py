"""Measure that memory does not follow the canvas: peak growth of a process that writes pictures of rising size.

Every format and the latents on disk, each size in a process of its own. Joins one table and one line
of JSON. Start reading at `run_bench_canvas`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sfumato.core.cards import align
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.validate import check_int

KINDS = {"png": "a.png", "tif": "a.tif", "dzi": "a.dzi", "latents": "a.latents"}
SIDES_PX = (2048, 4096, 8192)
_SMALLEST_PX, _LARGEST_PX = 64, 131072
_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class CanvasTrial:
    """What one process took: the most memory above what it held before, the time, the files."""

    kind: str
    side_px: int
    growth_bytes: int
    seconds: float
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class CanvasBench:
    """What `sfumato bench canvas` found."""

    rows: tuple[CanvasTrial, ...]
    command: str

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        found = {"bench": "canvas", "command": self.command, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(found, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people."""
        head = ("format", "side px", "pixels MiB", "file MiB", "memory MiB", "seconds")
        rows = [
            (
                row.kind,
                str(row.side_px),
                f"{row.side_px**2 * 3 / _MIB:.0f}",
                f"{row.file_bytes / _MIB:.1f}",
                f"{row.growth_bytes / _MIB:.1f}",
                f"{row.seconds:.1f}",
            )
            for row in self.rows
        ]
        note = "memory: peak of a process of its own above what it held before, the band it is given included"
        return "\n".join([*align([head, *rows]), f"note: {note}"])


def run_bench_canvas(
    sides_px: Sequence[int] = SIDES_PX, *, on_trial: Callable[[int, int], None] | None = None
) -> CanvasBench:
    """Write square canvases of every kind with the given sides, one process each.

    Raises:
        RequestError: a side is out of range, or the system does not tell a process's peak memory.
        StorageError: a process could not write its canvas.
    """
    for side_px in sides_px:
        check_int("a side", side_px, low=_SMALLEST_PX, high=_LARGEST_PX)
    if not Path("/proc/self/status").exists():
        raise RequestError("only Linux tells the peak memory of a process", got=sys.platform)
    wanted = [(kind, side_px) for kind in KINDS for side_px in sides_px]
    rows: list[CanvasTrial] = []
    for kind, side_px in wanted:
        rows.append(_measure(kind, side_px))
        if on_trial:
            on_trial(len(rows), len(wanted))
    sides = ",".join(str(side_px) for side_px in sides_px)
    return CanvasBench(rows=tuple(rows), command=f"sfumato bench canvas --sides {sides}")


def _measure(kind: str, side_px: int) -> CanvasTrial:
    with tempfile.TemporaryDirectory(prefix="sfumato-canvas-") as folder:
        path = str(Path(folder) / KINDS[kind])
        command = [sys.executable, "-m", "sfumato.lab.bench.canvas_process", kind, str(side_px), path]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StorageError(f"a {kind} of {side_px} px could not be written", got=last, do="Give smaller --sides.")
    return CanvasTrial(kind=kind, side_px=side_px, **json.loads(done.stdout))
