"""Colours of walls, roofs, glass and leaves as functions of the position.

All patterns are mirror-symmetric about the middle of their area and start at its edges, so that a network can derive
them from the label map, also in a mirrored picture.
"""

import numpy as np

from townhouses.canvas import Array, Paint, Points, Rect
from townhouses.classes import Colour


def mix(first: Colour, second: Colour, share: Points) -> Array:
    """Return colours (h, w, 3) between the first (share 0) and the second (share 1)."""
    a, b = np.array(first, np.float32), np.array(second, np.float32)
    mixed: Array = a + (b - a) * share[..., None].astype(np.float32)
    return mixed


def gradient(top: float, bottom: float, first: Colour, second: Colour) -> Paint:
    """Return a gradient from one colour above to another below."""
    return lambda x, y: mix(first, second, np.clip((y - top) / (bottom - top), 0, 1) + 0 * x)


def brick(colour: Colour, mortar: Colour, left: float, ground: float, course: int, joint: int) -> Paint:
    """Return brickwork in running bond: courses start at the ground, joints at the wall's left edge."""

    def paint(x: Points, y: Points) -> Array:
        up = ground - y
        row = np.floor(up / course)
        bed = (up - row * course) < max(course / 4, 0.5)
        along = (x - left + course * (row % 2)) % (2 * course)
        share = np.where(bed, 0.62, np.where(along < joint, 0.5, 0.0)) + 0.1 * (row % 3 == 0)
        tone: Array = (1 - 0.06 * (row % 2 == 1))[..., None].astype(np.float32)
        return mix(colour, mortar, share) * tone

    return paint


def ashlar(colour: Colour, left: float, ground: float, height: int, width: int, joint: int) -> Paint:
    """Return dressed stone: large blocks with a light upper edge and thin dark joints."""
    dark: Colour = (int(colour[0] * 0.74), int(colour[1] * 0.73), int(colour[2] * 0.72))
    light: Colour = tuple(min(255, c + 16) for c in colour)  # type: ignore[assignment]

    def paint(x: Points, y: Points) -> Array:
        up = ground - y
        row = np.floor(up / height)
        rise = up - row * height
        along = (x - left + (width // 2) * (row % 2)) % width
        share = np.where(rise < joint, 1.0, np.where(along < joint, 0.7, 0.0))
        base = mix(colour, dark, share)
        return np.where(((rise >= height - joint) & (share == 0))[..., None], np.array(light, np.float32), base)

    return paint


def stucco(colour: Colour, top: float, ground: float) -> Paint:
    """Return smooth plaster, a little darker towards the ground."""
    dark: Colour = (int(colour[0] * 0.9), int(colour[1] * 0.88), int(colour[2] * 0.86))
    return gradient(top, ground, colour, dark)


def slates(colour: Colour, left: float, bottom: float, course: int, joint: int) -> Paint:
    """Return rows of slates, each lighter at its lower edge, with staggered joints."""
    light: Colour = tuple(min(255, c + 34) for c in colour)  # type: ignore[assignment]

    def paint(x: Points, y: Points) -> Array:
        up = bottom - y
        row = np.floor(up / course)
        along = (x - left + course * (row % 2)) % (2 * course)
        share = 1 - (up - row * course) / course
        return mix(colour, light, share) * np.where(along < joint, 0.8, 1.0)[..., None].astype(np.float32)

    return paint


def pantiles(colour: Colour, middle: float, bottom: float, course: int) -> Paint:
    """Return clay tiles: round columns with a shadow under each row."""
    dark: Colour = (int(colour[0] * 0.58), int(colour[1] * 0.52), int(colour[2] * 0.5))

    def paint(x: Points, y: Points) -> Array:
        up = bottom - y
        edge = (up - np.floor(up / course) * course) >= course - max(0.5, course / 4)
        column = np.abs(((np.abs(x - middle) + course) % (2 * course)) / course - 1)
        return mix(colour, dark, np.clip(column**2 * 0.75 + 0.45 * edge, 0, 1))

    return paint


def within(rect: Rect, x: Points, y: Points) -> tuple[Points, Points]:
    """Return the positions of points in a rectangle.

    First from top (0) to bottom (1), second from the middle (0) to either side (1).
    """
    left, top, right, bottom = rect
    return (y - top) / (bottom - top), np.abs(x - (left + right) / 2) / ((right - left) / 2)


def glass(rect: Rect) -> Paint:
    """Return a pane that mirrors the sky before a dark room: lighter below, with two streaks that form a V."""

    def paint(x: Points, y: Points) -> Array:
        down, off = within(rect, x, y)
        streak = np.clip(1 - np.abs(down - 0.75 + 0.5 * off) / 0.16, 0, 1)
        return mix((44, 60, 78), (150, 182, 204), np.clip(0.15 + 0.5 * down + 0.5 * streak, 0, 1))

    return paint


def curtains(rect: Rect, colour: Colour) -> Paint:
    """Return glass between two curtains that are drawn back to the sides."""
    behind = glass(rect)

    def paint(x: Points, y: Points) -> Array:
        down, off = within(rect, x, y)
        fold = 0.86 + 0.14 * np.cos(6 * np.pi * off)
        cloth = np.array(colour, np.float32) * (fold + 0 * down)[..., None].astype(np.float32)
        hangs = off >= 0.2 + 0.42 * np.clip(1.3 * down, 0, 1) ** 2
        return np.where(hangs[..., None], cloth, behind(x, y))

    return paint


def room_light(rect: Rect) -> Paint:
    """Return lamplight in a room: brightest above the middle, warmer through the curtains."""

    def paint(x: Points, y: Points) -> Array:
        down, off = within(rect, x, y)
        return mix((255, 218, 140), (206, 122, 44), np.clip(0.55 * off**2 + 0.7 * np.abs(down - 0.3), 0, 1))

    return paint


def leaves(x0: float, y0: float, radius: float, grain: float) -> Paint:
    """Return a ball of leaves: light above, dark below, with the same lattice of leaves in every tree."""

    def paint(x: Points, y: Points) -> Array:
        down = (y - y0) / radius
        off = np.abs(x - x0)
        leaf = ((np.floor(off / grain) + np.floor((y - y0) / grain)) % 2) * 0.16
        spot = ((np.floor(off / grain) * 3 + np.floor((y - y0) / grain) * 5) % 7 == 0) * 0.22
        return mix((122, 168, 66), (30, 72, 36), np.clip(0.5 + 0.45 * down + leaf - spot, 0, 1))

    return paint
