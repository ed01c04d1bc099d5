"""Ink: draws shapes on a skia canvas and, beside it, which part each pixel belongs to.

Scene units: the picture's height is 1, x grows right, y grows down; a point is a complex number. The style decides how
a fill looks (`photo`: shaded and soft, `cartoon`: flat and outlined). It knows no bodies and no scenes. Start reading at `Ink`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import skia
from numpy.typing import NDArray

from sfumato.world.palette import INK, Colour, darken, lighten

PHOTO_EDGE = 0.0035
"""Width of the soft edge of a shape in the photo style, in picture heights (half a pixel at 128 px)."""
CARTOON_EDGE = 0.011
"""Width of the cartoon outline for a shape of ordinary size (1.4 pixels at 128 px)."""


WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Window:
    """A part of a larger drawing, in pixels: where it begins, and the height and aspect of the whole."""

    left: int
    top: int
    whole_height: int
    whole_aspect: float


def _color(colour: Colour, alpha: float = 1.0, tint: Colour = WHITE) -> skia.Color4f:
    return skia.Color4f(colour[0] * tint[0], colour[1] * tint[1], colour[2] * tint[2], alpha)


def _make_noise_tile() -> skia.Image:
    """Make the seamless texture tile: three octaves of smooth noise around mid grey."""
    rng = np.random.default_rng(20261122)
    total = np.zeros((256, 256))
    for cells, weight in ((16, 0.5), (48, 0.3), (128, 0.2)):
        spectrum = np.fft.rfft2(rng.standard_normal((256, 256)))
        fy, fx = np.meshgrid(np.fft.fftfreq(256), np.fft.rfftfreq(256), indexing="ij")
        band = np.exp(-(((np.hypot(fx, fy) * 256 - cells) / (0.35 * cells)) ** 2))
        octave = np.fft.irfft2(spectrum * band, s=(256, 256))
        total += weight * octave / octave.std()
    grey = np.clip(128 + 44 * total / total.std(), 0, 255).astype(np.uint8)
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return skia.Image.fromarray(np.ascontiguousarray(pixels), colorType=skia.kRGBA_8888_ColorType)


_NOISE_TILE = _make_noise_tile()


class Ink:
    """A colour canvas and an id canvas of the same size, addressed in scene units.

    `part` of a drawing call is the id written to the id canvas (0: background, None: leaves the ids alone).
    `tint` is the colour of the light: every colour is multiplied by it, except inside `glowing()`. With a `window`
    only that part of the whole drawing is drawn.
    """

    def __init__(
        self, width_px: int, height_px: int, style: str, *, with_ids: bool, window: Window | None = None
    ) -> None:
        window = window or Window(0, 0, height_px, width_px / height_px)
        self.style = style
        self.light = "day"
        self.tint = WHITE
        self.aspect = window.whole_aspect
        self.edge_scale = 1.0
        self._pixels = np.zeros((height_px, width_px, 4), np.uint8)
        self._surface = skia.Surface(self._pixels)
        self.canvas: skia.Canvas = self._surface.getCanvas()
        self.canvas.translate(-window.left, -window.top)
        self.canvas.scale(window.whole_height, window.whole_height)
        self._ids = np.zeros((height_px, width_px, 4), np.uint8) if with_ids else None
        self._id_surface = skia.Surface(self._ids) if self._ids is not None else None
        self._id_canvas: skia.Canvas | None = self._id_surface.getCanvas() if self._id_surface else None
        if self._id_canvas is not None:
            self._id_canvas.translate(-window.left, -window.top)
            self._id_canvas.scale(window.whole_height, window.whole_height)

    def picture(self) -> NDArray[np.uint8]:
        """Return the colours, uint8 [H, W, 3]."""
        return np.ascontiguousarray(self._pixels[..., :3])

    def part_ids(self) -> NDArray[np.uint16]:
        """Return the topmost part of each pixel, uint16 [H, W]; 0 where no part was drawn."""
        assert self._ids is not None, "this ink keeps no ids"
        return self._ids[..., 0].astype(np.uint16) * 256 + self._ids[..., 1]

    @property
    def is_cartoon(self) -> bool:
        """Tell whether fills are flat and outlined."""
        return self.style == "cartoon"

    @contextmanager
    def glowing(self) -> Generator[None, None, None]:
        """Draw what shines by itself, such as a lit window: the light of the scene does not colour it."""
        tint, self.tint = self.tint, WHITE
        try:
            yield
        finally:
            self.tint = tint

    def shine(self, centre: complex, radius: float, colour: Colour, strength: float) -> None:
        """Add light around a point, full at the centre and none at the radius; ids stay as they are."""
        stops = [
            _color(colour, strength).toColor(),
            _color(colour, 0.35 * strength).toColor(),
            _color(colour, 0.0).toColor(),
        ]
        shader = skia.GradientShader.MakeRadial(skia.Point(centre.real, centre.imag), radius, stops, [0.0, 0.4, 1.0])
        paint = skia.Paint(AntiAlias=True, BlendMode=skia.BlendMode.kScreen, Shader=shader)
        self.canvas.drawCircle(centre.real, centre.imag, radius, paint)

    def ramp(self, path: skia.Path, ends: tuple[float, float], colours: Sequence[Colour]) -> None:
        """Fill a path with colours that change from the height ends[0] to ends[1]; ids stay as they are."""
        stops = [_color(colour, tint=self.tint).toColor() for colour in colours]
        shader = skia.GradientShader.MakeLinear([skia.Point(0, ends[0]), skia.Point(0, ends[1])], stops)
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader))

    def fill(
        self, path: skia.Path, colour: Colour, part: int | None = 0, *, shade: str = "flat", edge: bool = True
    ) -> None:
        """Fill a closed path; `shade` is flat, round (a ball lit from upper left), down (darker below) or side."""
        if edge:
            self.outline(path, colour)
        paint = skia.Paint(AntiAlias=True)
        if self.is_cartoon or shade == "flat":
            paint.setColor4f(_color(colour, tint=self.tint))
        else:
            paint.setShader(_make_shading(path.getBounds(), colour, shade, self.tint))
        self.canvas.drawPath(path, paint)
        self.mark(path, part)

    def mark(self, path: skia.Path, part: int | None) -> None:
        """Write the part's id where the path is, without touching the colours."""
        if part is None or self._id_canvas is None:
            return
        paint = skia.Paint(AntiAlias=False, Color=skia.Color(part >> 8, part & 255, 0))
        self._id_canvas.drawPath(path, paint)

    def outline(self, path: skia.Path, colour: Colour) -> None:
        """Draw the edge of a shape: dark ink in a cartoon, a thin darker rim in a photo."""
        width = (CARTOON_EDGE if self.is_cartoon else PHOTO_EDGE) * self.edge_scale
        tone = _color(INK, tint=self.tint) if self.is_cartoon else _color(darken(colour, 0.45), 0.7, self.tint)
        # The stroke is centred on the border and the fill comes after: twice the width shows once outside.
        paint = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=2 * width)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
        paint.setColor4f(tone)
        self.canvas.drawPath(path, paint)

    def tube(
        self,
        a: complex,
        b: complex,
        ra: float,
        rb: float,
        colour: Colour,
        part: int | None = 0,
        *,
        edge: bool = True,
    ) -> None:
        """Draw a tapered limb from a to b with radii ra and rb, shaded across its width."""
        path = tube_path(a, b, ra, rb)
        if edge:
            self.outline(path, colour)
        paint = skia.Paint(AntiAlias=True)
        if self.is_cartoon:
            paint.setColor4f(_color(colour, tint=self.tint))
        else:
            paint.setShader(_make_tube_shading(a, b, max(ra, rb), colour, self.tint))
        self.canvas.drawPath(path, paint)
        self.mark(path, part)

    def line(self, points: Sequence[complex], colour: Colour, width: float, part: int | None = None) -> None:
        """Draw an open polyline or, with three points, a quadratic curve through the middle control point."""
        path = skia.Path()
        path.moveTo(points[0].real, points[0].imag)
        if len(points) == 3:
            path.quadTo(points[1].real, points[1].imag, points[2].real, points[2].imag)
        else:
            for point in points[1:]:
                path.lineTo(point.real, point.imag)
        paint = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=width)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setColor4f(_color(colour, tint=self.tint))
        self.canvas.drawPath(path, paint)
        if part is not None and self._id_canvas is not None:
            paint.setAntiAlias(False)
            paint.setColor(skia.Color(part >> 8, part & 255, 0))
            self._id_canvas.drawPath(path, paint)

    def wash(self, path: skia.Path, colour: Colour, alpha: float) -> None:
        """Lay a transparent colour over a region: shadows, blush, reflections."""
        paint = skia.Paint(AntiAlias=True)
        paint.setColor4f(_color(colour, alpha, self.tint))
        self.canvas.drawPath(path, paint)

    def texture(self, path: skia.Path, strength: float, cell: float) -> None:
        """Lay soft noise over a region of a photo; `cell` is the tile's side in picture heights."""
        if self.is_cartoon:
            return
        matrix = skia.Matrix().setScale(cell / 256, cell / 256)
        shader = _NOISE_TILE.makeShader(
            skia.TileMode.kRepeat, skia.TileMode.kRepeat, skia.SamplingOptions(skia.FilterMode.kLinear), matrix
        )
        paint = skia.Paint(AntiAlias=True, BlendMode=skia.BlendMode.kOverlay, Shader=shader)
        paint.setAlphaf(strength)
        self.canvas.drawPath(path, paint)


def _make_shading(bounds: skia.Rect, colour: Colour, shade: str, tint: Colour) -> skia.Shader:
    light, dark = _color(lighten(colour, 0.22), tint=tint), _color(darken(colour, 0.28), tint=tint)
    cx, cy = bounds.centerX(), bounds.centerY()
    if shade == "round":
        centre = skia.Point(cx - 0.18 * bounds.width(), cy - 0.22 * bounds.height())
        radius = 0.72 * max(bounds.width(), bounds.height(), 1e-4)
        stops = [light.toColor(), _color(colour, tint=tint).toColor(), dark.toColor()]
        return skia.GradientShader.MakeRadial(centre, radius, stops, [0.0, 0.45, 1.0])
    ends = (
        [skia.Point(cx, bounds.top()), skia.Point(cx, bounds.bottom())]
        if shade == "down"
        else [skia.Point(bounds.left(), cy), skia.Point(bounds.right(), cy)]
    )
    stops = [_color(tone, tint=tint).toColor() for tone in (lighten(colour, 0.14), darken(colour, 0.22))]
    return skia.GradientShader.MakeLinear(ends, stops)


def _make_tube_shading(a: complex, b: complex, radius: float, colour: Colour, tint: Colour) -> skia.Shader:
    axis = b - a
    length = abs(axis) or 1e-6
    across = axis / length * 1j * radius
    # Light comes from the upper left: start the ramp on the side that faces it.
    if across.real + across.imag > 0:
        across = -across
    start, end = a + across, a - across
    ends = [skia.Point(start.real, start.imag), skia.Point(end.real, end.imag)]
    stops = [_color(tone, tint=tint).toColor() for tone in (lighten(colour, 0.16), colour, darken(colour, 0.30))]
    return skia.GradientShader.MakeLinear(ends, stops, [0.0, 0.45, 1.0])


def tube_path(a: complex, b: complex, ra: float, rb: float) -> skia.Path:
    """Make the outline of a tapered limb: two discs and the quadrilateral between them."""
    path = skia.Path()
    path.addCircle(a.real, a.imag, ra)
    path.addCircle(b.real, b.imag, rb)
    axis = b - a
    length = abs(axis)
    if length > 1e-9:
        side = axis / length * 1j
        corners = (a - side * ra, b - side * rb, b + side * rb, a + side * ra)  # the discs' direction, or holes appear
        path.addPoly([skia.Point(c.real, c.imag) for c in corners], True)
    return path


def oval_path(centre: complex, rx: float, ry: float, turn: float = 0.0) -> skia.Path:
    """Make an ellipse with half axes rx, ry, turned by `turn` radians."""
    path = skia.Path()
    path.addOval(skia.Rect.MakeLTRB(-rx, -ry, rx, ry))
    path.transform(skia.Matrix().setRotate(math.degrees(turn)).postTranslate(centre.real, centre.imag))
    return path


def poly_path(points: Sequence[complex], round_by: float = 0.0) -> skia.Path:
    """Make a closed polygon; `round_by` in [0, 0.5] pulls a smooth curve through the sides instead of corners."""
    path = skia.Path()
    if round_by <= 0.0:
        path.addPoly([skia.Point(p.real, p.imag) for p in points], True)
        return path
    count = len(points)
    for i, corner in enumerate(points):
        before, after = points[i - 1], points[(i + 1) % count]
        enter = corner + (before - corner) * round_by
        leave = corner + (after - corner) * round_by
        if i == 0:
            path.moveTo(enter.real, enter.imag)
        else:
            path.lineTo(enter.real, enter.imag)
        path.quadTo(corner.real, corner.imag, leave.real, leave.imag)
    path.close()
    return path


def box_path(left: float, top: float, right: float, bottom: float) -> skia.Path:
    """Make a rectangle."""
    path = skia.Path()
    path.addRect(skia.Rect.MakeLTRB(left, top, right, bottom))
    return path
