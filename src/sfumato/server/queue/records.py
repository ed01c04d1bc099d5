"""What the queue holds, as values: jobs, their states and their files.

Knows no database. Start reading at `JobRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from sfumato.core.errors import RequestError

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled", "quarantined"]
JobKind: TypeAlias = Literal["render", "upscale", "focus", "repair", "check", "find", "teach", "rebase"]
JOB_KINDS: tuple[JobKind, ...] = get_args(JobKind)
FileRole: TypeAlias = Literal["picture", "evidence"]
# A job in one of these states stays there until somebody asks for it again.
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "quarantined")


class NotFoundError(RequestError):
    """There is no job, file or model of this name."""


class QueueFullError(RequestError):
    """So many jobs wait that no more are taken."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of the state folder that a client may ask for by `id`.

    `path` is relative to the state folder; clients never see it. `number` counts the files of a job from 0. `job_id`
    is None for what a client has sent. `role` is evidence where the file shows what was found or changed.
    """

    id: str
    path: str
    media_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    job_id: str | None = None
    number: int = 0
    seed: int | None = None
    role: FileRole = "picture"

    def to_json(self) -> dict[str, Any]:
        """Return what a client may know of the file, as JSON values."""
        return {
            "id": self.id,
            "url": f"/api/v1/files/{self.id}",
            "media_type": self.media_type,
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One row of the queue. Times are seconds since 1970.

    `request` is a `RenderRequest` as JSON values, or what `server.orders` makes of another kind of job. `result` is what
    the job found or did, as JSON values; `evidence` holds pictures of that. `attempts` counts how often a worker began,
    `kills` how often a worker ended on it without a word. `error` has the JSON shape of every error. `log` holds the
    last lines of the worker.
    """

    id: str
    number: int
    state: JobState
    surface: str
    request: Mapping[str, Any]
    created_s: float
    kind: JobKind = "render"
    started_s: float | None = None
    ended_s: float | None = None
    attempts: int = 0
    kills: int = 0
    cancel_wanted: bool = False
    lease: str | None = None
    planned_s: float | None = None
    error: Mapping[str, Any] | None = None
    log: str = ""
    files: tuple[StoredFile, ...] = ()
    evidence: tuple[StoredFile, ...] = ()
    result: Mapping[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing happens to the job any more by itself."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Return what a client may know of the job, as JSON values; paths of this machine stay here."""
        request = {name: value for name, value in self.request.items() if name not in ("source", "path")}
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "surface": self.surface,
            "request": request,
            "source": dict(self.request.get("source") or {}).get("kind", "text"),
            "created_s": self.created_s,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            "attempts": self.attempts,
            "worker_deaths": self.kills,
            "cancel_wanted": self.cancel_wanted,
            "planned_seconds": self.planned_s,
            "error": None if self.error is None else dict(self.error),
            "log": self.log,
            "files": [file.to_json() for file in self.files],
            "evidence": [file.to_json() for file in self.evidence],
            "result": None if self.result is None else dict(self.result),
        }


def list_safety(job: JobRecord) -> list[Any]:
    """Return the verdict of the safety filter on each picture of a job, None where it is off."""
    pictures: list[dict[str, Any]] = (job.result or {}).get("pictures", [])
    return [picture.get("safety") for picture in pictures]
