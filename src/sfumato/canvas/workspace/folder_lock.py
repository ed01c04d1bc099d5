"""A hold on a folder that goes when its process does, so that no crash leaves one behind.

Knows folders and processes; nothing of what is in the folder. Start reading at `lock_folder`.
"""

from __future__ import annotations

import os
from pathlib import Path

from sfumato.core.errors import RequestError
from sfumato.core.files import hold


class FolderLock:
    """Hold a folder until `release`, or until the process ends. A leaf."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        """Let go of the folder; nothing happens the second time."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.release()


def lock_folder(folder: Path) -> FolderLock:
    """Make a folder where there is none, and hold it. A file system without locks gives a hold of nothing.

    Raises:
        RequestError: another process holds it, or this one a second time.
        OSError: the folder cannot be made or opened.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if os.name != "posix":
            return FolderLock(-1)
        lock = FolderLock(handle := os.open(folder, os.O_RDONLY))
        if not hold(handle):
            raise RequestError(
                "another process is at work on this picture", got=str(folder), do="Wait for it, or give another --out."
            )
        if _is_still_there(folder, handle):
            return lock


def _is_still_there(folder: Path, handle: int) -> bool:
    """Tell whether the folder is not one that its last holder removed before letting go."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
