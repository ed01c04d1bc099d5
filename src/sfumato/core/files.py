"""Files that are either whole or absent, and the digest that names their content.

Knows nothing about what is in a file. Start reading at `write_atomic`;
what is written piece by piece is an `UnfinishedFile`.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from sfumato.core.errors import RequestError, StorageError

try:
    import fcntl
except ImportError:  # Not on POSIX: there nothing can be held.
    fcntl = None

# Held by somebody else; anything else says that the file system knows no locks.
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
# A disk, a quota or a limit of the process is used up; each says so in its own number.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The system cannot take such a path, whatever lies there; a path through a file, say, is another matter.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP)
# What nearly every file system allows, where the system does not tell.
_NAME_BYTES = 255
_DIGEST_CHARACTERS = 8
# What `name_unfinished` puts behind a name.
_BEHIND = re.compile(r"\.[0-9a-f]{8}\.part\Z")


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
        # Held until it is closed, so that nobody takes it for the leftover of a process that was killed.
        hold(self.stream.fileno())

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
    """Return a fresh name beside `path` for what is not whole yet; a name as long as the system takes is shortened."""
    end = f".{secrets.token_hex(4)}.part"
    return path.with_name(f".{shorten_name(path, len(end) + 1)}{end}")


def shorten_name(path: Path, more_bytes: int) -> str:
    """Return the name of a path, cut where `more_bytes` would not fit behind it; a digest then tells it from others."""
    most = _longest_name_bytes(path.parent) - more_bytes
    raw = os.fsencode(path.name)
    if len(raw) <= most:
        return path.name
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARACTERS]
    # What is cut within a character loses that character.
    return raw[: most - _DIGEST_CHARACTERS - 1].decode("utf-8", errors="ignore") + f"~{digest}"


def _longest_name_bytes(folder: Path) -> int:
    with suppress(OSError, ValueError, AttributeError):
        return os.pathconf(folder, "PC_NAME_MAX")
    return _NAME_BYTES


def find_cache_folder() -> Path:
    """Return the folder for what can be measured, or fetched, again."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "sfumato"


def make_state_folder(state: str) -> Path:
    """Return the folder `state`, or the usual one of the system where that is empty; make it, for its owner alone.

    Raises:
        StorageError: it cannot be made.
    """
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(state).expanduser() if state else Path(home) / "sfumato"
    try:
        # Prompts and pictures of everybody who works here: only its owner may read them.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        do = "Set SFUMATO_STATE to a folder that you may write."
        raise StorageError("the state folder cannot be made", got=f"{folder}: {error}", do=do) from error
    return folder.resolve()


def check_path(path: Path, *, what: str) -> None:
    """Check that the system can take a path at all, whether or not a file lies there.

    Raises:
        RequestError: a name is too long, or holds what no file name can hold.
    """
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise _say_impossible(path, what, error.strerror) from error
    except ValueError as error:
        # NUL, or a character without a form in the encoding of file names.
        raise _say_impossible(path, what, error) from error


def expand_path(text: str | Path, *, what: str) -> Path:
    """Return a path with `~` replaced by the home folder of this or the named user.

    Raises:
        RequestError: there is no such user, or the system cannot take the path.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise RequestError(
            f"{what} names the home folder of nobody", got=str(text), do="Write the whole path."
        ) from error
    check_path(path, what=what)
    return path


def _say_impossible(path: Path, what: str, why: object) -> RequestError:
    return RequestError(
        f"{what} has a path that no file can have", got=f"{path}: {why}", do="Use a shorter, plain name."
    )


def remove_leftovers(path: Path) -> None:
    """Remove what processes left beside `path` that were killed while they wrote or removed it; never what is held."""
    head = f".{shorten_name(path, len('.') + len('.00000000.part'))}"
    for found in path.parent.glob(f"{glob.escape(head)}.*.part"):
        if _BEHIND.fullmatch(found.name.removeprefix(head)):
            _remove_abandoned(found)


def clear_leftovers(folder: Path) -> None:
    """Remove from a folder, not from those in it, what killed processes left unfinished; never what is held."""
    for found in folder.glob(".*.part"):
        if _BEHIND.search(found.name):
            _remove_abandoned(found)


def _remove_abandoned(path: Path) -> None:
    if path.is_symlink() or not _is_abandoned(path):
        return
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_abandoned(path: Path) -> bool:
    """Tell whether surely no process holds a file or folder; where a file system knows no locks nothing is sure."""
    if fcntl is None:
        # Such systems do not remove what is open.
        return True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def hold(handle: int) -> bool:
    """Hold an open file or folder until it is closed or the process ends; False where another process holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True


def is_held(path: Path) -> bool:
    """Tell whether a process holds a file or folder; False where that cannot be told."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        return not hold(handle)
    finally:
        os.close(handle)


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
