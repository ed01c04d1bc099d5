"""What a page shows of a finished picture: a small copy, tiles, its facts, and the texts that draw it again.

Everything here is made from a file and its job, and can be made again. Start reading at `load_facts`.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import Any

from PIL import Image

from sfumato import api
from sfumato.canvas.formats.read import open_regions, read_reduced
from sfumato.canvas.formats.save import open_writer
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.core.errors import RequestError
from sfumato.core.request import TextSource
from sfumato.server.queue.records import JobRecord, NotFoundError, StoredFile
from sfumato.workflows.report.commands import write_command, write_python

# Sharp on a screen of double density where a strip shows 72 px.
THUMBNAIL_SIDE_PX = 192
_THUMBNAIL_QUALITY = 82
# About 8 kB each.
_MOST_KEPT = 500
# The eye sees no difference from the file, and a tile is a fifth as large.
_TILE_QUALITY = 90
# A screen shows a dozen of these at once; smaller ones cost more in questions than they save in bytes.
_TILE_PX = 512
# As in the viewer of the page: what is larger is shown in tiles.
_MOST_WHOLE_PIXELS = 2**22


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
class ViewMaker:
    """Make small copies and tiles of pictures, one at a time, and keep them. A leaf; may be used from several threads.

    Small copies are kept in memory, tiles beside the picture.
    """

    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict[str, bytes])
    _folders: dict[str, Path] = field(default_factory=dict[str, Path])
    _lock: RLock = field(default_factory=RLock)

    def make_thumbnail(self, file_id: str, picture: Path) -> bytes:
        """Return a small copy of a picture as JPEG, at most `THUMBNAIL_SIDE_PX` on its longer side."""
        found = self._kept.get(file_id)
        if found is not None:
            return found
        with self._lock:
            self._kept[file_id] = packed = _make_thumbnail(self._find_source(picture))
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return packed

    def _find_source(self, picture: Path) -> Path:
        """Return what a small copy is made of: the tiles of a large picture, which will be wanted next."""
        try:
            is_large = open_regions(picture).sizes[0].area > _MOST_WHOLE_PIXELS
        except RequestError:
            return picture
        return self.make_tiles(picture) if is_large else picture

    def make_tiles(self, picture: Path) -> Path:
        """Return the DeepZoom file of a picture, beside its folder of tiles; cut them where they are missing.

        Cost: a few bands of rows in memory, whatever the size.

        Raises:
            NotFoundError: the picture is of a kind that is not read in parts.
            StorageError: the disk refuses.
        """
        described = picture.with_suffix(".tiles") / "picture.dzi"
        if described.exists():
            return described
        with self._lock:
            if not described.exists():
                _cut(picture, described)
        return described

    def read_tile(self, file_id: str, find_path: Callable[[str], Path], level: int, column: int, row: int) -> bytes:
        """Return one tile of a picture as JPEG; `find_path` says once where the picture of an id lies.

        Raises:
            NotFoundError: there is none at that place, or the picture was not cut.
        """
        folder = self._folders.get(file_id)
        if folder is None:
            folder = find_path(file_id).with_suffix(".tiles") / "picture_files"
            self._folders[file_id] = folder
        try:
            return (folder / str(level) / f"{column}_{row}.jpg").read_bytes()
        except OSError as error:
            self._folders.pop(file_id, None)
            raise NotFoundError("there is no such tile", got=f"{level}/{column}_{row}") from error


def _cut(picture: Path, described: Path) -> None:
    try:
        regions = open_regions(picture)
    except RequestError as error:
        raise NotFoundError("this picture has no tiles", got=picture.stem) from error
    described.parent.mkdir(exist_ok=True)
    with open_writer(
        described, regions.sizes[0], {}, TileEncoding(tile_px=_TILE_PX, jpeg_quality=_TILE_QUALITY)
    ) as writer:
        for rows in regions.walk():
            writer.write_band(rows)


def _make_thumbnail(picture: Path) -> bytes:
    try:
        # Halved band by band: a picture of any size takes little memory.
        small = Image.fromarray(read_reduced(picture, most_px=2 * THUMBNAIL_SIDE_PX))
    except RequestError:
        # What a client sent may be transparent, and has at most the pixels that the settings allow.
        with Image.open(picture) as opened:
            small = opened.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), reducing_gap=3.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_THUMBNAIL_QUALITY)
    return stream.getvalue()
