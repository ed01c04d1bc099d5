"""The interface of every finder.

Knows no network. Start reading at `Finder`.
"""

from __future__ import annotations

from typing import Protocol

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found


class Finder(Protocol):
    """Find things of some kinds in a picture of any size."""

    @property
    def name(self) -> str:
        """Name the finder as `Found.by` does."""
        ...

    @property
    def kinds(self) -> frozenset[str]:
        """Return the kinds of things it can find."""
        ...

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Return what is there, the surest first, each thing once.

        A picture larger than memory is read in pieces.
        """
        ...
