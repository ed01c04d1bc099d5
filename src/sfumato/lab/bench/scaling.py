"""Measure that the cohesive engine costs the same per pixel, and holds the same, however large the picture.

Each size in a process of its own. Joins one table and one line of JSON. Start reading at `run_bench_growth`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sfumato.core.cards import align
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.validate import check_int

SIDES_PX = (1024, 2048, 4096)
SUFFIXES = (".png", ".tif", ".dzi")
_SMALLEST_PX, _LARGEST_PX = 256, 131072
_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class GrowthTrial:
    """What one process took: seconds of the processor, native renders per native area, memory above what it held.

    `again_s` are seconds of the clock that places drawn again took, which some pictures have and others have not.
    """

    side_px: int
    native_s: float
    processor_s: float
    native_renders: float
    growth_bytes: int
    held_bytes: int
    evaluations: int
    again_s: float


@dataclass(frozen=True, kw_only=True)
class GrowthBench:
    """What `sfumato bench growth` found."""

    rows: tuple[GrowthTrial, ...]
    command: str

    @property
    def cost_ratio(self) -> float:
        """The dearest pixel over the cheapest."""
        costs = [row.native_renders for row in self.rows]
        return max(costs) / min(costs)

    @property
    def memory_ratio(self) -> float:
        """What the largest picture held above the model, over what the smallest did."""
        return self.rows[-1].growth_bytes / max(1, self.rows[0].growth_bytes)

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        rows = [asdict(row) for row in self.rows]
        found = {"bench": "growth", "command": self.command, "rows": rows}
        ratios = {"cost_ratio": round(self.cost_ratio, 3), "memory_ratio": round(self.memory_ratio, 3)}
        return json.dumps(found | ratios, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people."""
        head = (
            "side px",
            "Mpx",
            "evaluations",
            "processor s",
            "s/Mpx",
            "native renders per native area",
            "again s",
            "memory MiB",
        )
        rows = [
            (
                str(row.side_px),
                f"{row.side_px**2 / 1e6:.1f}",
                f"{row.evaluations:,}",
                f"{row.processor_s:.1f}",
                f"{row.processor_s / row.side_px**2 * 1e6:.2f}",
                f"{row.native_renders:.2f}",
                f"{row.again_s:.1f}",
                f"{row.growth_bytes / _MIB:.0f}",
            )
            for row in self.rows
        ]
        notes = (
            f"note: dearest pixel over cheapest {self.cost_ratio:.2f}, largest memory over smallest {self.memory_ratio:.2f}",
            "note: memory: peak of a process above what it held with the model loaded; evaluations: at most, as planned",
        )
        return "\n".join([*align([head, *rows]), *notes])


def run_bench_growth(
    sides_px: tuple[int, ...] = SIDES_PX,
    *,
    model: str = "mini",
    steps: int = 20,
    suffix: str = ".tif",
    on_trial: Callable[[int, int], None] | None = None,
) -> GrowthBench:
    """Render square pictures with some sides, one process each.

    Raises:
        RequestError: a side, the steps or the suffix is out of range, or the system does not tell a process's peak.
        ModelError: a process failed.
    """
    for side_px in sides_px:
        check_int("a side", side_px, low=_SMALLEST_PX, high=_LARGEST_PX)
    check_int("the number of steps", steps, low=1, high=1000)
    if suffix not in SUFFIXES:
        raise RequestError(f"the suffix is one of {', '.join(SUFFIXES)}", got=suffix)
    if not Path("/proc/self/status").exists():
        raise RequestError("only Linux tells the peak memory of a process", got=sys.platform)
    rows: list[GrowthTrial] = []
    for side_px in sorted(sides_px):
        rows.append(_measure(side_px, {"model": model, "steps": steps, "suffix": suffix}))
        if on_trial:
            on_trial(len(rows), len(sides_px))
    sides = ",".join(str(row.side_px) for row in rows)
    words = f"sfumato bench growth --sides {sides} --steps {steps} --suffix {suffix} --model {model}"
    return GrowthBench(rows=tuple(rows), command=words)


def _measure(side_px: int, how: dict[str, Any]) -> GrowthTrial:
    asked = json.dumps(how | {"side_px": side_px})
    command = [sys.executable, "-m", "sfumato.lab.bench.scaling_process", asked]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"a picture of {side_px} px could not be rendered", got=last, do="Give smaller --sides.")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return GrowthTrial(side_px=side_px, **found)
