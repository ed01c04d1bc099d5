"""Write a DeepZoom picture: a `.dzi` file and beside it a folder of tiles for every level.

The folder grows under a name of its own and moves to its place when it is whole; the `.dzi` file is
written last, so whoever finds one finds all tiles. Start reading at `DeepZoomSink`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats.deepzoom_index import DeepZoomIndex
from sfumato.canvas.formats.pyramid import Pyramid, Strip, list_halved_sizes
from sfumato.canvas.formats.tiles import TileEncoding, encode_jpeg, encode_png
from sfumato.canvas.workspace.folder_lock import FolderLock, lock_folder
from sfumato.core.errors import RequestError
from sfumato.core.files import UnfinishedFile, name_unfinished, sync_folder
from sfumato.core.geometry import PixelSize

# With a pixel of overlap on each side a tile inside the picture has 256, which is what viewers expect.
TILE_PX, OVERLAP_PX = 254, 1
_TILES = "_files"


def find_tiles_folder(path: Path) -> Path:
    """Return the folder of tiles that belongs to a .dzi file."""
    return path.with_name(f"{path.stem}{_TILES}")


def check_folder_is_ours(path: Path) -> None:
    """Check that the folder of tiles may be replaced: browsers save pages under the same name.

    Raises:
        RequestError: there is something in it that is no level of a picture.
    """
    folder = find_tiles_folder(path)
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir() or not _holds_levels(folder):
        do = "Move it away, or give the picture another name."
        raise RequestError("the place of the tiles holds something else", got=str(folder), do=do)


class DeepZoomSink:
    """Write every tile of every level as a file of its own."""

    def __init__(self, path: Path, size: PixelSize, texts: Mapping[str, str], encoding: TileEncoding) -> None:
        """Take the texts by name, and how tiles are encoded (254 px and PNG unless it says otherwise)."""
        self._path, self._size, self._texts, self._encoding = path, size, texts, encoding
        self._tile = encoding.tile_px or TILE_PX
        self._suffix = "png" if encoding.jpeg_quality is None else "jpg"
        self._sizes = list_halved_sizes(size, until_px=1)
        self._pyramid = Pyramid(self._sizes, self._tile, OVERLAP_PX, self._put_strip)
        self._digest = hashlib.sha256()
        self._folder: Path | None = None
        self._lock: FolderLock | None = None

    def start(self) -> None:
        """Make the folder under a name of its own, with one folder per level."""
        self._folder = name_unfinished(find_tiles_folder(self._path))
        self._lock = lock_folder(self._folder)
        for level in range(len(self._sizes)):
            (self._folder / str(level)).mkdir(parents=True)

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Pass rows on to every level."""
        self._pyramid.write(rows)

    def finish(self) -> None:
        """Move the tiles to their place, then write the .dzi file; what was there before is removed."""
        assert self._folder is not None, "a sink is started before it is finished"
        described = UnfinishedFile(self._path)
        try:
            described.stream.write(self._describe().to_xml().encode())
            _flush_all()
            self._swap(self._folder, described)
        finally:
            described.discard()
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Remove what was written."""
        self._release()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _swap(self, new: Path, described: UnfinishedFile) -> None:
        # Old words never stand beside new tiles: the old .dzi file goes first and the new one comes last.
        place = find_tiles_folder(self._path)
        moved: list[tuple[Path, Path]] = []
        try:
            for old in (self._path, place):
                away = name_unfinished(old)
                if old.exists():
                    old.rename(away)
                    moved.append((old, away))
            moved.append((new, new.rename(place)))
            sync_folder(place.parent)
            described.publish()
        except OSError:
            for home, away in reversed(moved):
                with suppress(OSError):
                    away.rename(home)
            raise
        for _, away in moved[:-1]:
            _remove(away)

    def _put_strip(self, strip: Strip) -> None:
        width = strip.rows.shape[1]
        level = len(self._sizes) - 1 - strip.level
        for column, left in enumerate(range(0, width, self._tile)):
            first, last = max(0, left - OVERLAP_PX), min(left + self._tile + OVERLAP_PX, width)
            self._put_tile(f"{level}/{column}_{strip.index}.{self._suffix}", strip.rows[:, first:last])

    def _put_tile(self, name: str, tile: NDArray[np.uint8]) -> None:
        assert self._folder is not None, "a sink is started before it is written"
        quality = self._encoding.jpeg_quality
        raw = encode_png(tile, self._encoding.effort) if quality is None else encode_jpeg(tile, quality)
        self._digest.update(f"{name} {len(raw)}\n".encode() + raw)
        (self._folder / name).write_bytes(raw)

    def _describe(self) -> DeepZoomIndex:
        return DeepZoomIndex(
            size=self._size,
            tile_px=self._tile,
            overlap_px=OVERLAP_PX,
            suffix=self._suffix,
            texts=self._texts,
            tiles_sha256=self._digest.hexdigest(),
        )


def _holds_levels(folder: Path) -> bool:
    # Levels start at 0 and leave none out; folders of years, say, are no levels.
    names = {entry.name for entry in folder.iterdir()}
    return names == {str(level) for level in range(len(names))}


def _flush_all() -> None:
    # One flush for thousands of small files: each alone would cost more than writing it.
    if os.name == "posix":
        os.sync()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
