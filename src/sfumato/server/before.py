"""What a finished picture can be compared with: the base it grew from, that base enlarged, and the picture it was made of.

Everything here is made from files of the state folder. Knows no route. Start reading at `make_before`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal, TypeAlias

from PIL import Image

from sfumato.canvas.formats.read import read_reduced
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.server.queue.records import JobRecord, NotFoundError

Before: TypeAlias = Literal["base", "lanczos", "source"]
# A base holds no more than this shows; a screen enlarges the rest.
LONGEST_PX = 2048
# Smaller pictures are enlarged to this at least, so that the pixels of a base have edges.
_SCREEN_PX = 1024
_QUALITY = 92


def name_base(picture: Path) -> Path:
    """Return where the base of a picture of a job lies: beside it."""
    return picture.with_name(f"{picture.stem}.base.png")


def keep_base(picture: Path, base: Image.Image) -> None:
    """Keep the native picture that a larger one grew from.

    Raises:
        StorageError: the disk refuses.
    """
    write_atomic(name_base(picture), lambda file: base.convert("RGB").save(file, "PNG"))


def list_before(picture: Path, job: JobRecord, folder: Path) -> list[Before]:
    """Return what a picture can be compared with, without making it."""
    found: list[Before] = ["base", "lanczos"] if name_base(picture).is_file() else []
    return [*found, "source"] if _find_source(job, folder) else found


def make_before(kind: Before, picture: Path, job: JobRecord, folder: Path, *, size: PixelSize) -> bytes:
    """Return a picture to compare with, as JPEG, at most `LONGEST_PX` on its longer side.

    `base` shows the pixels of the native picture as squares, `lanczos` enlarges it without a model, `source` is the
    picture that was changed or enlarged. `folder` is the state folder, `size` that of the picture: both get its shape.

    Raises:
        NotFoundError: the picture has no such picture before it.
    """
    path = _find_source(job, folder) if kind == "source" else name_base(picture)
    if path is None or not path.is_file():
        raise NotFoundError("there is no such picture before this one", got=kind, do="Compare it with another picture.")
    if kind == "source":
        shown = _read_source(path)
    else:
        with Image.open(path) as opened:
            base = opened.convert("RGB")
        shown = base.resize(_fit(size), Image.Resampling.NEAREST if kind == "base" else Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    shown.save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()


def _find_source(job: JobRecord, folder: Path) -> Path | None:
    """Return the picture that a job changed; None where it drew from words, or the file is gone."""
    path = dict(job.request.get("source") or {}).get("path") or job.request.get("path")
    found = folder / path if isinstance(path, str) and path else None
    return found if found is not None and found.is_file() else None


def _read_source(path: Path) -> Image.Image:
    try:
        # Halved band by band: a picture of any size takes little memory.
        return Image.fromarray(read_reduced(path, most_px=LONGEST_PX))
    except RequestError:
        # What a client sent may be transparent, and has at most the pixels that the settings allow.
        with Image.open(path) as opened:
            shown = opened.convert("RGB")
        shown.thumbnail((LONGEST_PX, LONGEST_PX))
        return shown


def _fit(size: PixelSize) -> tuple[int, int]:
    """Return a size of the same shape, `_SCREEN_PX` to `LONGEST_PX` on the longer side; whole pixels of the base stay near squares."""
    longest = max(size.width, size.height)
    scale = min(1.0, LONGEST_PX / longest) if longest > _SCREEN_PX else -(-_SCREEN_PX // longest)
    return max(1, round(size.width * scale)), max(1, round(size.height * scale))
