"""The rows of `sfumato bench shapes` for one checkpoint: which processes each takes, and what is kept of them.

A row that is done is kept in a file, so that a bench that was stopped goes on. Knows nothing of tables. Start reading at
`Rows.run`.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.canvas.workspace.disk_workspace import name_work
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.lab.true_shapes.diffusers_full_size import estimate_whole
from sfumato.lab.true_shapes.process import Ended, Limits, run_child
from sfumato.models.contract import ModelContract

DECODE = "decode"
ROWS = ("probe", "render", "resume", "call", DECODE)
# The entry of a row that did not fit, was stopped, or failed: why.
NOT_DONE = "not_done"
WAYS = ("whole", "their tiles", "our tiles")
# Pictures of these shares of the side are tried where the whole does not fit, for the difference alone.
_SMALLER = (1.0, 0.75, 0.5, 0.25)
_STEP_PX = 64
# Pixels from -1 to 1 are 255 steps of 8 bits.
_STEPS_PER_UNIT = 127.5
# The runtime, libraries and the autoencoder's weights beside what a decode takes.
_BESIDE_BYTES = 3 * 2**29
# The report of progress after which a render that goes on is killed: the first says how long a row takes.
_KILL_AT = 2


@dataclass(frozen=True, kw_only=True)
class Trying:
    """Say what is measured, in what, and within what."""

    name: str
    folder: Path
    size_px: int
    steps: int
    dtype: str
    device: str
    budget_bytes: int | None


Found = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """Measure row after row of one checkpoint in a folder. A leaf."""

    trying: Trying
    work: Path
    limits: Limits

    def run(self, row: str) -> Found:
        """Return what a row found, from its file where it was measured before."""
        path = self._name(row)
        if path.is_file():
            return json.loads(path.read_text())
        found = self._measure(row) | {"load_average": round(os.getloadavg()[0], 1)}
        if NOT_DONE not in found:
            write_atomic(path, lambda stream: stream.write(json.dumps(found, indent=1).encode()))
        return found

    def _measure(self, row: str) -> Found:
        name, _, what = row.partition(" ")
        if name == DECODE:
            way, _, side = what.rpartition(" ")
            return self._decode(way, int(side))
        if name in ("probe", "call"):
            return _report(run_child(self._ask(name), self.limits))
        return self._render() if name == "render" else self._resume()

    def _name(self, row: str) -> Path:
        trying = self.trying
        words = (trying.name, f"{trying.size_px}px", f"{trying.steps}steps", trying.dtype, trying.device, row)
        return self.work / f"{'-'.join(words).replace(':', '').replace(' ', '-')}.json"

    def _render(self) -> Found:
        """Render without a stop, and keep a copy of the work from the middle of the last level."""
        out, kept = self._place("whole.png"), self._place("kept.work")
        for folder in (name_work(out), kept):
            shutil.rmtree(folder, ignore_errors=True)
        return _report(self._start_render(out, copy_to=str(kept)))

    def _resume(self) -> Found:
        """Go on with the copy, be killed in the middle of a row of windows, go on again; compare the pictures."""
        kept, out = self._place("kept.work"), self._place("resumed.png")
        whole = self._name("render")
        if not kept.is_dir() or not whole.is_file():
            return {NOT_DONE: "the row `render` comes first: it leaves the work to go on with"}
        shutil.rmtree(name_work(out), ignore_errors=True)
        shutil.copytree(kept, name_work(out))
        killed = self._start_render(out, resume=True, kill_at=_KILL_AT)
        if killed.lost_s is None:
            return _report(killed) | {NOT_DONE: killed.error or "the render was over before it was killed"}
        again = self._start_render(out, resume=True)
        if again.found is None:
            return _report(again)
        same = again.found["sha256"] == json.loads(whole.read_text())["sha256"]
        return again.found | {"same": same, "redone_s": killed.lost_s, "killed_at": killed.where}

    def _start_render(self, out: Path, *, resume: bool = False, copy_to: str | None = None, kill_at: int = 0) -> Ended:
        asked = self._ask("render") | {"steps": self.trying.steps, "budget_bytes": self.trying.budget_bytes}
        return run_child(
            asked | {"out": str(out), "resume": resume, "copy_to": copy_to, "kill_at": kill_at}, self.limits
        )

    def _decode(self, way: str, side_px: int) -> Found:
        """Decode the same latents in one of three ways."""
        asked = self._ask("decode") | {"way": way, "size_px": side_px, "pixels": str(self._pixels(way, side_px))}
        return _report(run_child(asked, self.limits))

    def find_largest(self, contract: ModelContract) -> int:
        """Return the side of the largest picture that can be decoded whole; 0 where none can."""
        for share in _SMALLER:
            side = int(self.trying.size_px * share) // _STEP_PX * _STEP_PX
            if side and self._holds_whole(contract, PixelSize(side, side)):
                return side
        return 0

    def _holds_whole(self, contract: ModelContract, size: PixelSize) -> bool:
        needed = estimate_whole(contract.autoencoder_channels, size.to_latent(contract.factor))
        return needed <= self.limits.device_bytes - _BESIDE_BYTES

    def _pixels(self, way: str, side_px: int) -> Path:
        return self._place(f"{side_px}-{way.replace(' ', '-')}.npy")

    def compare(self, side_px: int) -> Found:
        """Return how far tiles are from the whole, in steps of 8 bits, and the largest pixel there is."""
        paths = {way: self._pixels(way, side_px) for way in WAYS}
        if not all(path.is_file() for path in paths.values()):
            return {}
        whole = np.load(paths["whole"], mmap_mode="r")
        found: Found = {"largest": float(np.abs(whole).max())}
        for way in WAYS[1:]:
            off = np.abs(np.load(paths[way], mmap_mode="r") - whole) * _STEPS_PER_UNIT
            found[way] = {"most": float(off.max()), "mean": float(off.mean())}
        return found

    def _ask(self, trial: str) -> dict[str, Any]:
        trying = self.trying
        return {
            "trial": trial,
            "folder": str(trying.folder),
            "size_px": trying.size_px,
            "dtype": trying.dtype,
            "device": trying.device,
            "device_bytes": self.limits.device_bytes,
        }

    def _place(self, name: str) -> Path:
        return self.work / f"{self.trying.name}-{name}"


def _report(ended: Ended) -> Found:
    """Return what a process found, or that it did not fit, was stopped or failed."""
    if ended.found is not None:
        return ended.found
    reason = ended.stopped or ended.error or "it said nothing"
    return {NOT_DONE: reason, "where": ended.where, "seconds": ended.seconds}
