"""What a plan is: stages of work on canvases and what they cost, as values.

Knows no request and no arithmetic. Start reading at `Stage`, then `Plan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentBox, PixelSize
    from sfumato.core.resampling import FloatBox

StageKind = Literal["sample", "read", "refine", "fuse", "grow"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """State one piece of work: the same thing done to every window of one canvas.

    `sample` denoises the canvas at once, `read` looks at a given picture shrunk to it, `refine` re-renders each window by img2img on an
    enlarged picture, `fuse` denoises the canvas through its windows, `grow` does so on an enlarged
    picture, with windows that move from step to step if they are `moving`.
    Steps `first_step` to `steps` of the schedule are taken. `ticks` counts the reports of progress,
    `window_batch` the windows in one call. `memory_bytes` is the peak on the device, `host_bytes` on the
    host where that is another memory, else 0. `work_bytes` is what lies on disk while it runs, beside the
    autoencoder's maps, with `history` predictions of the sampler in it; `left_bytes` what is left of that when it is done.
    What is enlarged is the part `taken` of the picture before (left, top, right, bottom in px), and shows the part `shown` of
    the base; None is all of it.
    """

    name: str
    kind: StageKind
    noise_stage: int
    canvas: PixelSize
    windows: tuple[LatentBox, ...]
    window_batch: int
    overlap_cells: int
    steps: int
    first_step: int
    ticks: int
    evaluations: int
    memory_bytes: int
    seconds: float
    moving: bool = True
    host_bytes: int = 0
    work_bytes: int = 0
    left_bytes: int = 0
    history: int = 0
    taken: FloatBox | None = None
    shown: FloatBox | None = None

    def to_json(self) -> dict[str, object]:
        """Return the stage as JSON values; windows as their number and size."""
        window = self.windows[0].size
        return {
            "name": self.name,
            "kind": self.kind,
            "canvas": str(self.canvas),
            "windows": len(self.windows),
            "window_cells": str(window),
            "steps": self.steps - self.first_step,
            "window_batch": self.window_batch,
            "evaluations": self.evaluations,
            "memory_bytes": self.memory_bytes,
            "host_bytes": self.host_bytes or self.memory_bytes,
            "work_bytes": self.work_bytes,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """State everything that will run for one picture of a request, and what it costs.

    `batch` pictures run one after the other, so memory does not grow with them and `seconds`,
    `evaluations` and `disk_bytes` are for one of them. `peak_disk_bytes` is the most that lies on the disk of the
    picture at once: finished ones of the batch, and the work on the last with the autoencoder's. `open_s` is spent once
    before the stages, and `save_s` after those of each picture, to judge, write and report. `room_bytes` has to be free for the
    autoencoder to start; less than that is used. `autoencoder_bytes` is the most that it may take beside
    the rest, `spill_bytes` what it keeps on disk meanwhile where that is too little, `map_bytes` what it keeps
    beside the picture so that it can go on after a stop, where there is room for it; `unkept_bytes` is that where there
    is none, and it starts again. `cut_for_memory` says that it works in tiles where more memory would have it run whole,
    which changes the last bits. `memory_bytes` is of the device;
    `host_bytes` of the host where that is another memory, else 0. `work_bytes` is disk that is used beside the
    picture while it is made. `again_s` and `again_bytes` are the time and the disk that come on top
    where the self-check has places drawn again, about; nothing else counts them. `basis` says where the seconds are
    from, and `busy_frac` what share of this machine other work took when they were measured; `memory_basis` says where
    the memory is from: a probe, or a formula for the family of the model.
    """

    method: str
    size: PixelSize
    batch: int
    stages: tuple[Stage, ...]
    memory_bytes: int
    room_bytes: int
    disk_bytes: int
    peak_disk_bytes: int
    seconds: float
    basis: str
    autoencoder_bytes: int | None = None
    spill_bytes: int = 0
    map_bytes: int = 0
    host_bytes: int = 0
    open_s: float = 0.0
    save_s: float = 0.0
    work_bytes: int = 0
    again_s: float = 0.0
    again_bytes: int = 0
    memory_basis: Literal["probe", "formula"] = "formula"
    busy_frac: float = 0.0
    unkept_bytes: int = 0
    cut_for_memory: bool = False

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
            "map_bytes": self.map_bytes,
            "unkept_bytes": self.unkept_bytes,
            "cut_for_memory": self.cut_for_memory,
            "seconds": round(self.seconds, 2),
            "open_seconds": round(self.open_s, 2),
            "save_seconds": round(self.save_s, 2),
            "again_seconds": round(self.again_s, 2),
            "again_bytes": self.again_bytes,
            "total_seconds": round(self.open_s + (self.seconds + self.save_s) * self.batch, 2),
            "total_disk_bytes": self.disk_bytes * self.batch,
            "peak_disk_bytes": self.peak_disk_bytes,
            "seconds_basis": self.basis,
            "seconds_busy_frac": round(self.busy_frac, 2),
            "memory_basis": self.memory_basis,
        }
