"""What the server knows of the moment: progress and previews of running jobs, and who waits for a change.

Lives in the event loop of the server; nothing here outlives it. Start reading at `Hub`.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# Warnings of so many jobs are kept; a page shows them while it is open.
_MOST_WARNED = 500
# Who listens to this hears of every job.
EVERY_JOB = "*"


@dataclass(eq=False)
class Hub:
    """Hold the last progress of each running job and wake whoever waits for a job. A leaf.

    `progress` has the last progress event of a job as JSON values, `previews` its last picture as JPEG bytes.
    `warnings` are sentences of the engine, of the last jobs. `closing` is set when the server stops: nobody waits any longer.
    """

    progress: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    previews: dict[str, bytes] = field(default_factory=dict[str, bytes])
    warnings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    closing: bool = False
    wanted_preview_s: float = 0.0
    running: str | None = None
    last_sign_s: float = field(default_factory=time.monotonic)
    _bells: dict[str, set[asyncio.Event]] = field(default_factory=dict[str, set[asyncio.Event]])

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one line of a worker."""
        job_id, kind = str(message.get("job", "")), message.get("event")
        self.last_sign_s = time.monotonic()
        if kind == "progress":
            told = {name: value for name, value in message.items() if name not in ("preview", "job")}
            self.progress[job_id] = told
            self.running = job_id
            if "preview" in message:
                self.previews[job_id] = base64.b64decode(message["preview"])
        elif kind == "warning":
            self.warnings.setdefault(job_id, []).append(str(message.get("message", "")))
            if len(self.warnings) > _MOST_WARNED:
                del self.warnings[next(iter(self.warnings))]
        self.ring(job_id)

    def forget(self, job_id: str) -> None:
        """Drop what is known of a job that runs no longer."""
        self.progress.pop(job_id, None)
        self.previews.pop(job_id, None)
        if self.running == job_id:
            self.running = None
        self.ring(job_id)

    def ring(self, job_id: str) -> None:
        """Wake everybody who waits for a job."""
        for name in (job_id, EVERY_JOB):
            for bell in self._bells.get(name, ()):
                bell.set()

    def close(self) -> None:
        """Wake everybody, for good."""
        self.closing = True
        for bells in self._bells.values():
            for bell in bells:
                bell.set()

    @contextmanager
    def listen(self, job_id: str) -> Generator[asyncio.Event]:
        """Give an event that is set whenever something happens to a job, or to any with `EVERY_JOB`."""
        bell = asyncio.Event()
        self._bells.setdefault(job_id, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[job_id].discard(bell)
            if not self._bells[job_id]:
                del self._bells[job_id]
