"""What a page shows of a finished picture: a small copy, its facts, and the texts that draw it again.

Everything here is made from a file and its job, and can be made again. Start reading at `load_facts`.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from sfumato import api
from sfumato.core.request import TextSource
from sfumato.server.queue.records import JobRecord, NotFoundError, StoredFile
from sfumato.workflows.report.commands import write_command, write_python

# Sharp on a screen of double density where a strip shows 72 px.
THUMBNAIL_SIDE_PX = 192
_THUMBNAIL_QUALITY = 82
# About 8 kB each.
_MOST_KEPT = 500


def name_facts(picture: Path) -> Path:
    """Return where the facts of a picture of a job lie: beside it."""
    return picture.with_name(f"{picture.stem}.facts.json")


def load_facts(picture: Path) -> dict[str, Any]:
    """Return what the engine told of a picture: its self-check, times and memory.

    Raises:
        NotFoundError: nothing was kept, as of pictures that a client sent.
    """
    try:
        # What could not be measured is no number, and JSON has no word for that.
        return json.loads(name_facts(picture).read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError) as error:
        raise NotFoundError("nothing is known of this picture", got=picture.stem) from error


def write_recipe(job: JobRecord, file: StoredFile) -> dict[str, str | None]:
    """Return the command and the Python that draw one picture of a job again; None where it grew from another picture."""
    request = api.RenderRequest.from_json(dict(job.request))
    if not isinstance(request.source, TextSource):
        # The picture that it grew from lies on the server.
        return {"command": None, "python": None}
    one = replace(request, seed=request.seed if file.seed is None else file.seed, batch=1)
    return {"command": write_command(one), "python": write_python(one)}


@dataclass(eq=False)
class ThumbnailCache:
    """Keep small copies of the pictures that were looked at last. A leaf; may be used from several threads."""

    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict[str, bytes])
    _lock: Lock = field(default_factory=Lock)

    def load(self, file_id: str, path: Path) -> bytes:
        """Return a small copy of a picture of ours as JPEG, at most `THUMBNAIL_SIDE_PX` on its longer side."""
        with self._lock:
            if file_id in self._kept:
                self._kept.move_to_end(file_id)
                return self._kept[file_id]
            # One at a time: a large picture takes as much memory as it has pixels.
            packed = _make_thumbnail(path)
            self._kept[file_id] = packed
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return packed


def _make_thumbnail(path: Path) -> bytes:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), reducing_gap=3.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_THUMBNAIL_QUALITY)
    return stream.getvalue()
