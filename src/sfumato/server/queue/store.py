"""The queue: every change of a job is one transaction, on the disk before the call returns.

A job is queued, then running under the lease of one worker, then ended in exactly one of four states. Only the holder of
the lease can publish. Any process may open the store. Start reading at `JobStore`, then `claim` and `finish`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.settings import load_settings
from sfumato.server.queue.records import JobKind, JobRecord, JobState, NotFoundError, QueueFullError, StoredFile
from sfumato.server.queue.rows import TURN, count_state, load_record, make_file, make_record, make_row
from sfumato.server.queue.tables import files, jobs, open_database, options
from sfumato.server.queue.upkeep import PruneLimits, list_waiting, move_job, remove_jobs, remove_old

# A worker renews its lease three times in this span; what is older belongs to nobody.
LEASE_S = 30.0
# Two deaths on one job are no chance.
MOST_KILLS = 2
LONGEST_LOG_CHARACTERS = 8000
_ID_BYTES = 12
# Options of the queue itself, beside those that clients set.
_PAUSED = "queue:paused"
_QUARANTINE = {
    "error": "quarantined",
    "what": "the worker died twice on this job",
    "got": None,
    "do": "Read its log. Try it again with another size, or leave it.",
}


class LostLeaseError(Exception):
    """Another worker has the job, or it has ended: nothing of this attempt counts. No caller of the server sees it."""


class JobStore:
    """The jobs and files of one state folder. Threads may share a store; processes open their own."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time, most_kills: int = MOST_KILLS) -> None:
        """Open the queue in a folder, or in the database of the setting `database`; make it where it is missing."""
        self.folder, self._clock, self._most_kills = folder, clock, most_kills
        self._engine = open_database(folder / "queue.sqlite", address=load_settings().database)

    @property
    def engine(self) -> Engine:
        """Return the database, for tables beside the queue."""
        return self._engine

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def submit(
        self,
        request: Mapping[str, Any],
        *,
        surface: str,
        kind: JobKind = "render",
        order_key: str | None = None,
        planned_s: float | None = None,
        most_queued: int | None = None,
    ) -> JobRecord:
        """Queue a job; once this returns, no crash loses it. The same `order_key` gives the job that it gave before.

        Raises:
            QueueFullError: `most_queued` jobs wait already.
            StorageError: the disk refuses.
        """
        job_id = secrets.token_hex(_ID_BYTES)
        with self._write() as connection:
            if order_key is not None:
                found = connection.execute(select(jobs.c.id).where(jobs.c.order_key == order_key)).scalar()
                if found is not None:
                    return load_record(connection, str(found))
            if most_queued is not None and count_state(connection, "queued") >= most_queued:
                raise QueueFullError(
                    "the queue is full", got=most_queued, do="Wait until jobs are done, or cancel some."
                )
            row = {"id": job_id, "state": "queued", "surface": surface, "kind": kind}
            row |= {"request": dict(request)}
            times = {"created_s": self._clock(), "planned_s": planned_s, "order_key": order_key}
            connection.execute(jobs.insert().values(**row, **times))
            return load_record(connection, job_id)

    def claim(self, worker: str, *, lease_s: float = LEASE_S) -> JobRecord | None:
        """Give the queued job whose turn it is to a worker, or None; None too while the queue is paused."""
        now = self._clock()
        with self._write() as connection:
            if _is_paused(connection):
                return None
            first = select(jobs.c.id).where(jobs.c.state == "queued").order_by(TURN).limit(1)
            job_id = connection.execute(first.with_for_update(skip_locked=True)).scalar()
            if job_id is None:
                return None
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == "queued")
                .values(
                    state="running",
                    lease=worker,
                    lease_until_s=now + lease_s,
                    started_s=now,
                    attempts=jobs.c.attempts + 1,
                )
            )
            return load_record(connection, job_id)

    def renew(self, job_id: str, worker: str, *, lease_s: float = LEASE_S) -> None:
        """Keep a job for longer.

        Raises:
            LostLeaseError: the worker no longer has it.
        """
        with self._write() as connection:
            self._change_leased(connection, job_id, worker, {"lease_until_s": self._clock() + lease_s})

    def wants_cancel(self, job_id: str) -> bool:
        """Tell whether somebody wants a job to stop. Cheap: asked between two steps."""
        with self._read() as connection:
            return bool(connection.execute(select(jobs.c.cancel_wanted).where(jobs.c.id == job_id)).scalar())

    def finish(
        self, job_id: str, worker: str, published: Sequence[StoredFile], result: Mapping[str, Any] | None = None
    ) -> None:
        """Publish the files of a job and what it found, and end it, in one transaction.

        Raises:
            LostLeaseError: the worker no longer has the job.
        """
        with self._write() as connection:
            changes = self._end("done") | {"result": None if result is None else dict(result)}
            self._change_leased(connection, job_id, worker, changes)
            for file in published:
                connection.execute(files.insert().values(**make_row(file), created_s=self._clock()))

    def fail(self, job_id: str, worker: str, error: Mapping[str, Any], log: str = "") -> None:
        """End a job that cannot be done.

        Raises:
            LostLeaseError: the worker no longer has the job.
        """
        changes = self._end("failed") | {"error": dict(error), "log": log[-LONGEST_LOG_CHARACTERS:]}
        with self._write() as connection:
            self._change_leased(connection, job_id, worker, changes)

    def give_up(self, job_id: str, worker: str) -> None:
        """End a stopped attempt: cancelled where somebody wanted that, else queued again in its old place.

        Raises:
            LostLeaseError: the worker no longer has the job.
        """
        with self._write() as connection:
            wanted = connection.execute(select(jobs.c.cancel_wanted).where(jobs.c.id == job_id)).scalar()
            self._change_leased(connection, job_id, worker, self._end("cancelled") if wanted else _BACK)

    def release_dead(self, *, alive: str | None = None, worker: str | None = None, log: str = "") -> list[str]:
        """Take jobs from dead workers: from `worker`, or from all but `alive`; return their ids.

        Each goes back to its place in the queue, or into quarantine after the second death.
        """
        with self._write() as connection:
            wanted = jobs.c.lease == worker if worker is not None else jobs.c.lease.is_distinct_from(alive)
            rows = connection.execute(
                select(jobs.c.id, jobs.c.kills, jobs.c.cancel_wanted).where(jobs.c.state == "running", wanted)
            ).all()
            for job_id, kills, cancel_wanted in rows:
                changes: dict[str, Any] = _BACK | {"kills": kills + 1, "log": log[-LONGEST_LOG_CHARACTERS:]}
                if cancel_wanted:
                    changes |= self._end("cancelled")
                elif kills + 1 >= self._most_kills:
                    changes |= self._end("quarantined") | {"error": _QUARANTINE}
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(**changes))
            return [str(row[0]) for row in rows]

    def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job: a queued one ends at once, a running one within a step; an ended one stays as it is.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._write() as connection:
            job = load_record(connection, job_id)
            changes = self._end("cancelled") if job.state == "queued" else {"cancel_wanted": True}
            if not job.has_ended:
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(**changes))
            return load_record(connection, job_id)

    def retry(self, job_id: str) -> JobRecord:
        """Queue a job again that failed, was cancelled or is in quarantine.

        Raises:
            NotFoundError: there is no such job.
            RequestError: it is not in one of these states.
        """
        with self._write() as connection:
            job = load_record(connection, job_id)
            if job.state not in ("failed", "cancelled", "quarantined"):
                raise RequestError("only a job that failed or was stopped can be tried again", got=job.state)
            changes = _BACK | {"kills": 0, "cancel_wanted": False, "error": None, "ended_s": None, "log": ""}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**changes))
            return load_record(connection, job_id)

    def find(self, job_id: str) -> JobRecord:
        """Return a job with its files.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._read() as connection:
            return load_record(connection, job_id)

    def list_jobs(
        self, *, state: str | None = None, kind: str | None = None, most: int = 50, before: int | None = None
    ) -> list[JobRecord]:
        """Return the newest jobs first; `before` is the `number` of the last job of the page before."""
        wanted = select(jobs).order_by(jobs.c.number.desc()).limit(most)
        wanted = wanted if state is None else wanted.where(jobs.c.state == state)
        wanted = wanted if kind is None else wanted.where(jobs.c.kind == kind)
        wanted = wanted if before is None else wanted.where(jobs.c.number < before)
        with self._read() as connection:
            rows = connection.execute(wanted).mappings().all()
            return [make_record(connection, row) for row in rows]

    def count_jobs(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        counted = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with self._read() as connection:
            return {str(state): int(count) for state, count in connection.execute(counted).all()}

    def sum_seconds(self) -> dict[str, float]:
        """Return the seconds that the jobs of each kind took which are still known."""
        spent = func.coalesce(func.sum(jobs.c.ended_s - jobs.c.started_s), 0.0)
        summed = select(jobs.c.kind, spent).where(jobs.c.ended_s.is_not(None)).group_by(jobs.c.kind)
        with self._read() as connection:
            return {str(kind): float(total) for kind, total in connection.execute(summed).all()}

    def add_file(self, file: StoredFile) -> StoredFile:
        """Note a file that a client has sent; the same id again is the same file, as young as if it were new."""
        with self._write() as connection:
            again = update(files).where(files.c.id == file.id).values(created_s=self._clock())
            if connection.execute(again).rowcount == 0:
                connection.execute(files.insert().values(**make_row(file), created_s=self._clock()))
        return file

    def find_file(self, file_id: str) -> StoredFile:
        """Return a file by its id.

        Raises:
            NotFoundError: there is no such file.
        """
        with self._read() as connection:
            row = connection.execute(select(files).where(files.c.id == file_id)).mappings().one_or_none()
        if row is None:
            raise NotFoundError("there is no such file", got=file_id, do="Ask for a file that a job lists.")
        return make_file(row)

    def load_options(self) -> dict[str, Any]:
        """Return the options that clients have set."""
        with self._read() as connection:
            rows = connection.execute(select(options)).all()
        return {row.name: row.value for row in rows if not row.name.startswith("queue:")}

    def save_option(self, name: str, value: Any) -> None:
        """Set an option."""
        with self._write() as connection:
            _set_option(connection, name, value)

    def pause(self, is_paused: bool) -> None:
        """Let no worker claim a job, or let them again; what runs goes on to its end."""
        with self._write() as connection:
            _set_option(connection, _PAUSED, is_paused)

    def is_paused(self) -> bool:
        """Tell whether no job is claimed."""
        with self._read() as connection:
            return _is_paused(connection)

    def list_waiting(self) -> list[str]:
        """Return the ids of the jobs that wait, the next one first."""
        with self._read() as connection:
            return list_waiting(connection)

    def move(self, job_id: str, *, before: str | None = None) -> list[str]:
        """Put a job that waits before another one, or behind all; return the ids of those that wait.

        Raises:
            NotFoundError: one of them does not wait.
        """
        with self._write() as connection:
            move_job(connection, job_id, before)
            return list_waiting(connection)

    def remove(self, ids: Collection[str]) -> int:
        """Remove ended jobs with their files, and return the bytes that were freed.

        Raises:
            NotFoundError: there is no such job.
            RequestError: one has not ended, or a job that waits draws from its picture.
        """
        with self._write() as connection:
            return remove_jobs(connection, self.folder, ids)

    def prune(self, limits: PruneLimits, *, spared: Collection[str] = ()) -> dict[str, Any]:
        """Remove ended jobs and sent pictures beyond the limits; `spared` are ids of jobs that stay.

        Returns how many `jobs` and `uploads` went, and their `bytes`.
        """
        with self._write() as connection:
            return remove_old(connection, self.folder, limits, now_s=self._clock(), spared=spared)

    def _end(self, state: JobState) -> dict[str, Any]:
        return {"state": state, "ended_s": self._clock(), "lease": None, "lease_until_s": None}

    def _change_leased(self, connection: Connection, job_id: str, worker: str, changes: Mapping[str, Any]) -> None:
        mine = (jobs.c.id == job_id, jobs.c.state == "running", jobs.c.lease == worker)
        if connection.execute(update(jobs).where(*mine).values(**changes)).rowcount != 1:
            raise LostLeaseError(job_id)

    @contextmanager
    def _write(self) -> Generator[Connection]:
        with _refusals(self.folder), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Generator[Connection]:
        with (
            _refusals(self.folder),
            self._engine.connect().execution_options(reads_only=True) as connection,
            connection.begin(),
        ):
            yield connection


# Back to its place in the queue.
_BACK: dict[str, Any] = {"state": "queued", "lease": None, "lease_until_s": None, "started_s": None}


@contextmanager
def _refusals(folder: Path) -> Generator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        do = "Free disk space; the jobs that were taken are kept."
        raise StorageError("the queue cannot be written", got=f"{folder}: {error}", do=do) from error


def _is_paused(connection: Connection) -> bool:
    return bool(connection.execute(select(options.c.value).where(options.c.name == _PAUSED)).scalar())


def _set_option(connection: Connection, name: str, value: Any) -> None:
    connection.execute(options.delete().where(options.c.name == name))
    connection.execute(options.insert().values(name=name, value=value))
