"""Remove a folder that others may want: it is out of the way at once and whole, and what a crash leaves goes next time.

Knows names and holds; nothing of what is in the folder. Start reading at `clear_away`.
"""

from __future__ import annotations

import glob
import re
import shutil
from contextlib import suppress
from pathlib import Path

from sfumato.canvas.workspace.folder_lock import is_held
from sfumato.core.files import name_unfinished, sync_folder

# What `name_unfinished` puts behind a name.
_BEHIND = re.compile(r"\.[0-9a-f]{8}\.part")


def clear_away(folder: Path, *, first: tuple[str, ...]) -> None:
    """Move a folder that is held to a name of its own, then remove it: nobody who comes meanwhile finds a part of it.

    Where it cannot be moved it goes from where it is, the files named `first` before the others.
    """
    away = name_unfinished(folder)
    try:
        folder.rename(away)
    except OSError:
        away = folder
    with suppress(OSError):
        sync_folder(folder.parent)
    for name in first:
        with suppress(OSError):
            (away / name).unlink(missing_ok=True)
    shutil.rmtree(away, ignore_errors=True)


def sweep_leftovers(folder: Path) -> None:
    """Remove what processes left that were killed while they removed a folder of this name."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):
        ours = _BEHIND.fullmatch(path.name.removeprefix(f".{folder.name}"))
        if ours and path.is_dir() and not path.is_symlink() and not is_held(path):
            with suppress(OSError):
                shutil.rmtree(path)
