"""What a plan is: stages of work on canvases and what they cost, as values.

Knows no request and no arithmetic. Start reading at `Stage`, then `Plan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
    from sfumato.core.resampling import FloatBox
    from sfumato.render.plan.budget import Basis


@dataclass(frozen=True, kw_only=True)
class Stage:
    """State one piece of work: the same thing done to every window of one canvas.

    The stage takes steps `first_step` to `steps` of the schedule, with noise of its own (`noise_stage`). Windows that
    are `moving` lie elsewhere in every step; `windows` then is one cover of the canvas. `window_batch` counts the windows
    in one call, `ticks` the reports of progress, one for each `unit`. A stage that enlarges takes the part `taken` of the picture before
    (left, top, right, bottom in px) and shows the part `shown` of the base; None is all of it. `memory_bytes` is the
    peak on the device, `work_bytes` what lies on disk meanwhile.
    """

    name: str
    canvas: PixelSize
    windows: tuple[LatentBox, ...]
    window_batch: int
    overlap_cells: int
    steps: int
    first_step: int
    ticks: int
    evaluations: int
    unit: str = "step"
    noise_stage: int = 0
    moving: bool = False
    taken: FloatBox | None = None
    shown: FloatBox | None = None
    memory_bytes: int = 0
    work_bytes: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Return the stage as JSON values; windows as their number and size."""
        return {
            "name": self.name,
            "canvas": str(self.canvas),
            "windows": len(self.windows),
            "window_cells": str(self.windows[0].size),
            "steps": self.steps - self.first_step,
            "window_batch": self.window_batch,
            "evaluations": self.evaluations,
            "memory_bytes": self.memory_bytes,
            "work_bytes": self.work_bytes,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, kw_only=True)
class ForecastPart:
    """Say of one part of a picture whether a pass would draw it anew, why, and what that takes at most."""

    kind: str
    box: PixelBox
    reason: str
    is_taken: bool = False
    seconds: float = 0.0
    evaluations: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the part as JSON values; the box as [x, y, width, height]."""
        return {
            "kind": self.kind,
            "box": [self.box.left, self.box.top, self.box.width, self.box.height],
            "taken": self.is_taken,
            "reason": self.reason,
            "seconds": round(self.seconds, 2),
            "evaluations": self.evaluations,
        }


@dataclass(frozen=True, kw_only=True)
class FocusForecast:
    """State what a pass takes after a render: a part at most, all of its tries failing, and every part that is known.

    The list of `parts` is complete where the picture could be looked at, or where only boxes of the user count.
    """

    tries: int
    part_seconds: float
    part_evaluations: int
    is_complete: bool
    parts: tuple[ForecastPart, ...] = ()

    @property
    def seconds(self) -> float:
        """Return what all known parts take at most."""
        return sum(part.seconds for part in self.parts)

    def to_json(self) -> dict[str, object]:
        """Return the forecast as JSON values."""
        return {
            "tries": self.tries,
            "part_seconds": round(self.part_seconds, 2),
            "part_evaluations": self.part_evaluations,
            "complete": self.is_complete,
            "seconds": round(self.seconds, 2),
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """State everything that will run for one picture of a request, and what it costs.

    `batch` pictures run one after the other: memory does not grow with them; `seconds`, `save_s`, `evaluations` and
    `disk_bytes` are for one. `open_s` is spent once, before the stages. `memory_bytes` is of the device, `host_bytes`
    of the host where that is another memory, else 0. `work_bytes` is the most disk that the work takes beside the
    picture, `peak_disk_bytes` the most that lies there at once, finished pictures included. `autoencoder_bytes` bounds
    the memory of the autoencoder; `spill_bytes` is disk it needs elsewhere (TMPDIR). `basis` says where the seconds
    are from. What `focus`, `windows` and `anatomy` take comes on top: their parts are found while it is drawn, or after.
    """

    method: str
    size: PixelSize
    batch: int
    stages: tuple[Stage, ...]
    memory_bytes: int
    disk_bytes: int
    peak_disk_bytes: int
    seconds: float
    basis: Basis
    host_bytes: int = 0
    work_bytes: int = 0
    spill_bytes: int = 0
    autoencoder_bytes: int | None = None
    open_s: float = 0.0
    save_s: float = 0.0
    focus: FocusForecast | None = None
    windows: FocusForecast | None = None
    anatomy: FocusForecast | None = None

    @property
    def canvas(self) -> PixelSize:
        """Return the size of what is drawn; `size`, which is saved, may be less at its right and lower edge."""
        return self.stages[-1].canvas

    @property
    def window_batch(self) -> int:
        """Return the most windows that are denoised in one call."""
        return max(stage.window_batch for stage in self.stages)

    @property
    def evaluations(self) -> int:
        """Count the evaluations of the denoiser for one picture; guidance counts both halves."""
        return sum(stage.evaluations for stage in self.stages)

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON values, totals for the whole batch beside those of one picture."""
        return {
            "method": self.method,
            "size": str(self.size),
            "canvas": str(self.canvas),
            "batch": self.batch,
            "stages": [stage.to_json() for stage in self.stages],
            "evaluations": self.evaluations,
            "memory_bytes": self.memory_bytes,
            "host_bytes": self.host_bytes or self.memory_bytes,
            "memory_is": "separate" if self.host_bytes else "shared",
            "window_batch": self.window_batch,
            "disk_bytes": self.disk_bytes,
            "work_bytes": self.work_bytes,
            "spill_bytes": self.spill_bytes,
            "seconds": round(self.seconds, 2),
            "open_seconds": round(self.open_s, 2),
            "save_seconds": round(self.save_s, 2),
            "total_seconds": round(self.open_s + (self.seconds + self.save_s) * self.batch, 2),
            "total_disk_bytes": self.disk_bytes * self.batch,
            "peak_disk_bytes": self.peak_disk_bytes,
            "seconds_basis": self.basis,
            **({} if self.focus is None else {"focus": self.focus.to_json()}),
            **({} if self.windows is None else {"focus_windows": self.windows.to_json()}),
            **({} if self.anatomy is None else {"anatomy": self.anatomy.to_json()}),
        }
