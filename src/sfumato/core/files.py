"""Files that are either whole or absent, and the digest that names their content.

Knows nothing about what is in a file. Start reading at `write_atomic`;
what is written piece by piece is an `UnfinishedFile`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from sfumato.core.errors import RequestError, StorageError

# A disk, a quota or a limit of the process is used up; each says so in its own number.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnfinishedFile:
    """Hold a new file that is written beside its place, under a name that opens with a dot and ends in `.part`.

    It appears at `path` whole through `publish`, or not at all. Both ways out may be called again.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder and the file; OSError where the disk refuses."""
        self.path = path
        self._beside = name_unfinished(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.stream: BinaryIO = self._beside.open("xb")

    def publish(self) -> None:
        """Flush to disk, rename, and flush the folder too; OSError where the disk refuses."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        self._beside.replace(self.path)
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove what was written; a full disk must not keep our leftovers."""
        # Closing flushes, which fails on a full disk; the file is closed all the same.
        with suppress(OSError):
            self.stream.close()
        # Gone already when it was published.
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file that appears at `path` whole, or not at all.

    Guarantees that after a crash or a power cut `path` holds the old content or the new one:
    written beside, flushed to disk, renamed, and the folder flushed too.

    Raises:
        StorageError: the folder cannot be made or the disk refuses.
    """
    unfinished: UnfinishedFile | None = None
    try:
        unfinished = UnfinishedFile(path)
        write(unfinished.stream)
        unfinished.publish()
    except OSError as error:
        raise make_storage_error(path, error) from error
    finally:
        if unfinished is not None:
            unfinished.discard()


def name_unfinished(path: Path) -> Path:
    """Return a fresh name beside `path` for what is not whole yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def make_storage_error(path: Path, error: OSError) -> StorageError:
    """Say why the disk refused `path`, and what to do when it is full."""
    if error.errno in _FULL:
        do = "Free some disk space, or write to another disk."
        return StorageError(f"the disk is full: {path} could not be written", got=str(error), do=do)
    return StorageError(f"the file {path} could not be written", got=str(error))


@contextmanager
def open_regular(path: Path, *, what: str) -> Generator[BufferedReader]:
    """Open a plain file for reading; a folder, device or pipe (which could block) is refused.

    Raises:
        RequestError: there is no such plain file, or it may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise RequestError(f"{what} is a folder", got=str(path), do="Name a file in it.")
        if not stat.S_ISREG(mode):
            raise RequestError(f"{what} is not a plain file", got=str(path), do="Copy it to a plain file first.")
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RequestError(f"{what} cannot be opened", got=f"{path}: {why}", do="Check the path.") from error
    with stream:
        yield stream


def file_sha256(path: Path | str, *, what: str = "the file") -> str:
    """Return the SHA-256 (hex) of a whole file, read in pieces; `what` names it where it cannot be.

    Raises:
        RequestError: there is no such plain file, or it may not be read.
    """
    with open_regular(Path(path), what=what) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reserve_file(handle: int, count: int) -> None:
    """Give an open file its length and its blocks; OSError where the disk has none left."""
    # Without reserved blocks a mapped write to a full disk kills the process instead of raising.
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, count)
            return
    except OSError as error:
        # Some systems reserve nothing; then the check of the free room is all there is.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    os.ftruncate(handle, count)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    # Only POSIX lets a folder be opened for a flush; elsewhere the rename is all there is.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
