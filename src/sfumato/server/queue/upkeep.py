"""What an owner does with a queue beside drawing: move a job, pause, and remove what is old.

Each function is one part of a transaction of `store`. Start reading at `move_job`, then `remove_old`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from sfumato.core.errors import RequestError
from sfumato.core.validate import check_float, check_int
from sfumato.server.queue.records import ENDED, NotFoundError
from sfumato.server.queue.rows import TURN
from sfumato.server.queue.tables import files, jobs, marks

_UPLOAD = re.compile(r"uploads/([0-9a-f]{64})\.png")
_JOB = re.compile(r"jobs/([0-9a-f]{24})/")
_CENTURY_S, _MOST = 3.2e9, 2**53
# A client sends a picture first and the job that uses it a little later.
LEAST_UPLOAD_AGE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class PruneLimits:
    """Say what is old: ended jobs older than `older_s`, beyond the newest `most_jobs`, or beyond `most_bytes` of pictures.

    Sent pictures that no job names go when they are older than `uploads_older_s`. None sets no limit.
    """

    older_s: float | None = None
    most_jobs: int | None = None
    most_bytes: int | None = None
    uploads_older_s: float | None = None

    def __post_init__(self) -> None:
        if self.older_s is not None:
            check_float("`older_s`", self.older_s, low=0.0, high=_CENTURY_S)
        if self.uploads_older_s is not None:
            check_float("`uploads_older_s`", self.uploads_older_s, low=LEAST_UPLOAD_AGE_S, high=_CENTURY_S)
        for name in ("most_jobs", "most_bytes"):
            if getattr(self, name) is not None:
                check_int(f"`{name}`", getattr(self, name), low=0, high=_MOST)
        if (self.older_s, self.most_jobs, self.most_bytes, self.uploads_older_s) == (None,) * 4:
            do = "Say `older_s`, `most_jobs`, `most_bytes` or `uploads_older_s`."
            raise RequestError("without a limit nothing is old", do=do)


def list_waiting(connection: Connection) -> list[str]:
    """Return the ids of the jobs that wait, the next one first."""
    wanted = select(jobs.c.id).where(jobs.c.state == "queued").order_by(TURN)
    return [str(job_id) for job_id in connection.execute(wanted).scalars().all()]


def move_job(connection: Connection, job_id: str, before: str | None) -> None:
    """Put a job that waits before another one, or behind all.

    Raises:
        NotFoundError: one of them does not wait.
    """
    rows = connection.execute(select(jobs.c.id, TURN).where(jobs.c.state == "queued").order_by(TURN)).all()
    turns, ids = [int(turn) for _, turn in rows], [str(one) for one, _ in rows]
    for wanted in (job_id, before):
        if wanted is not None and wanted not in ids:
            raise NotFoundError("no such job waits", got=wanted, do="Move a job that is queued.")
    ordered = [one for one in ids if one != job_id]
    place = len(ordered) if before is None else ids.index(before) if before == job_id else ordered.index(before)
    ordered.insert(place, job_id)
    # The places stay the same numbers; who has which changes, so no two jobs share one.
    for one, old, turn in zip(ordered, ids, turns, strict=True):
        if one != old:
            connection.execute(update(jobs).where(jobs.c.id == one).values(turn=turn))


def remove_jobs(connection: Connection, folder: Path, ids: Collection[str]) -> int:
    """Remove ended jobs with their files, and return the bytes that were freed.

    Raises:
        NotFoundError: there is no such job.
        RequestError: one has not ended, or a job that waits draws from its picture.
    """
    states = {str(one): state for one, state in connection.execute(select(jobs.c.id, jobs.c.state)).all()}
    needed = _list_needed(connection)
    for job_id in ids:
        if job_id not in states:
            raise NotFoundError("there is no such job", got=job_id, do="List the jobs to see their ids.")
        if states[job_id] not in ENDED:
            raise RequestError("a job that waits or runs cannot be removed", got=job_id, do="Cancel it first.")
        if job_id in needed:
            raise RequestError("a job that waits draws from this picture", got=job_id, do="Wait until it is done.")
    freed = 0
    for job_id in ids:
        wanted = select(func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.job_id == job_id)
        freed += int(connection.execute(wanted).scalar_one())
        connection.execute(delete(files).where(files.c.job_id == job_id))
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
        # Before the commit: what a crash leaves is a row without a file, which the next call removes.
        shutil.rmtree(folder / "jobs" / job_id, ignore_errors=True)
    return freed


def remove_old(
    connection: Connection, folder: Path, limits: PruneLimits, *, now_s: float, spared: Collection[str] = ()
) -> dict[str, Any]:
    """Remove what is beyond the limits, the oldest first; `spared` are ids of jobs that stay, as those of favourites do."""
    rows = connection.execute(
        select(jobs.c.id, jobs.c.ended_s, func.coalesce(func.sum(files.c.bytes), 0))
        .join(files, files.c.job_id == jobs.c.id, isouter=True)
        .where(jobs.c.state.in_(ENDED))
        .group_by(jobs.c.id, jobs.c.ended_s, jobs.c.number)
        .order_by(jobs.c.number.desc())
    ).all()
    liked = select(files.c.job_id).join(marks, marks.c.file_id == files.c.id).where(marks.c.favourite.is_(True))
    spared = {*spared, *_list_needed(connection), *map(str, connection.execute(liked).scalars())}
    old, kept_jobs, kept_bytes = list[str](), 0, 0
    for job_id, ended_s, size in rows:
        if str(job_id) in spared:
            continue
        is_old = limits.older_s is not None and now_s - float(ended_s or 0.0) > limits.older_s
        is_many = limits.most_jobs is not None and kept_jobs >= limits.most_jobs
        is_large = limits.most_bytes is not None and kept_bytes + int(size) > limits.most_bytes
        if is_old or is_many or is_large:
            old.append(str(job_id))
        else:
            kept_jobs, kept_bytes = kept_jobs + 1, kept_bytes + int(size)
    freed = remove_jobs(connection, folder, old)
    uploads, more = _remove_uploads(connection, folder, limits.uploads_older_s, now_s)
    return {"jobs": len(old), "uploads": uploads, "bytes": freed + more}


def _remove_uploads(connection: Connection, folder: Path, older_s: float | None, now_s: float) -> tuple[int, int]:
    if older_s is None:
        return 0, 0
    requests = connection.execute(select(jobs.c.request)).scalars().all()
    named = {digest for request in requests for digest in _UPLOAD.findall(json.dumps(request))}
    wanted = select(files.c.id, files.c.bytes, files.c.path).where(
        files.c.job_id.is_(None), files.c.created_s < now_s - older_s
    )
    count = freed = 0
    for file_id, size, path in connection.execute(wanted).all():
        if str(file_id) in named:
            continue
        connection.execute(delete(files).where(files.c.id == file_id))
        (folder / str(path)).unlink(missing_ok=True)
        count, freed = count + 1, freed + int(size)
    return count, freed


def _list_needed(connection: Connection) -> set[str]:
    """Return the jobs whose pictures jobs that have not ended draw from."""
    requests = connection.execute(select(jobs.c.request).where(jobs.c.state.not_in(ENDED))).scalars().all()
    return {job_id for request in requests for job_id in _JOB.findall(json.dumps(request))}
