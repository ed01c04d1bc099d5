"""A free file name for a picture whose caller names only a folder, or nothing.

Knows names and stopped work; no pixels. Start reading at `find_free_path`.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.canvas.workspace.disk_workspace import find_resumable, name_work
from sfumato.workflows.files.output_paths import find_stopped, list_paths

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest

OUT_FOLDER = Path("out")
# Characters of the prompt that the name of a file may carry.
_NAME_CHARACTERS = 40


def is_folder(out: Path) -> bool:
    """Tell whether an output path means a folder: it is one, or it has no suffix."""
    return out.is_dir() or not out.suffix


def find_free_path(folder: Path, title: str, request: RenderRequest, *, resume: bool = False) -> Path:
    """Return a PNG path that tells title and seed and replaces nothing; with `resume`, the path of the stopped work.

    Raises:
        RequestError: work was stopped under such names, and none of it is this request.
    """
    stem = f"{make_stem(title)}-{request.seed}"
    if resume:
        stopped = find_stopped([_number(folder, stem, count) for count in _list_counts(folder, stem)], request)
        if stopped is not None:
            return stopped
    for count in itertools.count(1):
        path = _number(folder, stem, count)
        places = list_paths(path, request.batch)
        if not any(place.exists() or find_resumable(name_work(place)) for place in places):
            return path
    raise AssertionError("counting has no end")


def make_stem(title: str) -> str:
    """Return a file name without suffix from words."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower())[:_NAME_CHARACTERS].strip("-") or "picture"


def _number(folder: Path, stem: str, count: int) -> Path:
    return folder / f"{stem}{f'-{count}' if count > 1 else ''}.png"


def _list_counts(folder: Path, stem: str) -> list[int]:
    """Return every number that the name of a work in a folder may count to; the ones before it may be removed."""
    names = [path.name.removeprefix(stem) for path in folder.glob(f"{stem}*.work")]
    return sorted({1, *(int(digits) for name in names for digits in re.findall("[0-9]+", name))})
