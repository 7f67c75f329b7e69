"""Whole scenes, and data sets of them on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from townhouses import street
from townhouses.canvas import Canvas
from townhouses.chance import Chance
from townhouses.classes import PALETTE, colour_map
from townhouses.houses import course_height, house
from townhouses.light import by_day, by_night

LAYOUTS = ("paired", "unpaired", "labels", "images")
SMALLEST, LARGEST = 32, 1024


@dataclass(frozen=True)
class Scene:
    """One street. All are of the same geometry, pixel by pixel.

    Attributes:
        labels: class ids, uint8 (size, size).
        label_map: the same in the classes' colours, uint8 (size, size, 3).
        day: the photograph, uint8 (size, size, 3).
        night: by night, same shape.
    """

    labels: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    day: NDArray[np.uint8]
    night: NDArray[np.uint8]


def scene(seed: int, index: int, size: int) -> Scene:
    """Draw a scene; a pure function. Another size shows the same street.

    Args:
        seed: of the data set, from 0.
        index: of the scene, from 0.
        size: pixels of a side, 32 to 1024.

    Raises:
        ValueError: if one of these is out of range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"the seed and the index of a scene are counted from 0; got seed {seed}, index {index}.")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"a scene has {SMALLEST} to {LARGEST} pixels a side; got {size}.")
    canvas, chance = Canvas(size), Chance(seed, index)
    street.sky(canvas, chance)
    walls = _row(canvas, chance)
    street.ground(canvas)
    _furniture(canvas, chance, walls)
    albedo, glow = canvas.reduced()
    day = by_day(canvas, albedo, Chance(seed, index, 1))
    night = by_night(canvas, albedo, glow, Chance(seed, index, 2))
    return Scene(canvas.ids, colour_map(canvas.ids), day, night)


def _row(canvas: Canvas, chance: Chance) -> list[int]:
    """Houses from edge to edge, the outer ones cut off; returns the walls between them."""
    brick = 2 * course_height(canvas)
    ground = canvas.px(street.GROUND)
    left, wall, walls = -round(chance.between(0, 15) * canvas.unit), "", []
    for number in range(6):
        # A width of whole bricks and one joint is symmetric: it begins and ends with a joint.
        right = left + round(chance.pick((17.0, 21.0, 21.0, 25.0)) * canvas.unit / brick) * brick + 1
        wall = house(canvas, left, right, ground, chance, wall)
        if number and 0 < left < canvas.size:
            walls.append(left)
        left = right
        if left >= canvas.size:
            break
    return walls


def _furniture(canvas: Canvas, chance: Chance, walls: list[int]) -> None:
    for x in walls:
        what = chance.between(0, 1)
        size = chance.between(0.85, 1.1)
        if what < 0.4:
            street.lamp(canvas, x - canvas.line // 2)
        elif what < 0.6:
            street.tree(canvas, x, size)
        elif what < 0.8:
            street.pot(canvas, x)


def write(
    folder: Path,
    *,
    seed: int,
    train: int,
    test: int,
    size: int,
    layout: str = "paired",
    night: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a data set as PNG files, the same bytes each time.

    Args:
        folder: where to; made if it is missing.
        seed: of all scenes.
        train: how many scenes to train on. Unpaired: how many by day.
        test: how many to test on. Unpaired: each by day and by night under the same name, so that there is a truth.
        size: pixels of a side.
        layout: `paired`: train/ and test/ with the photograph by day (A) left and the label map (B) right; `unpaired`:
            trainA/ and testA/ by day, trainB/ and testB/ by night; `labels`: train_img/ and test_img/ by day,
            train_label/ and test_label/ with the ids of `classes.CLASSES`, which a viewer shows in their colours;
            `images`: train/ and test/ by day, alone.
        night: unpaired: how many others to train on by night; as many as by day if none is given.
        progress: called with (scenes done, all scenes).

    Raises:
        ValueError: if the layout is unknown, a count is not positive, or the size out of range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"the layout of townhouses must be one of {', '.join(LAYOUTS)}; got {layout!r}.")
    if train < 1 or test < 1:
        raise ValueError(f"a data set has scenes to train and to test on; got train {train}, test {test}.")
    if night is not None and (layout != "unpaired" or night < 1):
        raise ValueError(f"scenes by night are counted from 1, in the layout unpaired; got {night}, {layout}.")
    drawn = train + (night or train) if layout == "unpaired" else train
    total = drawn + test
    for index in range(total):
        picture = scene(seed, index, size)
        name = f"{index:05d}.png"
        files: dict[str, NDArray[np.uint8]]
        split = "train" if index < train else "test"
        if layout == "paired":
            side_by_side = np.concatenate([picture.day, picture.label_map], axis=1)
            files = {split: side_by_side}
        elif layout == "labels":
            files = {f"{split}_img": picture.day, f"{split}_label": picture.labels}
        elif layout == "images":
            files = {split: picture.day}
        elif index < drawn:
            files = {"trainA": picture.day} if index < train else {"trainB": picture.night}
        else:
            files = {"testA": picture.day, "testB": picture.night}
        for part, image in files.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            made = Image.fromarray(image)
            if image.ndim == 2:
                made.putpalette(PALETTE.tobytes())  # ids stay ids, and show as colours
            made.save(folder / part / name, format="PNG", optimize=False, compress_level=6)
        if progress is not None:
            progress(index + 1, total)
