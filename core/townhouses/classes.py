"""Classes of a townhouse picture and their colours in a label map."""

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

#: Name to label colour; a class's id is its position. Features that shapes do not show have separate classes: the
#: wall's material, the window's kind, and whether somebody is at home (a curtain by day, light by night).
CLASSES: dict[str, Colour] = {
    "sky": (128, 192, 255),
    "cloud": (200, 224, 240),
    "pavement": (192, 192, 192),
    "road": (96, 88, 80),
    "brick_red": (192, 48, 32),
    "brick_brown": (136, 88, 40),
    "stucco_cream": (255, 232, 160),
    "stucco_rose": (255, 160, 160),
    "stucco_blue": (128, 216, 176),
    "stucco_ochre": (240, 176, 48),
    "stone": (184, 152, 120),
    "slate": (64, 80, 120),
    "tile": (232, 104, 48),
    "chimney": (136, 32, 72),
    "trim": (255, 255, 255),
    "cornice": (160, 128, 255),
    "sill": (224, 64, 255),
    "sash": (0, 64, 224),
    "sash_curtain": (0, 128, 255),
    "casement": (0, 120, 120),
    "casement_curtain": (0, 200, 176),
    "shutter_green": (0, 96, 32),
    "shutter_blue": (48, 48, 144),
    "door_red": (255, 0, 64),
    "door_blue": (32, 0, 255),
    "door_green": (0, 160, 64),
    "fanlight": (208, 255, 112),
    "step": (144, 176, 208),
    "balcony": (24, 24, 24),
    "shop_green": (0, 64, 96),
    "shop_navy": (16, 16, 88),
    "shop_wine": (96, 0, 48),
    "shop_window": (64, 232, 255),
    "awning_red": (255, 96, 128),
    "awning_teal": (64, 176, 144),
    "plant": (64, 208, 32),
    "flowers": (255, 64, 176),
    "trunk": (80, 56, 16),
    "lamp": (56, 56, 56),
    "lamp_light": (255, 255, 64),
}

IDS: dict[str, int] = {name: place for place, name in enumerate(CLASSES)}
PALETTE: NDArray[np.uint8] = np.array(list(CLASSES.values()), np.uint8)
"""Colour of each id."""


def colour_map(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return class ids (H, W) as a label map (H, W, 3)."""
    coloured: NDArray[np.uint8] = PALETTE[ids]
    return coloured
