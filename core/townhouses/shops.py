"""Shopfronts: fascia, display window, door, awning."""

import numpy as np
from numpy.typing import NDArray

from townhouses.canvas import Array, Canvas, Points, Rect, Shape
from townhouses.classes import Colour
from townhouses.materials import glass, mix

SHOPS: dict[str, Colour] = {"shop_green": (28, 72, 60), "shop_navy": (34, 46, 82), "shop_wine": (104, 30, 44)}
AWNINGS: dict[str, Colour] = {"awning_red": (196, 60, 58), "awning_teal": (44, 128, 124)}
GILT: Colour = (232, 194, 104)


def shop(canvas: Canvas, rect: Rect, label: str, awning: str | None) -> None:
    """Draw a shop that fills a ground floor: sign above, glazed door in the middle, a display on each side."""
    left, top, right, bottom = rect
    line, colour = canvas.line, SHOPS[label]
    dark: Colour = (int(colour[0] * 0.66), int(colour[1] * 0.66), int(colour[2] * 0.66))
    canvas.fill(rect, colour, label)
    fascia = top + canvas.px(3)
    _sign(canvas, (left, top, right, fascia))
    canvas.fill((left, top, right, top + line), (222, 212, 192), "cornice")
    middle = (left + right) / 2
    half = canvas.px(2) + canvas.line / 2
    inside, sill_y = fascia + line, bottom - canvas.px(2.5)
    for x0, x1 in ((left + line, middle - half - line), (middle + half + line, right - line)):
        _display(canvas, (round(x0), inside, round(x1), sill_y))
        canvas.fill((round(x0) + line, sill_y + line, round(x1) - line, bottom - line), dark)
    glazed = (round(middle - half), inside, round(middle + half), bottom - canvas.px(2))
    canvas.fill(glazed, glass(glazed), "shop_window", glow=(228, 176, 96))
    canvas.fill((middle - line / 2, inside, middle + line / 2, bottom), colour)
    if awning is not None:
        _awning(canvas, (left, fascia, right, fascia + canvas.px(4)), awning)


def _sign(canvas: Canvas, board: Rect) -> None:
    """Draw gilt capitals as uprights one line wide, alternately long and short."""
    left, top, right, bottom = board
    line = canvas.line
    middle, reach = (left + right) / 2, (right - left) * 0.3
    high, low = top + 1.6 * line, bottom - 0.4 * line

    def letters(x: Points, y: Points) -> NDArray[np.bool_]:
        place = np.floor(np.abs(x - middle) / line + 0.5)
        tall = np.where(place % 4 == 0, 0.0, (low - high) * 0.3)
        result: NDArray[np.bool_] = (place % 2 == 0) & (np.abs(x - middle) < reach) & (y > high + tall) & (y < low)
        return result

    shape: Shape = letters
    canvas.fill((left, high, right, low), GILT, shape=shape, glow=(190, 140, 60))


def _display(canvas: Canvas, pane: Rect) -> None:
    """Draw a large pane with goods on a shelf behind it, lit all night."""
    left, top, right, bottom = pane
    line = canvas.line
    middle, half = (left + right) / 2, max((right - left) / 2, 1)

    def goods(x: Points, y: Points) -> NDArray[np.bool_]:
        place = np.abs(x - middle) / half
        height = (0.26 + 0.12 * (np.floor(place * 4) % 2)) * (bottom - top)
        result: NDArray[np.bool_] = (y > bottom - height) & (np.floor(np.abs(x - middle) / line + 0.5) % 3 != 2)
        return result

    def light(x: Points, y: Points) -> Array:
        return mix((255, 226, 160), (224, 150, 72), np.clip((y - top) / (bottom - top), 0, 1) + 0 * x)

    canvas.fill(pane, glass(pane), "shop_window", glow=light)
    canvas.fill(pane, (206, 156, 108), shape=goods, glow=(150, 84, 40))
    canvas.shadow((left, top, right, top + 2.5 * canvas.unit), 0.5)


def _awning(canvas: Canvas, rect: Rect, label: str) -> None:
    """Draw a striped awning with a scalloped edge, and its shadow on the shop."""
    left, top, right, bottom = rect
    stripe = canvas.px(2)
    middle = (left + right) / 2
    colour = AWNINGS[label]
    canvas.shadow((left, bottom, right, bottom + 4 * canvas.unit), 0.55)

    def cloth(x: Points, y: Points) -> Array:
        even = np.floor(np.abs(x - middle) / stripe + 0.5) % 2 == 0
        slope = np.where(y > bottom - canvas.line, 0.8, 1.0 - 0.16 * (bottom - y) / (bottom - top))
        base = np.where(even[..., None], np.array(colour, np.float32), np.array((244, 236, 222), np.float32))
        return (base * slope[..., None]).astype(np.float32)

    def edge(x: Points, y: Points) -> NDArray[np.bool_]:
        scallop = np.abs((np.abs(x - middle) / stripe + 0.5) % 1 - 0.5)
        result: NDArray[np.bool_] = y < bottom - np.where(scallop > 0.3, 0.5 * canvas.line, 0.0)
        return result

    canvas.name(rect, label)
    canvas.fill(rect, cloth, shape=edge)
