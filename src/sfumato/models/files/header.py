"""Read the header of a safetensors file without trusting a byte of it.

Knows the file format, not what the tensors are for; reads no tensor. Everything is bounded before
it is parsed, so a hostile file costs less than a second and a few tens of megabytes.
Start reading at `read_header`.

Source: the safetensors format (eight bytes of little-endian length, JSON, then the numbers).
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never

from sfumato.core.errors import ModelError, UnsafeFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A full SDXL checkpoint has 2,515 tensors and a 350 KB header; training notes inside LoRA files
# reach tens of megabytes (tag counts of large data sets). The format itself stops at 100 MB.
LARGEST_HEADER_BYTES = 32 * 2**20
# Longer notes are dropped before parsing: nothing here reads them, and escapes in them would cost memory.
LONGEST_NOTE_BYTES = 2**20
MOST_TENSORS = 20_000
# What is left of the header without its strings: about 60 bytes per tensor.
LARGEST_SKELETON_BYTES = 128 * MOST_TENSORS
# Strings, brackets and commas: 18 per tensor of four axes.
MOST_TOKENS = 24 * MOST_TENSORS
DEEPEST = 3
MOST_AXES = 8
LONGEST_NAME = 512
LONGEST_NUMBER_DIGITS = 16
SNIFFED_BYTES = 64

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

# A string that never closes matches to the end of the text, and no repeat gives back what it took (`*+`):
# each byte is looked at once, whatever the text is.
JSON_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_QUOTE, _COMMA, _BRACE, _OPENING = ord('"'), ord(","), ord("{"), b"[{"
_GET_ANOTHER = "Do not load it; get the file again from a source you trust."


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Say where one tensor lies: bytes [begin, end) after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """Hold what a safetensors file says about itself, checked.

    `stamp` (device, inode, size, modification time in ns) tells whether the file changed since.
    """

    path: Path
    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    stamp: tuple[int, int, int, int]

    @property
    def tensor_bytes(self) -> int:
        """Sum the bytes of all tensors."""
        return sum(entry.end - entry.begin for entry in self.tensors.values())

    def check_unchanged(self) -> None:
        """Raise UnsafeFileError when the file is no longer the one that was read."""
        if _stamp(self.path.lstat()) != self.stamp:
            refuse(self.path, "the file changed after it was checked", do="Stop what writes to it and try again.")


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file.

    Guarantees that names are unique, number types known, shapes and bytes agree, and the tensors
    fill the rest of the file without overlap or hole.

    Raises:
        ModelError: the file is not there.
        UnsafeFileError: anything else that is wrong.
    """
    raw, stamp = _read_bounded(path)
    fields = _parse(path, _drop_long_notes(path, raw))
    metadata = _check_metadata(path, fields.pop("__metadata__", {}))
    tensors = {name: _check_tensor(path, name, entry) for name, entry in fields.items()}
    _check_coverage(path, tensors, stamp[2] - 8 - len(raw))
    return Header(path, tensors, metadata, stamp)


def refuse(path: Path, why: str, *, got: object = None, do: str = _GET_ANOTHER) -> Never:
    """Raise the refusal of a file: what, why, and what to do."""
    raise UnsafeFileError(f"{path} is refused: {why}", got=got, do=do)


def open_plain_file(path: Path) -> int:
    """Open a regular file that is no link, and return its descriptor.

    Raises:
        ModelError: the file is not there or not readable.
        UnsafeFileError: it is a link, a pipe, a device or a folder.
    """
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            refuse(path, "it is a symbolic link", do="Give the file itself, or copy it with `cp -L`.")
        if not stat.S_ISREG(kind):
            refuse(path, "it is not a regular file", do="Give a file.")
        # No link may slip in between, and a pipe must not block us.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        return os.open(path, flags)
    except OSError as error:
        raise ModelError(f"cannot read {path}", got=error.strerror, do="Check the path.") from error


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _read_bounded(path: Path) -> tuple[bytes, tuple[int, int, int, int]]:
    with os.fdopen(open_plain_file(path), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            refuse(path, "it is not a regular file")
        prefix = file.read(8)
        _check_download(path, prefix + file.read(SNIFFED_BYTES))
        file.seek(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length < 2 or length > status.st_size - 8:
            refuse(path, "the header is longer than the file", got=f"{length} bytes of {status.st_size}")
        if length > LARGEST_HEADER_BYTES:
            refuse(path, f"the header is larger than {LARGEST_HEADER_BYTES} bytes", got=length)
        raw = file.read(length)
    if len(raw) != length or raw[:1] != b"{":
        refuse(path, "the header is not a JSON object", got=raw[:20])
    return raw, _stamp(status)


def _check_download(path: Path, start: bytes) -> None:
    """Name the two things that are saved in place of a model most often."""
    if start.startswith(b"version https://git-lfs"):
        do = "Get the file itself: `git lfs pull` in its repository, or download it again."
        refuse(path, "it is a Git LFS pointer, a note of where the weights are", do=do)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        do = "Download it again; the site may want a login or an accepted licence first."
        refuse(path, "it is a web page that was saved under this name", do=do)


def _drop_long_notes(path: Path, raw: bytes) -> bytes:
    """Check the outline of a header before anything parses it; return it with very long strings emptied."""
    # A scan that stops early: even to split a header of a million strings would cost 200 MB.
    depth = tensors = text_bytes = copied = 0
    kept: list[bytes] = []
    for tokens, match in enumerate(JSON_TOKEN.finditer(raw)):
        sign, begin, end = raw[match.start()], match.start(), match.end()
        if sign == _QUOTE:
            text_bytes += end - begin
            if end - begin > LONGEST_NOTE_BYTES:
                kept += (raw[copied:begin], b'""')
                copied = end
        elif sign in _OPENING:
            depth += 1
            tensors += sign == _BRACE
        elif sign != _COMMA:
            depth -= 1
        if depth > DEEPEST:
            refuse(path, "the header is nested too deeply", got=f"more than {DEEPEST} levels")
        if tensors > MOST_TENSORS + 2 or tokens > MOST_TOKENS:
            refuse(path, f"it claims more than {MOST_TENSORS} tensors")
    if len(raw.rstrip(b" ")) - text_bytes > LARGEST_SKELETON_BYTES:
        refuse(path, "the header holds more than names, shapes and offsets")
    return b"".join((*kept, raw[copied:]))


def find_double(names: Iterable[str]) -> str:
    """Return the first name that appears a second time, "" if none does."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            double = find_double(name for name, _ in items)
            refuse(path, "a name appears twice in the header", got=double[:LONGEST_NAME])
        return found

    def whole(text: str) -> int:
        if len(text) > LONGEST_NUMBER_DIGITS:
            refuse(path, "a number in the header is too large", got=text[:LONGEST_NUMBER_DIGITS] + "...")
        return int(text)

    def fraction(text: str) -> Never:
        refuse(path, "the header holds a number that is not whole", got=text[:LONGEST_NUMBER_DIGITS])

    try:
        text = raw.decode("utf-8")
        return json.loads(text, object_pairs_hook=pairs, parse_int=whole, parse_float=fraction, parse_constant=fraction)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        refuse(path, "the header is not valid JSON", got=str(error)[:80])


def _check_metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        refuse(path, "__metadata__ has to map text to text")
    return metadata


def _check_tensor(path: Path, name: str, entry: Any) -> TensorEntry:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(path, "a tensor entry has to have dtype, shape and data_offsets, nothing else", got=name)
    if len(name) > LONGEST_NAME or not name.isprintable():
        refuse(path, "a tensor name is too long or not printable", got=name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        refuse(path, f"tensor {name!r} has an unknown number type", got=dtype)
    if not _is_whole_list(shape) or len(shape) > MOST_AXES:
        refuse(path, f"tensor {name!r} has no proper shape", got=shape)
    if not _is_whole_list(offsets) or len(offsets) != 2:
        refuse(path, f"tensor {name!r} has no proper offsets", got=offsets)
    begin, end = offsets
    # Python's whole numbers do not wrap around, so a product cannot come out small by overflow.
    if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        refuse(path, f"shape and bytes of tensor {name!r} disagree", got=(dtype, shape, offsets))
    return TensorEntry(dtype, tuple(shape), begin, end)


def _is_whole_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_coverage(path: Path, tensors: dict[str, TensorEntry], size: int) -> None:
    at = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            why = "overlap" if entry.begin < at else "leave a hole"
            refuse(path, f"tensors {why} in the file", got=f"{name!r} begins at {entry.begin}, not {at}")
        at = entry.end
    if at != size:
        refuse(path, "the tensors do not fill the file", got=f"they need {at} bytes, it has {size}")
