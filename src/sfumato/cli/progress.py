"""Progress on stderr: bars with an ETA on a terminal, a line now and then in a log.

Knows progress events only. Start reading at `show_progress`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.workflows.job import ProgressEvent

# In a log a line every so often says that it is alive without flooding it.
LOG_EVERY_S = 5.0
# Importing networks and reading weights takes longer than anybody waits in silence.
_OPENING = "opening the model"

OnProgress = Callable[["ProgressEvent"], None]


@contextmanager
def show_progress(pictures: int) -> Generator[OnProgress]:
    """Show progress until the block ends; the bar is gone before anything else is printed."""
    if not sys.stderr.isatty():
        sys.stderr.write(f"{_OPENING}\n")
        yield _make_log(pictures)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task(_OPENING, total=None, eta="")
        part: list[tuple[str, int]] = []
        ids: list[int] = []

        def on_progress(progress: ProgressEvent) -> None:
            total = f"picture {progress.index + 1} of {pictures}" if pictures > 1 else "picture"
            bars.update(
                whole, description=total, total=100, completed=round(100 * progress.done_frac), eta=_eta(progress)
            )  # pyright: ignore[reportArgumentType]
            key = (progress.stage, progress.index)
            if not part or part[-1] != key:
                part.append(key)
                for old in ids:
                    bars.remove_task(old)  # pyright: ignore[reportArgumentType]
                ids[:] = [bars.add_task(f"{progress.stage}, {progress.unit}s", total=progress.steps, eta="")]
            bars.update(ids[-1], completed=progress.step)  # pyright: ignore[reportArgumentType]

        yield on_progress


def _make_log(pictures: int) -> OnProgress:
    last = time.monotonic() - LOG_EVERY_S

    def on_progress(progress: ProgressEvent) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LOG_EVERY_S and progress.done_frac < 1.0:
            return
        last = now
        which = f"picture {progress.index + 1} of {pictures}: " if pictures > 1 else ""
        sys.stderr.write(
            f"{which}{progress.stage}, {progress.unit} {progress.step} of {progress.steps}, {_percent(progress)}\n"
        )

    return on_progress


def _percent(progress: ProgressEvent) -> str:
    return f"{progress.done_frac:.0%} {_eta(progress)}".rstrip()


def _eta(progress: ProgressEvent) -> str:
    if progress.left_s is None or progress.done_frac >= 1.0:
        return ""
    minutes, seconds = divmod(round(progress.left_s), 60)
    return f"{minutes}:{seconds:02d} left"
