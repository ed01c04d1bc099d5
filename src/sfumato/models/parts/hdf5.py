"""Read the convolutions out of a weight file of Keras (`.weights.h5`), a small part of the HDF5 format.

Covers what Keras writes: groups as B-trees of version 1, object headers of version 1, plain numbers in one piece, no
compression. Anything else is an error. Start reading at `convert_keras`.

Source: the HDF Group's "HDF5 File Format Specification Version 2.0": superblock, B-trees, heaps, messages.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import UnsafeFileError
from sfumato.models.parts.encode import ConvertedPart

Array = NDArray[Any]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Numbers of the messages in an object header.
_SPACE, _TYPE, _LAYOUT, _CONTINUED, _GROUP = 0x01, 0x03, 0x08, 0x10, 0x11
# Class and size of a little-endian fp32 in a message of type.
_FLOAT_CLASS, _FLOAT_BYTES = 1, 4
_CONTIGUOUS = 1
_DEEPEST, _MOST_MESSAGES = 16, 4096


def convert_keras(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert the `.weights.h5` of a network of convolutions: `block1/layers/conv2d` becomes `block1.conv2d`.

    Kernels [height, width, in, out] become [out, in, height, width].

    Raises:
        UnsafeFileError: the file is damaged, or is written in a way that is not read.
    """
    (raw,) = members.values()
    try:
        found = dict(_Hdf5File(raw).list_arrays())
    except (struct.error, IndexError, ValueError, KeyError, RecursionError, OverflowError) as error:
        raise UnsafeFileError("the HDF5 file is damaged", got=repr(error)) from error
    tensors: dict[str, Array] = {}
    for path, array in found.items():
        layer, _, number = path.replace("/layers/", "/").partition("/vars/")
        kind = "weight" if number == "0" else "bias"
        tensors[f"{layer.replace('/', '.')}.{kind}"] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    if not tensors:
        raise UnsafeFileError("the HDF5 file holds no numbers")
    return ConvertedPart(tensors)


class _Hdf5File:
    """Walk the groups of a file. A leaf."""

    def __init__(self, raw: bytes) -> None:
        # Version 0, with addresses and lengths of eight bytes.
        if raw[:8] != _SIGNATURE or raw[8] != 0 or raw[13:15] != b"\x08\x08":
            raise UnsafeFileError("it is no HDF5 file that is read here", got=raw[:16].hex())
        self._raw = raw

    def list_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield every array by its path."""
        # The entry of the root group lies behind the superblock: its name, then the address of its header.
        yield from self._walk(self._read_number(64), "", _DEEPEST)

    def _walk(self, header: int, path: str, depth: int) -> Iterator[tuple[str, Array]]:
        if depth == 0:
            raise ValueError("groups lie too deep")
        messages = dict(self._list_messages(header))
        if _GROUP in messages:
            tree, heap = struct.unpack_from("<QQ", self._raw, messages[_GROUP])
            for name, child in self._list_children(tree, self._read_number(heap + 24), depth):
                yield from self._walk(child, f"{path}/{name}" if path else name, depth - 1)
        elif _LAYOUT in messages:
            yield path, self._read_array(messages)

    def _list_messages(self, header: int) -> Iterator[tuple[int, int]]:
        """Yield the number of each message of an object header and the place of its content."""
        version, _, count = struct.unpack_from("<BBH", self._raw, header)
        if version != 1 or count > _MOST_MESSAGES:
            raise ValueError("an object header of another version")
        pieces = [(header + 16, self._read_number(header + 8, "<I"))]
        while pieces and count:
            at, size = pieces.pop(0)
            end = at + size
            while at + 8 <= end and count:
                kind, length = struct.unpack_from("<HH", self._raw, at)
                count -= 1
                if kind == _CONTINUED:
                    pieces.append(struct.unpack_from("<QQ", self._raw, at + 8))
                else:
                    yield kind, at + 8
                at += 8 + length

    def _list_children(self, tree: int, names: int, depth: int) -> Iterator[tuple[str, int]]:
        """Yield the name and the header of each object of a group."""
        if depth == 0 or self._raw[tree : tree + 4] != b"TREE":
            raise ValueError("no B-tree where one should be")
        level, count = struct.unpack_from("<BH", self._raw, tree + 5)
        for number in range(count):
            # A key of eight bytes stands before each child.
            child = self._read_number(tree + 24 + 16 * number + 8)
            if level:
                yield from self._list_children(child, names, depth - 1)
            else:
                yield from self._list_entries(child, names)

    def _list_entries(self, node: int, names: int) -> Iterator[tuple[str, int]]:
        if self._raw[node : node + 4] != b"SNOD":
            raise ValueError("no node of names where one should be")
        for number in range(self._read_number(node + 6, "<H")):
            name, header = struct.unpack_from("<QQ", self._raw, node + 8 + 40 * number)
            end = self._raw.index(b"\0", names + name)
            yield self._raw[names + name : end].decode("ascii"), header

    def _read_array(self, messages: Mapping[int, int]) -> Array:
        kind, space, layout = messages[_TYPE], messages[_SPACE], messages[_LAYOUT]
        if self._raw[kind] & 0x0F != _FLOAT_CLASS or self._read_number(kind + 4, "<I") != _FLOAT_BYTES:
            raise ValueError("numbers that are no fp32")
        if self._raw[kind + 1] & 1 or self._raw[layout : layout + 2] != bytes((3, _CONTIGUOUS)):
            raise ValueError("numbers that lie in pieces, or of the other byte order")
        shape = struct.unpack_from(f"<{self._raw[space + 1]}Q", self._raw, space + 8)
        at, size = struct.unpack_from("<QQ", self._raw, layout + 2)
        if size != math.prod(shape) * _FLOAT_BYTES or at + size > len(self._raw):
            raise ValueError("an array that reaches outside of the file")
        return np.frombuffer(self._raw, "<f4", math.prod(shape), at).reshape(shape)

    def _read_number(self, at: int, kind: str = "<Q") -> int:
        return int(struct.unpack_from(kind, self._raw, at)[0])
