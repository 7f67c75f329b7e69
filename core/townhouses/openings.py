"""Windows, doors and balconies, in a wall or in front of it. Rectangles are in whole pixels."""

import numpy as np

from townhouses.canvas import Array, Canvas, Points, Rect, Shape, arched
from townhouses.classes import Colour
from townhouses.materials import curtains, glass, gradient, room_light

FRAME: Colour = (242, 238, 228)
FRAMES: dict[str, Colour] = {"sash": FRAME, "casement": (98, 66, 46)}
STONE: Colour = (228, 220, 202)
IRON: Colour = (32, 34, 40)
CLOTH: Colour = (226, 206, 168)
DOORS: dict[str, Colour] = {"door_red": (158, 34, 40), "door_blue": (34, 62, 118), "door_green": (26, 84, 62)}
SHUTTERS: dict[str, Colour] = {"shutter_green": (58, 104, 72), "shutter_blue": (62, 86, 132)}


def window(canvas: Canvas, rect: Rect, kind: str, curtain: bool, rise: float = 0.0) -> None:
    """Draw a framed window with its bars: `sash` or `casement`, flat or with an arch of `rise` pixels.

    A window with a curtain has somebody at home, and is lit by night.
    """
    line = canvas.line
    left, top, right, bottom = rect
    pane = (left + line, top + line, right - line, bottom - line)
    shape, inner = (arched(rect, rise), arched(pane, rise)) if rise else (None, None)
    canvas.fill(rect, FRAMES[kind], kind + "_curtain" * curtain, shape, glow=(14, 10, 6) if curtain else None)
    paint = curtains(pane, CLOTH) if curtain else glass(pane)
    canvas.fill(pane, paint, shape=inner, glow=room_light(pane) if curtain else None)
    _reveal(canvas, pane, inner)
    _bars(canvas, pane, kind, inner)


def _reveal(canvas: Canvas, pane: Rect, shape: Shape | None) -> None:
    """Draw the shadow of the wall's thickness on the upper edge of the glass."""
    left, top, right, bottom = pane
    end = min(bottom, top + 2.2 * canvas.unit)
    canvas.shade((left, top, right, end), lambda x, y: 0.5 + 0.5 * (y - top) / (end - top) + 0 * x, shape)


def _bars(canvas: Canvas, pane: Rect, kind: str, shape: Shape | None) -> None:
    line = canvas.line
    left, top, right, bottom = pane
    width, height = right - left, bottom - top
    if kind == "sash":
        across = [top + (height - line) // 2]
        third = (width - 2 * line) / 3
        down = [left + third, right - third - line] if width > 6 * line else [left + (width - line) / 2]
    else:
        across = [top + round(height * 0.32)]
        down = [left + (width - line) / 2]
    for y in across:
        canvas.fill((left, y, right, y + line), FRAMES[kind], shape=shape)
    for x in down:
        canvas.fill((x, top, x + line, bottom), FRAMES[kind], shape=shape)


def sill(canvas: Canvas, left: float, right: float, y: float) -> None:
    """Draw a stone ledge below a window, and its shadow."""
    line = canvas.line
    canvas.shadow((left - line, y + line, right + line, y + line + 2 * canvas.unit), 0.42)
    canvas.fill((left - line, y, right + line, y + line), STONE, "sill")


def lintel(canvas: Canvas, left: float, right: float, y: float) -> None:
    """Draw a stone beam above a window."""
    line = canvas.line
    canvas.fill((left - line, y - line, right + line, y), (214, 204, 184), "trim")


def architrave(canvas: Canvas, rect: Rect, rise: float = 0.0) -> None:
    """Draw a moulded surround one line wide; paint it before the window."""
    line = canvas.line
    left, top, right, bottom = rect
    around = (left - line, top - line, right + line, bottom)
    shape = arched(around, rise + line) if rise else None
    canvas.fill(around, gradient(top, bottom, (246, 242, 234), (220, 214, 202)), "trim", shape)


def flower_box(canvas: Canvas, left: float, right: float, y: float) -> None:
    """Draw geraniums on a sill, alternately blossoms and leaves."""
    line = canvas.line
    middle = (left + right) / 2
    top = y - max(line, canvas.px(1.4))

    def paint(x: Points, down: Points) -> Array:
        cell = np.floor(np.abs(x - middle) / line + 0.5) + np.floor((down - top) / line)
        flower = (cell % 2 == 0)[..., None]
        return np.where(flower, np.array((214, 52, 78), np.float32), np.array((60, 112, 48), np.float32))

    canvas.fill((left, top, right, y + line), paint, "flowers")
    canvas.fill((left, y, right, y + line), (112, 74, 50))


def shutters(canvas: Canvas, rect: Rect, label: str, width: float) -> None:
    """Draw louvred shutters, open on both sides of a window."""
    left, top, right, bottom = rect
    colour, line = SHUTTERS[label], canvas.line

    def paint(x: Points, y: Points) -> Array:
        slat = np.where(np.floor((y - top) / line) % 2 == 0, 1.08, 0.72) + 0 * x
        return np.array(colour, np.float32) * slat[..., None].astype(np.float32)

    for x0, x1 in ((left - width, left), (right, right + width)):
        canvas.fill((x0, top, x1, bottom), paint, label)


def balcony(canvas: Canvas, left: float, right: float, y: float, height: int) -> None:
    """Draw a slab at a floor's height with an iron railing; the wall shows between the bars."""
    line = canvas.line
    middle = (left + right) / 2
    rail = (left, y - height, right, y)
    canvas.shadow((left - line, y + line, right + line, y + line + 3.5 * canvas.unit), 0.55)
    canvas.name(rail, "balcony")
    canvas.shade(rail, 0.8)
    bars: Shape = lambda x, down: (np.floor(np.abs(x - middle) / line + 0.5) % 2 == 0) & (down > 0)  # noqa: E731
    canvas.fill(rail, IRON, shape=bars)
    canvas.fill((left, y - height, right, y - height + line), IRON)
    canvas.fill((left - line, y, right + line, y + line), STONE, "balcony")


def door(canvas: Canvas, rect: Rect, label: str, arch: bool) -> None:
    """Draw a panelled door in a stone surround, a fanlight above it and a step below."""
    line = canvas.line
    left, top, right, bottom = rect
    rise = (right - left) / 2 if arch else 0.0
    architrave(canvas, rect, rise)
    light = (left, top, right, top + (round(rise) if arch else canvas.px(2)))
    canvas.fill(light, glass(light), "fanlight", arched(light, rise) if arch else None, room_light(light))
    middle = (left + right) / 2
    canvas.fill((middle - line / 2, top, middle + line / 2, light[3]), FRAME)
    leaf = (left, light[3], right, bottom)
    canvas.fill((left, light[3] - line, right, light[3]), FRAME, "trim")
    canvas.fill(leaf, DOORS[label], label)
    _panels(canvas, leaf, DOORS[label])
    canvas.shadow((left, light[3], right, light[3] + 1.5 * canvas.unit), 0.4)
    step = max(line, canvas.px(1))
    canvas.fill((left - 2 * line, bottom - step, right + 2 * line, bottom), (206, 200, 188), "step")
    canvas.fill((left - 2 * line, bottom - line / 2, right + 2 * line, bottom), (150, 144, 134))


def _panels(canvas: Canvas, leaf: Rect, colour: Colour) -> None:
    left, top, right, bottom = leaf
    line = canvas.line
    dark: Colour = (int(colour[0] * 0.6), int(colour[1] * 0.6), int(colour[2] * 0.6))
    middle, gap = (left + right) / 2, line / 2
    first, last = top + line, bottom - line - canvas.px(1)
    for y0, y1 in ((first, (first + last) / 2), ((first + last) / 2, last)):
        for x0, x1 in ((left + line, middle - gap), (middle + gap, right - line)):
            canvas.fill((x0, y0, x1, y1 - line), dark)
    half = max(0.5, canvas.unit / 4)
    knob = (top + bottom) / 2
    canvas.fill((middle - half, knob - half, middle + half, knob + half), (236, 200, 96), glow=(60, 48, 20))
