"""Surroundings of the houses: sky, clouds, pavement, road, lamps and trees."""

import numpy as np
from numpy.typing import NDArray

from townhouses.canvas import Array, Canvas, Points, Shape, disc
from townhouses.chance import Chance
from townhouses.materials import gradient, leaves, mix
from townhouses.openings import IRON

GROUND = 59.0
"""Upper edge of the pavement, in 64ths of the picture."""


def sky(canvas: Canvas, chance: Chance) -> None:
    """Draw a clear sky, stars that are the same in every picture, and some clouds."""
    size, line = canvas.size, canvas.line

    def stars(x: Points, y: Points) -> Array:
        column, row = np.floor(x / line), np.floor(y / line)
        bright = (column * 37 + row * 91 + (column * row) % 53) % 167 == 0
        return np.where(bright[..., None], np.array((168, 172, 190), np.float32), np.float32(0))

    canvas.fill((0, 0, size, size), gradient(0, 0.8 * size, (118, 172, 224), (222, 232, 236)), "sky", glow=stars)
    for _ in range(3):
        x, y, reach, there = chance.between(0, 64), chance.between(3, 15), chance.between(2.2, 4), chance.yes(0.6)
        if there:
            _cloud(canvas, x * canvas.unit, y * canvas.unit, reach * canvas.unit)


def _cloud(canvas: Canvas, x: float, y: float, reach: float) -> None:
    """Draw a cloud, round above and flat below: three puffs on a base."""
    left, right, top = x - 2.6 * reach, x + 2.6 * reach, y - 1.3 * reach
    puffs = [
        disc(x, y - 0.2 * reach, reach),
        disc(x - 1.3 * reach, y, 0.75 * reach),
        disc(x + 1.3 * reach, y, 0.75 * reach),
    ]

    def inside(px: Points, py: Points) -> NDArray[np.bool_]:
        base = (np.abs(px - x) <= 2.1 * reach) & (np.abs(py - y - 0.35 * reach) <= 0.25 * reach)
        return (base | puffs[0](px, py) | puffs[1](px, py) | puffs[2](px, py)) & (py < y + 0.6 * reach)

    canvas.fill(
        (left, top, right, y + reach), gradient(top, y + reach, (255, 255, 255), (206, 220, 234)), "cloud", inside
    )


def ground(canvas: Canvas) -> None:
    """Draw the pavement with joints, a kerb, and the road."""
    size, line = canvas.size, canvas.line
    top, kerb = canvas.px(GROUND), canvas.px(62)
    slab = 4 * canvas.px(2) + 0.0

    def paving(x: Points, y: Points) -> Array:
        joint = ((np.abs(x - size / 2) + slab / 2) % slab < line / 2) | (y - top < line / 2)
        return mix((190, 184, 174), (140, 134, 126), 0.3 * (y - top) / (kerb - top) + 0.7 * joint)

    canvas.fill((0, top, size, kerb), paving, "pavement")
    canvas.shadow((0, top, size, top + 1.5 * canvas.unit), 0.35)
    canvas.fill((0, kerb, size, size), gradient(kerb, size, (96, 94, 96), (74, 73, 78)), "road")
    canvas.fill((0, kerb, size, kerb + line), (208, 204, 196), "pavement")


def lamp(canvas: Canvas, x: int) -> None:
    """Draw a street lamp on the pavement, lit by night."""
    line, unit = canvas.line, canvas.unit
    foot, top = canvas.px(61), canvas.px(43)
    middle = x + line / 2
    canvas.fill((x, top, x + line, foot), IRON, "lamp")
    canvas.fill((x - line, foot - canvas.px(2), x + 2 * line, foot), IRON, "lamp")
    half = canvas.px(1) + line / 2
    glass = (middle - half, top - canvas.px(3), middle + half, top)
    canvas.fill(glass, (250, 240, 206), "lamp_light", glow=(255, 232, 170))
    canvas.fill(
        (middle - half - line / 2, top - canvas.px(3) - line, middle + half + line / 2, top - canvas.px(3)),
        IRON,
        "lamp",
    )
    canvas.fill((middle - half, top - line / 2, middle + half, top), IRON)
    canvas.lamps.append((middle, top - 1.5 * unit, 9 * unit))


def tree(canvas: Canvas, x: int, height: float) -> None:
    """Draw a street tree: a trunk and five balls of leaves, always in the same order."""
    unit, line = canvas.unit, canvas.line
    foot, reach = canvas.px(61), 3.4 * unit * height
    crown = foot - 11.5 * unit * height
    half = max(line, canvas.px(1)) / 2 + line / 2
    canvas.fill((x - half, crown, x + half, foot), gradient(crown, foot, (70, 52, 40), (104, 80, 60)), "trunk")
    for across, up, size in (
        (-0.95, -0.1, 0.85),
        (0.95, -0.1, 0.85),
        (0.0, 0.15, 1.0),
        (-0.5, 0.85, 0.8),
        (0.5, 0.85, 0.8),
        (0.0, 1.3, 0.8),
    ):
        x0, y0, radius = x + across * reach, crown - up * reach, size * reach
        ball: Shape = disc(x0, y0, radius)
        around = (x0 - radius, y0 - radius, x0 + radius, y0 + radius)
        canvas.fill(around, leaves(x0, y0, radius, line), "plant", ball)


def pot(canvas: Canvas, x: int) -> None:
    """Draw a clipped bush in a pot."""
    unit, top = canvas.unit, canvas.px(60)
    radius = 1.8 * unit
    wide = canvas.px(1.5)
    canvas.fill(
        (x - wide, top - canvas.px(2), x + wide, top + canvas.line),
        gradient(top - 2 * unit, top, (196, 112, 76), (142, 74, 52)),
        "chimney",
    )
    y0 = top - 2 * unit - 0.8 * radius
    canvas.fill(
        (x - radius, y0 - radius, x + radius, y0 + radius),
        leaves(x, y0, radius, canvas.line),
        "plant",
        disc(x, y0, radius),
    )
