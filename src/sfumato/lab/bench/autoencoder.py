"""Measure what an autoencoder takes to decode and encode pictures that pass by: memory and time, by size.

Each size, both ways, in a process of its own. Joins one table and one line of JSON. Start reading at `run_bench_coding`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sfumato.core.cards import align
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.validate import check_int
from sfumato.models.describe import load_contract

SIZES = (PixelSize(1024, 1024), PixelSize(4096, 1024), PixelSize(8192, 512))
WAYS = ("decode", "encode")
_SMALLEST_PX, _LARGEST_PX = 64, 131072
_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class CodingTrial:
    """What one process took: seconds of the processor, and the most memory above what it held before."""

    way: str
    size: str
    processor_s: float
    growth_bytes: int

    @property
    def each_s(self) -> float:
        """Seconds of the processor for a million pixels."""
        return self.processor_s / PixelSize.parse(self.size).area * 1e6


@dataclass(frozen=True, kw_only=True)
class CodingBench:
    """What `sfumato bench coding` found."""

    rows: tuple[CodingTrial, ...]
    command: str

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        found = {"bench": "coding", "command": self.command, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(found, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people."""
        head = ("", "size", "memory MiB", "processor s/Mpx")
        rows = [(row.way, row.size, f"{row.growth_bytes / _MIB:.0f}", f"{row.each_s:.2f}") for row in self.rows]
        note = "note: memory: peak of a process of its own above what it held with the model loaded and once tried"
        return "\n".join([*align([head, *rows]), note])


def run_bench_coding(
    sizes: Sequence[PixelSize] = SIZES, *, model: str = "mini", on_trial: Callable[[int, int], None] | None = None
) -> CodingBench:
    """Decode random latents and encode random pixels of every size.

    Raises:
        RequestError: a size is out of range or does not fit the model, or the system does not tell a process's peak.
        ModelError: there is no such model, or a process failed.
    """
    contract = load_contract(model)
    for size in sizes:
        for side in (size.width, size.height):
            check_int("a side", side, low=_SMALLEST_PX, high=_LARGEST_PX)
        size.to_latent(contract.factor)
    if not Path("/proc/self/status").exists():
        raise RequestError("only Linux tells the peak memory of a process", got=sys.platform)
    wanted, rows = [(way, size) for way in WAYS for size in sizes], list[CodingTrial]()
    for way, size in wanted:
        rows.append(_measure(model, way, size))
        if on_trial:
            on_trial(len(rows), len(wanted))
    named = ",".join(str(size) for size in sizes)
    return CodingBench(rows=tuple(rows), command=f"sfumato bench coding --sizes {named} --model {model}")


def _measure(model: str, way: str, size: PixelSize) -> CodingTrial:
    command = [sys.executable, "-m", "sfumato.lab.bench.autoencoder_process", model, way, str(size)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"{size} could not be {way}d", got=last, do="Give smaller --sizes.")
    return CodingTrial(way=way, size=str(size), **json.loads(done.stdout.strip().splitlines()[-1]))
