"""A line of JSON for everything that happens to a job: when, which, what, how long. No prompt and no path stands in it.

Start reading at `JobLog.write`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from sfumato.server.queue.records import JobRecord


@dataclass(frozen=True, kw_only=True)
class JobLog:
    """Write lines to a stream, or nowhere where `is_on` is false. A leaf."""

    is_on: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.time

    def write(self, event: str, **facts: Any) -> None:
        """Write one line; a stream that is closed is no reason to stop."""
        if not self.is_on:
            return
        line = {"time": round(self.clock(), 3), "event": event, **facts}
        try:
            self.stream.write(json.dumps(line) + "\n")
            self.stream.flush()
        except (OSError, ValueError):
            return

    def write_job(self, event: str, job: JobRecord) -> None:
        """Write a line of a job."""
        facts: dict[str, Any] = {"job": job.id, "kind": job.kind, "surface": job.surface, "state": job.state}
        if job.started_s is not None and job.ended_s is not None:
            facts["seconds"] = round(job.ended_s - job.started_s, 3)
        if job.error is not None:
            facts["error"] = job.error.get("error")
        self.write(event, **facts)
