"""How to run a request: where to write, how much to use, what to show. Nothing here changes a pixel.

Start reading at `RunOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sfumato.core.defaults import DEFAULTS


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Say how to run a request.

    `out` is a picture file, or None: the picture stays in memory. `report` writes an HTML page beside `out`.
    `budget_bytes` limits the memory; None takes what is free on the device. `device` and `dtype` are as the settings
    say where they are None; a request that says its `arithmetic` is drawn with that. `preview` is a file that is rewritten every
    `preview_every` steps. `resume` continues what a stopped render left beside `out`. `started_s` is the monotonic clock
    when the process began, where it was noted, so that the report counts imports.
    """

    out: Path | None = None
    report: bool = True
    budget_bytes: int | None = None
    device: str | None = None
    dtype: str | None = None
    preview: Path | None = None
    preview_every: int = DEFAULTS.preview_every
    resume: bool = False
    started_s: float | None = None
