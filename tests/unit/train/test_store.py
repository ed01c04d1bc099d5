"""Rows and notes stay together, also after a crash of the writer."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.core.errors import StorageError
from sfumato.train.store import ExampleStore


def test_rows_and_notes_come_back(tmp_path: Path) -> None:
    store = ExampleStore(tmp_path, (2, 2), "uint8")
    store.append(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), ["first", "second"])
    assert len(store) == 2
    assert store.open_rows()[1].tolist() == [[4, 5], [6, 7]]
    assert store.read_notes() == ["first", "second"]


def test_a_torn_row_is_dropped(tmp_path: Path) -> None:
    store = ExampleStore(tmp_path, (2, 2), "uint8")
    store.append(np.zeros((1, 2, 2), np.uint8), ["whole"])
    for name, tail in (("rows.bin", b"xy"), ("notes.jsonl", b'"torn"\n')):
        with (tmp_path / name).open("ab") as file:
            file.write(tail)
    store.trim()
    store.append(np.ones((1, 2, 2), np.uint8), ["next"])
    assert store.open_rows()[1].tolist() == [[1, 1], [1, 1]]
    assert store.read_notes() == ["whole", "next"]


def test_overwritten_rows_show_in_what_was_mapped_before(tmp_path: Path) -> None:
    store = ExampleStore(tmp_path, (2,), "uint8")
    store.append(np.zeros((3, 2), np.uint8), ["a", "b", "c"])
    mapped = store.open_rows()
    store.overwrite(1, np.full((2, 2), 7, np.uint8))
    assert mapped.tolist() == [[0, 0], [7, 7], [7, 7]]
    assert len(store) == 3
    for first in (-1, 2):
        with pytest.raises(StorageError):
            store.overwrite(first, np.ones((2, 2), np.uint8))


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    store = ExampleStore(tmp_path, (2, 2), "uint8")
    with pytest.raises(StorageError):
        store.append(np.zeros((1, 3, 2), np.uint8), ["x"])
    with pytest.raises(StorageError):
        store.open_rows()
