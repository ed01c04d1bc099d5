"""The tables of the queue and the way to open their database: SQLite, written through to the disk at every commit.

Knows SQL alone; what the rows mean is in `records`, what happens to them in `store`. Start reading at `open_database`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from sfumato.core.errors import StorageError

# Counted up when a table changes; a number that is not known is refused, not guessed at.
SCHEMA = 2
# Two processes write: the server and its worker. Each transaction takes milliseconds.
_WAIT_FOR_LOCK_S = 30.0

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("surface", String(16), nullable=False),
    # What is done: render, upscale, check ... see `records.JobKind`.
    Column("kind", String(16), nullable=False, server_default="render"),
    Column("request", JSON, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("started_s", Float),
    Column("ended_s", Float),
    Column("attempts", Integer, nullable=False, default=0),
    Column("kills", Integer, nullable=False, default=0),
    Column("cancel_wanted", Boolean, nullable=False, default=False),
    # Who works on it, and until when without a sign of life.
    Column("lease", String(64)),
    Column("lease_until_s", Float),
    Column("planned_s", Float),
    Column("error", JSON(none_as_null=True)),
    Column("log", Text, nullable=False, default=""),
    # What the job found or did, beside its pictures.
    Column("result", JSON(none_as_null=True)),
    # Its place among those that wait, where somebody moved it; else its number.
    Column("turn", Integer),
    # What a client sends with each try of one order, so that a repeated order is one job.
    Column("order_key", String(128), unique=True),
    Index("jobs_by_state", "state", "number"),
    sqlite_autoincrement=True,
)
files = Table(
    "files",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), index=True),
    Column("number", Integer, nullable=False, default=0),
    # A picture that was drawn or sent, or one that shows what was found.
    Column("role", String(16), nullable=False, server_default="picture"),
    Column("path", Text, nullable=False),
    Column("media_type", String(32), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    # Text: a seed may have 64 bits without a sign, more than a column of whole numbers holds.
    Column("seed", String(24)),
    Column("created_s", Float, nullable=False),
)
_SCHEMA_NAME = "queue:schema"
# What a person says of a picture: a favourite, or deleted until that is undone or the time for it is over.
marks = Table(
    "marks",
    metadata,
    Column("file_id", String(64), ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("favourite", Boolean, nullable=False, default=False),
    Column("deleted_s", Float),
)
# How a picture looks, as numbers, so that pictures like it are found.
looks = Table(
    "looks",
    metadata,
    Column("file_id", String(64), ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
# What each version before added, as (table, column, type and default).
_ADDED = {
    2: (
        ("jobs", "kind", "VARCHAR(16) NOT NULL DEFAULT 'render'"),
        ("jobs", "result", "JSON"),
        ("jobs", "turn", "INTEGER"),
        ("files", "role", "VARCHAR(16) NOT NULL DEFAULT 'picture'"),
    )
}
options = Table("options", metadata, Column("name", String(64), primary_key=True), Column("value", JSON))


def open_database(path: Path, *, address: str = "") -> Engine:
    """Open the database of a state folder, or the PostgreSQL at an address, and make its tables where they are missing.

    Every commit is on the disk before it returns (SQLite: write-ahead log, synchronous=FULL).

    Raises:
        StorageError: the disk refuses, the file is no database, or another version wrote it.
    """
    if address:
        return _open_postgres(address)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _WAIT_FOR_LOCK_S})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            _check_schema(found, str(path))
            metadata.create_all(connection)
            _add_columns(connection, found)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
    except (DatabaseError, OperationalError) as error:
        engine.dispose()
        do = "Free disk space, or move the damaged file away."
        raise StorageError("the queue cannot be opened", got=f"{path}: {error.orig}", do=do) from error
    return engine


def _open_postgres(address: str) -> Engine:
    do = "Set SFUMATO_DATABASE to postgresql+psycopg://USER@HOST/NAME, and install sfumato[postgres]."
    if not address.startswith("postgresql"):
        raise StorageError("the queue lies in SQLite or PostgreSQL", got=address.partition(":")[0], do=do)
    try:
        engine = create_engine(address, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError) as error:
        raise StorageError("the database cannot be opened", got=type(error).__name__, do=do) from error
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
            row = connection.execute(options.select().where(options.c.name == _SCHEMA_NAME)).one_or_none()
            found = SCHEMA if row is None else int(row.value)
            _check_schema(found, "the database")
            _add_columns(connection, found)
            connection.execute(options.delete().where(options.c.name == _SCHEMA_NAME))
            connection.execute(options.insert().values(name=_SCHEMA_NAME, value=SCHEMA))
    except SQLAlchemyError as error:
        engine.dispose()
        # An address may hold a password, so only what the driver says is told.
        raise StorageError("the database cannot be opened", got=type(error).__name__, do=do) from error
    except StorageError:
        engine.dispose()
        raise
    return engine


def _check_schema(found: int, where: str) -> None:
    if found > SCHEMA:
        do = "Use the version that wrote it, or another state folder."
        raise StorageError("another version of Sfumato wrote the queue", got=f"{where}: schema {found}", do=do)


def _add_columns(connection: Connection, found: int) -> None:
    for version in range(found + 1 if found else SCHEMA + 1, SCHEMA + 1):
        for table, column, kind in _ADDED[version]:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _set_up(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, and late; `_begin` does it.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    # A reader that turns into a writer could find that it read too long ago; writers say so at once.
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
