"""Results of a long evaluation on disk: a PNG and one line of JSON each, found again by what made them.

A key is the digest of everything that changes the picture, so a changed setting or other weights render
again and everything else is kept. Knows no measure. Start reading at `Store.add`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.canvas.formats.images import load_picture, save_picture
from sfumato.core import serialize
from sfumato.core.serialize import Json

MADE, JUDGED = "made.jsonl", "judged.jsonl"
KEY_CHARACTERS = 20

Record = dict[str, Any]


class Store:
    """Keep pictures and lines in a folder; a line that was torn by a crash counts as absent. A leaf."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, or start an empty one."""
        self.folder = folder
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        self._made = _read_lines(folder / MADE)
        self._judged = _read_lines(folder / JUDGED)

    def find(self, key: str) -> Record | None:
        """Return what is known of a picture, or None where it is not there whole."""
        return self._made.get(key) if self.place(key).is_file() else None

    def place(self, key: str) -> Path:
        """Return where the picture of a key lies."""
        return self.folder / "pictures" / f"{key}.png"

    def load(self, key: str) -> Image.Image:
        """Open a picture.

        Raises:
            RequestError: it is not there, or damaged.
        """
        return load_picture(self.place(key))

    def add(self, key: str, picture: Image.Image, record: Record) -> Record:
        """Save a picture, then its line; returns the line.

        Raises:
            StorageError: the disk refuses.
        """
        save_picture(self.place(key), picture, {})
        self._made[key] = _append(self.folder / MADE, {"key": key, **record})
        return self._made[key]

    def find_judged(self, key: str) -> Record | None:
        """Return the measures of a picture by one judge, or None."""
        return self._judged.get(key)

    def add_judged(self, key: str, record: Record) -> Record:
        """Keep the measures of a picture; `key` names picture and judge."""
        self._judged[key] = _append(self.folder / JUDGED, {"key": key, **record})
        return self._judged[key]


def make_key(words: dict[str, Json]) -> str:
    """Return the name of what these words make."""
    return hashlib.sha256(serialize.canonical_text(words).encode()).hexdigest()[:KEY_CHARACTERS]


def digest_folder(folder: Path, pattern: str = "*") -> str:
    """Return a digest of the files of a folder and below, names and bytes; empty where there are none."""
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:KEY_CHARACTERS] if files else ""


def _read_lines(path: Path) -> dict[str, Record]:
    found: dict[str, Record] = {}
    text = path.read_text() if path.is_file() else ""
    if text and not text.endswith("\n"):
        # A crash tore the last line: what comes next starts on a line of its own.
        path.write_text(f"{text}\n")
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found[record["key"]] = record
    return found


def _append(path: Path, record: Record) -> Record:
    with path.open("a") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return record
