"""Lighting: the picture by day and by night from colours and lights."""

import numpy as np
from numpy.typing import NDArray

from townhouses.canvas import Array, Canvas
from townhouses.chance import Chance

NOISE = 2
"""Sensor noise in levels of 0 to 255: uniform from -2 to 2, with a standard deviation of 1.41."""


def by_day(canvas: Canvas, albedo: Array, chance: Chance) -> NDArray[np.uint8]:
    """Return the picture by day: the sun is high in front of the street, and light decreases towards the ground."""
    height = np.linspace(1.02, 0.95, canvas.size, dtype=np.float32)[:, None, None]
    return _exposed(albedo * height * np.array((1.01, 1.0, 0.98), np.float32), chance)


def by_night(canvas: Canvas, albedo: Array, glow: Array, chance: Chance) -> NDArray[np.uint8]:
    """Return the picture by night: a dark blue sky, light from windows and lamps, and bloom."""
    near, far = blurred(glow, round(canvas.unit)), blurred(glow, round(4 * canvas.unit))
    points = np.arange(canvas.size) + 0.5
    light = np.zeros((canvas.size, canvas.size), np.float64)
    for x, y, reach in canvas.lamps:
        light += np.exp(-((points[None, :] - x) ** 2 + (points[:, None] - y) ** 2) / (2 * reach * reach))
    lamps = 0.75 * light[..., None].astype(np.float32) * np.array((1.0, 0.84, 0.56), np.float32)
    ambient = np.array((0.22, 0.26, 0.40), np.float32)
    lit = albedo * (ambient + lamps + far / np.float32(440))
    halo = 26 * (light**3)[..., None].astype(np.float32) * np.array((1.0, 0.84, 0.56), np.float32)
    return _exposed(lit + glow + 0.16 * near + halo, chance)


def blurred(image: Array, radius: int) -> Array:
    """Return the image after three box blurs, nearly a Gaussian, with repeated edges."""
    radius = max(1, radius)
    for axis in (0, 1):
        for _ in range(3):
            edge = [(radius + 1, radius) if i == axis else (0, 0) for i in range(3)]
            sums = np.cumsum(np.pad(image.astype(np.float64), edge, mode="edge"), axis=axis)
            length = sums.shape[axis]
            upper = np.take(sums, range(2 * radius + 1, length), axis=axis)
            lower = np.take(sums, range(0, length - 2 * radius - 1), axis=axis)
            image = ((upper - lower) / (2 * radius + 1)).astype(np.float32)
    return image


def _exposed(image: Array, chance: Chance) -> NDArray[np.uint8]:
    """Return the image as uint8: highlights compressed instead of clipped, noise added, rounded."""
    bright = np.where(image > 224, 224 + (image - 224) * 31 / (31 + np.maximum(image - 224, 0)), image)
    noisy = np.rint(bright) + chance.noise(bright.shape, NOISE)
    return np.clip(noisy, 0, 255).astype(np.uint8)
