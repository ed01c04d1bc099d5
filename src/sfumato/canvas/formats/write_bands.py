"""Write a picture in bands of rows, from top to bottom, into a file that is whole or absent.

One interface over every format; what a format does with rows is a `BandSink`. Knows no format.
Start reading at `BandWriter`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import RequestError
from sfumato.core.files import make_storage_error
from sfumato.core.geometry import PixelSize


class BandSink(Protocol):
    """What a format does with rows. Each may raise OSError; `discard` may always be called."""

    def start(self) -> None:
        """Open what is written under a name of its own."""
        ...

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, uint8 [n, width, 3], in any number."""
        ...

    def finish(self) -> None:
        """Give what was written its name."""
        ...

    def discard(self) -> None:
        """Remove what was written."""
        ...


class BandWriter:
    """Take the rows of a picture in bands of any height; nothing is at `path` before `finish`.

    As a context it finishes, or aborts when the block is left by an error.
    """

    def __init__(self, path: Path, size: PixelSize, sink: BandSink) -> None:
        """Start the file beside its place.

        Raises:
            StorageError: the disk refuses.
        """
        self.path, self.size = path, size
        self.rows_written = 0
        self._sink, self._open = sink, True
        self._attempt(sink.start)

    def write_band(self, rows: NDArray[np.uint8]) -> None:
        """Append rows, uint8 [n, width, 3].

        Raises:
            RequestError: another shape or type, more rows than the picture has, or the file is closed.
            StorageError: the disk refuses; what was written is removed, and nothing is at `path`
                that was not there before.
        """
        self._check(rows)
        if not len(rows):
            return
        self._attempt(lambda: self._sink.write(rows))
        self.rows_written += len(rows)

    def finish(self) -> None:
        """Give the whole picture its name.

        Raises:
            RequestError: rows are missing; what was written is removed.
            StorageError: the disk refuses; what was written is removed.
        """
        if not self._open:
            raise RequestError("the picture is closed already", got=str(self.path))
        if self.rows_written < self.size.height:
            self.abort()
            got = f"{self.rows_written} of {self.size.height} rows"
            raise RequestError("the picture is not complete", got=got, do="Write every band before finish().")
        self._attempt(self._sink.finish)
        self._open = False

    def abort(self) -> None:
        """Remove what was written; does nothing after `finish`."""
        if self._open:
            self._open = False
            self._sink.discard()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Finish, or abort after an error."""
        if kind is not None:
            self.abort()
        elif self._open:
            self.finish()

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self.abort()
            raise make_storage_error(self.path, error) from error
        except BaseException:
            # Also Ctrl-C: half a picture is of no use to anyone.
            self.abort()
            raise

    def _check(self, rows: NDArray[np.uint8]) -> None:
        if not self._open:
            raise RequestError("the picture is closed", got=str(self.path))
        if rows.dtype != np.uint8 or rows.ndim != 3 or rows.shape[1:] != (self.size.width, 3):
            got = f"{rows.dtype} {list(rows.shape)}"
            raise RequestError(f"a band is uint8 [n, {self.size.width}, 3]", got=got)
        if self.rows_written + len(rows) > self.size.height:
            got = f"{len(rows)} rows after {self.rows_written}"
            raise RequestError(f"the picture has {self.size.height} rows", got=got)
