"""Between rows of the tables and the values of the queue, in both directions.

Knows tables and records; changes no job. Start reading at `load_record`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from sfumato.server.queue.records import JobRecord, NotFoundError, StoredFile
from sfumato.server.queue.tables import files, jobs, marks

# Those that wait, the next one first: as they came, unless somebody moved them.
TURN = func.coalesce(jobs.c.turn, jobs.c.number)


def load_record(connection: Connection, job_id: str) -> JobRecord:
    """Return a job with its files.

    Raises:
        NotFoundError: there is no such job.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such job", got=job_id, do="List the jobs to see their ids.")
    return make_record(connection, row)


def make_record(connection: Connection, row: RowMapping) -> JobRecord:
    """Return the job of a row, with its files."""
    known = {field.name for field in fields(JobRecord)}
    # What a person deleted is out of sight at once, and out of the world when it can no longer be undone.
    deleted = select(marks.c.file_id).where(marks.c.deleted_s.is_not(None))
    wanted = select(files).where(files.c.job_id == row["id"], files.c.id.not_in(deleted)).order_by(files.c.number)
    found = [make_file(one) for one in connection.execute(wanted).mappings().all()]
    return JobRecord(
        **{name: value for name, value in row.items() if name in known},
        files=tuple(file for file in found if file.role == "picture"),
        evidence=tuple(file for file in found if file.role == "evidence"),
    )


def make_file(row: RowMapping) -> StoredFile:
    """Return the file of a row."""
    known = {field.name for field in fields(StoredFile)}
    file = StoredFile(**{name: value for name, value in row.items() if name in known})
    return replace(file, seed=None if file.seed is None else int(file.seed))


def make_row(file: StoredFile) -> dict[str, Any]:
    """Return the row of a file."""
    row = {field.name: getattr(file, field.name) for field in fields(StoredFile)}
    return row | {"seed": None if file.seed is None else str(file.seed)}


def count_state(connection: Connection, state: str) -> int:
    """Return how many jobs are in a state."""
    return int(connection.execute(select(func.count()).where(jobs.c.state == state)).scalar_one())
