"""Files that are either whole or absent, and the digest that names their content.

Knows nothing about what is in a file. Start reading at `write_atomic`.
"""

from __future__ import annotations

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


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file that appears at `path` whole, or not at all.

    Guarantees that after a crash or a power cut `path` holds the old content or the new one:
    written beside, flushed to disk, renamed, and the folder flushed too.

    Raises:
        StorageError: the folder cannot be made or the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"the file {path} could not be written", got=str(error)) from error
    finally:
        # Gone already when the rename succeeded; a full disk must not keep our leftovers.
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def open_regular(path: Path, *, what: str) -> Generator[BufferedReader]:
    """Open a plain file for reading; a folder, device or pipe (which could block) is refused.

    Raises:
        RequestError: there is no such plain file, or it may not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RequestError(f"{what} is not a plain file", got=str(path))
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        raise RequestError(f"{what} cannot be opened", got=str(error), do="Check the path.") from error
    with stream:
        yield stream


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 (hex) of a whole file, read in pieces.

    Raises:
        RequestError: there is no such plain file, or it may not be read.
    """
    with open_regular(Path(path), what="the file to hash") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    # Only POSIX lets a folder be opened for a flush; elsewhere the rename is all there is.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
