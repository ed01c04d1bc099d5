"""A growing table of examples on disk: fixed-shape arrays plus one JSON line each.

Rows are appended by one writer while readers look at what is finished. It knows no pictures and
no world. Start reading at `ExampleStore.append`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfumato.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class ExampleStore:
    """Hold rows of one shape and type in `<folder>/rows.bin` and their notes in `notes.jsonl`. A leaf."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: str) -> None:
        """Open the table, or start an empty one."""
        self.folder, self.shape, self.dtype = folder, shape, np.dtype(dtype)
        self.row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        folder.mkdir(parents=True, exist_ok=True)
        self._rows, self._notes = folder / "rows.bin", folder / "notes.jsonl"
        self._rows.touch()
        self._notes.touch()

    def __len__(self) -> int:
        """Count the rows that are whole on disk."""
        return self._rows.stat().st_size // self.row_bytes

    def append(self, rows: NDArray[Any], notes: Sequence[object]) -> None:
        """Add rows and their notes; the notes go first, so that every whole row has one.

        Raises:
            StorageError: rows and notes do not fit this table.

        """
        if rows.shape[1:] != self.shape or rows.dtype != self.dtype or len(rows) != len(notes):
            raise StorageError(
                "These rows do not fit the table",
                got=(rows.shape, str(rows.dtype), len(notes)),
                do=f"Expected {self.shape} {self.dtype}.",
            )
        with self._notes.open("a") as file:
            file.writelines(json.dumps(note) + "\n" for note in notes)
        with self._rows.open("ab") as file:
            file.write(np.ascontiguousarray(rows).tobytes())

    def overwrite(self, first: int, rows: NDArray[Any]) -> None:
        """Replace whole rows in place, from row `first` on; readers that have them mapped see the new ones.

        Raises:
            StorageError: the rows do not fit this table, or lie beyond its end.

        """
        fits = rows.shape[1:] == self.shape and rows.dtype == self.dtype and 0 <= first <= len(self) - len(rows)
        if not fits:
            got = (first, rows.shape, str(rows.dtype), len(self))
            raise StorageError("These rows do not fit the table", got=got, do=f"Expected {self.shape} {self.dtype}.")
        with self._rows.open("r+b") as file:
            file.seek(first * self.row_bytes)
            file.write(np.ascontiguousarray(rows).tobytes())

    def open_rows(self) -> NDArray[Any]:
        """Map all whole rows read-only: [N, *shape]."""
        count = len(self)
        if count == 0:
            raise StorageError("The table is empty", got=str(self.folder), do="Run the stage that fills it.")
        return np.memmap(self._rows, dtype=self.dtype, mode="r", shape=(count, *self.shape))

    def read_notes(self) -> list[Any]:
        """Return the notes of all whole rows."""
        with self._notes.open() as file:
            return [json.loads(line) for _, line in zip(range(len(self)), file, strict=False)]

    def trim(self) -> None:
        """Drop a torn last row and notes without a row, after a crash of the writer."""
        count = len(self)
        with self._rows.open("r+b") as file:
            file.truncate(count * self.row_bytes)
        notes = self.read_notes()
        self._notes.write_text("".join(json.dumps(note) + "\n" for note in notes))


def choose_table(lengths: Sequence[int], step: int) -> int:
    """Return which of several tables a step learns from: chances follow their lengths, the same step the same table."""
    return random.Random(step).choices(range(len(lengths)), lengths)[0]
