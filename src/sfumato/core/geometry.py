"""Sizes and boxes in the two spaces, pixels and latent cells, and every way between them.

The spaces are different types, so a box of cells cannot be used where pixels are meant. This
module knows no tensor and no model: the number of pixels per cell (`factor`) is always given.
Words and constructors say width before height; tensors say height before width (`shape_hw`).
Start reading at `PixelSize`, then `_Box`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from sfumato.core.errors import RequestError

_SIZE_TEXT = re.compile(r"(\d{1,9})\s*[xX×]\s*(\d{1,9})")


@dataclass(frozen=True, slots=True, order=True)
class _Size:
    """A width and a height, both at least 1, in the unit that the leaf class names."""

    width: int
    height: int

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            _check_whole(f"the {name} of a {type(self).__name__}", getattr(self, name), least=1)

    @property
    def area(self) -> int:
        """Count the cells or pixels."""
        return self.width * self.height

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Return (height, width), the order of tensors and arrays."""
        return (self.height, self.width)

    def __str__(self) -> str:
        """Write it the way people say it: width x height."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, order=True)
class PixelSize(_Size):
    """A size in pixels."""

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """Read `1024x576`.

        Raises:
            RequestError: the text is not two whole numbers with an x between them.
        """
        match = _SIZE_TEXT.fullmatch(text.strip())
        if match is None:
            raise RequestError("a size is written WIDTHxHEIGHT", got=text, do="Write for example 1024x576.")
        sides = int(match[1]), int(match[2])
        if not all(sides):
            raise RequestError("a side has at least 1 pixel", got=text, do="Write for example 1024x576.")
        return cls(*sides)

    def to_latent(self, factor: int) -> LatentSize:
        """Convert to cells of `factor` pixels.

        Raises:
            RequestError: a side is not a whole number of cells.
        """
        if self.width % factor or self.height % factor:
            fit = f"{_round_up(self.width, factor)}x{_round_up(self.height, factor)}"
            raise RequestError(f"a size has to be a multiple of {factor} pixels", got=str(self), do=f"Ask for {fit}.")
        return LatentSize(self.width // factor, self.height // factor)

    def round_up(self, factor: int) -> PixelSize:
        """Grow both sides to the next multiple of `factor` pixels."""
        return PixelSize(_round_up(self.width, factor), _round_up(self.height, factor))

    @property
    def box(self) -> PixelBox:
        """Return the whole canvas as a box."""
        return PixelBox(0, 0, self.width, self.height)


@dataclass(frozen=True, slots=True, order=True)
class LatentSize(_Size):
    """A size in latent cells."""

    def to_pixels(self, factor: int) -> PixelSize:
        """Convert to pixels, `factor` of them per cell."""
        return PixelSize(self.width * factor, self.height * factor)

    @property
    def box(self) -> LatentBox:
        """Return the whole canvas as a box."""
        return LatentBox(0, 0, self.width, self.height)


@dataclass(frozen=True, slots=True, order=True)
class _Box:
    """A half-open rectangle: `left` and `top` are inside, `right` and `bottom` are not.

    May lie partly or fully outside a canvas (coordinates can be negative) but is never empty.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        for name in ("left", "top", "right", "bottom"):
            _check_whole(f"the {name} of a {type(self).__name__}", getattr(self, name))
        if self.right <= self.left or self.bottom <= self.top:
            raise RequestError(
                f"a {type(self).__name__} has to have an inside",
                got=(self.left, self.top, self.right, self.bottom),
                do="Give left < right and top < bottom.",
            )

    @property
    def width(self) -> int:
        """Return right minus left."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Return bottom minus top."""
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """Count the cells or pixels inside."""
        return self.width * self.height

    @property
    def slices_hw(self) -> tuple[slice, slice]:
        """Return (rows, columns) to index the last two axes of an array; the box has to be on the canvas."""
        assert self.left >= 0, "a negative slice would silently count from the far side"
        assert self.top >= 0, "a negative slice would silently count from the far side"
        return (slice(self.top, self.bottom), slice(self.left, self.right))

    def shift(self, dx: int, dy: int) -> Self:
        """Move by dx to the right and dy down."""
        return type(self)(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)

    def grow(self, margin: int) -> Self:
        """Move each side outwards by `margin` (inwards when negative)."""
        return type(self)(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def contains(self, other: Self) -> bool:
        """Tell whether `other` lies fully inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom

    def find_overlap(self, other: Self) -> Self | None:
        """Return the part that lies in both boxes, or None when they only touch or are apart."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        if left >= right or top >= bottom:
            return None
        return type(self)(left, top, right, bottom)

    def _clip_to(self, width: int, height: int) -> Self:
        inside = self.find_overlap(type(self)(0, 0, width, height))
        if inside is None:
            raise RequestError(f"a {type(self).__name__} lies outside the {width}x{height} canvas", got=self)
        return inside


@dataclass(frozen=True, slots=True, order=True)
class PixelBox(_Box):
    """A box in pixels."""

    @property
    def size(self) -> PixelSize:
        """Return width and height."""
        return PixelSize(self.width, self.height)

    def clip(self, size: PixelSize) -> PixelBox:
        """Keep what lies on a canvas of `size`.

        Raises:
            RequestError: nothing is left.
        """
        return self._clip_to(size.width, size.height)

    def to_latent(self, factor: int) -> LatentBox:
        """Convert to cells.

        Raises:
            RequestError: a side is not on the grid of cells (see `snap_out`).
        """
        sides = (self.left, self.top, self.right, self.bottom)
        if any(side % factor for side in sides):
            raise RequestError(f"a box has to lie on a grid of {factor} pixels", got=sides)
        return LatentBox(*(side // factor for side in sides))

    def snap_out(self, factor: int) -> PixelBox:
        """Grow to the smallest box on the grid of `factor` pixels that holds this one."""
        left, top = self.left // factor * factor, self.top // factor * factor
        return PixelBox(left, top, _round_up(self.right, factor), _round_up(self.bottom, factor))


@dataclass(frozen=True, slots=True, order=True)
class LatentBox(_Box):
    """A box in latent cells."""

    @property
    def size(self) -> LatentSize:
        """Return width and height."""
        return LatentSize(self.width, self.height)

    def clip(self, size: LatentSize) -> LatentBox:
        """Keep what lies on a canvas of `size`.

        Raises:
            RequestError: nothing is left.
        """
        return self._clip_to(size.width, size.height)

    def to_pixels(self, factor: int) -> PixelBox:
        """Convert to pixels, `factor` of them per cell."""
        return PixelBox(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


def _round_up(value: int, factor: int) -> int:
    return -(-value // factor) * factor


def _check_whole(what: str, value: object, *, least: int | None = None) -> None:
    # bool is an int in Python, and True pixels is always a mistake.
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{what} is a whole number", got=value)
    if least is not None and value < least:
        raise RequestError(f"{what} is at least {least}", got=value)
