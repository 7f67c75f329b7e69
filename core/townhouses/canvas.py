"""Canvas several times finer than the picture, with class ids, colours by day and lights by night."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from townhouses.classes import IDS, Colour

Array = NDArray[np.float32]
Points = NDArray[np.float64]
Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the picture."""
Field = Callable[[Points, Points], Points]
"""Function from columns x (1, w) and rows y (h, 1), in pixels of the picture, to a value at each point (h, w)."""
Paint = Callable[[Points, Points], Array]
"""Function like `Field`, to colours (h, w, 3) or anything that broadcasts to them."""
Shape = Callable[[Points, Points], NDArray[np.bool_]]
"""Function like `Field`, to whether a point is inside."""


class Canvas:
    """Layers of a picture of `size` pixels a side.

    Attributes:
        ids: class ids at the size of the picture, uint8 (size, size), not smoothed.
        albedo: colours in daylight, 0 to 255, float32, `fine` times finer than the picture.
        glow: light emitted by night, same shape and unit.
        lamps: (x, y, reach) of each light that illuminates its surroundings.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Lines lie on whole pixels anyway; only slopes and curves need a finer canvas, and less so in large pictures.
        self.fine = 4 if size <= 128 else 2
        self.unit = size / 64
        self.line = max(1, round(size / 128))
        self.ids: NDArray[np.uint8] = np.zeros((size, size), np.uint8)
        self.albedo: Array = np.zeros((size * self.fine, size * self.fine, 3), np.float32)
        self.glow: Array = np.zeros_like(self.albedo)
        self.lamps: list[tuple[float, float, float]] = []
        self._fine_points: Points = (np.arange(size * self.fine, dtype=np.float64) + 0.5) / self.fine
        self._points: Points = np.arange(size, dtype=np.float64) + 0.5

    def px(self, units: float) -> int:
        """Return a length given in 64ths of the picture, in whole pixels, at least one."""
        return max(1, round(units * self.unit))

    def fill(
        self,
        rect: Rect,
        paint: Colour | Paint,
        label: str | None = None,
        shape: Shape | None = None,
        glow: Colour | Paint | None = None,
    ) -> None:
        """Paint over a rectangle, or the part of it inside a shape, by day and by night.

        Args:
            rect: the rectangle.
            paint: a colour, or a function of the position.
            label: the class; None keeps the previous class.
            shape: the points of the rectangle to paint; None: all.
            glow: emitted light, none by default.
        """
        rows, columns = self._window(rect, self.fine)
        x, y = self._fine_points[None, columns], self._fine_points[rows, None]
        if x.size == 0 or y.size == 0:
            return
        inside = None if shape is None else shape(x, y)
        _lay(self.albedo[rows, columns], paint, x, y, inside)
        _lay(self.glow[rows, columns], glow or (0, 0, 0), x, y, inside)
        if label is not None:
            self.name(rect, label, shape)

    def name(self, rect: Rect, label: str, shape: Shape | None = None) -> None:
        """Set the class of a rectangle, or of its pixels with a centre inside a shape, without painting."""
        rows, columns = self._window(rect, 1)
        inside = ... if shape is None else shape(self._points[None, columns], self._points[rows, None])
        self.ids[rows, columns][inside] = IDS[label]

    def shade(self, rect: Rect, field: Field | float, shape: Shape | None = None) -> None:
        """Multiply colours and lights by a factor, or by a field of factors."""
        rows, columns = self._window(rect, self.fine)
        x, y = self._fine_points[None, columns], self._fine_points[rows, None]
        factor = np.asarray(field(x, y) if callable(field) else field, np.float32)
        if shape is not None:
            factor = np.where(shape(x, y), factor, np.float32(1))
        for layer in (self.albedo, self.glow):
            layer[rows, columns] *= factor if factor.ndim == 0 else factor[..., None]

    def shadow(self, rect: Rect, strength: float) -> None:
        """Draw a shadow cast downwards: `strength` at the rectangle's top, nothing at its bottom."""
        _, top, _, bottom = rect
        self.shade(rect, lambda x, y: 1 - strength * (bottom - y) / (bottom - top) + 0 * x)

    def reduced(self) -> tuple[Array, Array]:
        """Return albedo and glow at the size of the picture: each pixel is the mean of its points."""
        return _shrink(self.albedo, self.fine), _shrink(self.glow, self.fine)

    def _window(self, rect: Rect, scale: int) -> tuple[slice, slice]:
        left, top, right, bottom = (min(max(round(edge * scale), 0), self.size * scale) for edge in rect)
        return slice(top, max(top, bottom)), slice(left, max(left, right))


def _lay(
    layer: Array,
    paint: Colour | Paint,
    x: Points,
    y: Points,
    inside: NDArray[np.bool_] | None,
) -> None:
    colours = paint(x, y) if callable(paint) else np.array(paint, np.float32)
    if inside is None:
        layer[...] = colours
    else:
        np.copyto(layer, colours, where=inside[..., None], casting="same_kind")


def _shrink(layer: Array, fine: int) -> Array:
    # Added one by one: the order of a library's sum, and with it the last bit, may differ between machines.
    rows = layer[0::fine].copy()
    for i in range(1, fine):
        rows += layer[i::fine]
    total = rows[:, 0::fine].copy()
    for i in range(1, fine):
        total += rows[:, i::fine]
    return total / np.float32(fine * fine)


def disc(x0: float, y0: float, radius: float) -> Shape:
    """Return the points within a radius of (x0, y0)."""
    return lambda x, y: (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius


def tapered(rect: Rect, top_width: float) -> Shape:
    """Return a symmetric trapezoid standing in a rectangle; `top_width` 0 is a gable, a fraction a mansard roof."""
    left, top, right, bottom = rect
    middle, half = (left + right) / 2, (right - left) / 2

    def inside(x: Points, y: Points) -> NDArray[np.bool_]:
        down = (y - top) / (bottom - top)
        result: NDArray[np.bool_] = np.abs(x - middle) <= half * (top_width + (1 - top_width) * down)
        return result

    return inside


def arched(rect: Rect, rise: float) -> Shape:
    """Return a rectangle whose upper edge is an arch of height `rise`."""
    left, top, right, _ = rect
    middle, half = (left + right) / 2, (right - left) / 2

    def inside(x: Points, y: Points) -> NDArray[np.bool_]:
        below = 1 - np.clip((top + rise - y) / rise, 0, 1) ** 2
        result: NDArray[np.bool_] = ((x - middle) / half) ** 2 <= below
        return result

    return inside
