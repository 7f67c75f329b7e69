"""Whole scenes, and data sets of scenes on disk."""

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

LAYOUTS = ("paired", "unpaired", "labels", "images", "upscaling")
SMALLEST, LARGEST = 32, 1024


@dataclass(frozen=True)
class Scene:
    """One street in pictures that correspond pixel by pixel.

    Attributes:
        labels: class ids, uint8 (size, size).
        label_map: the same in the classes' colours, uint8 (size, size, 3).
        day: the photograph by day, uint8 (size, size, 3).
        night: the photograph by night, same shape.
    """

    labels: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    day: NDArray[np.uint8]
    night: NDArray[np.uint8]


def scene(seed: int, index: int, size: int) -> Scene:
    """Draw a scene, as a pure function of the arguments. Another size shows the same street.

    Args:
        seed: seed of the data set, from 0.
        index: index of the scene, from 0.
        size: pixels of a side, 32 to 1024.

    Raises:
        ValueError: an argument is out of range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index of a scene must be at least 0; got seed {seed}, index {index}.")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"a scene must have {SMALLEST} to {LARGEST} pixels a side; got {size}.")
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
    """Draw houses from edge to edge, the outer ones cut off; return the positions of the walls between them."""
    brick = 2 * course_height(canvas)
    ground = canvas.px(street.GROUND)
    left, wall, walls = -round(chance.between(0, 15) * canvas.unit), "", []
    for number in range(6):
        # A width of whole bricks plus one joint is symmetric: it begins and ends with a joint.
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


def _window(chance: Chance, size: int) -> tuple[slice, slice]:
    """Return a part of a scene whose sides have at least half of its pixels."""
    spans = []
    for _ in range(2):
        length = size // 2 + int(chance.between(0, size - size // 2 + 1))
        start = int(chance.between(0, size - length + 1))
        spans.append(slice(start, start + length))
    return spans[0], spans[1]


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
        folder: the folder to write to, created if it is missing.
        seed: seed of all scenes.
        train: number of training scenes; in the layout `unpaired`, of those by day.
        test: number of test scenes; in the layout `unpaired`, each by day and by night under the same name, so that
            evaluation has targets.
        size: pixels of a side.
        layout: `paired`: train/ and test/ with the photograph by day (A) left and the label map (B) right; `unpaired`:
            trainA/ and testA/ by day, trainB/ and testB/ by night; `labels`: train_img/ and test_img/ by day,
            train_label/ and test_label/ with the ids of `classes.CLASSES`, which a viewer shows in their colours;
            `images`: train/ and test/ with photographs by day only; `upscaling`: photographs of unequal sizes, with
            sides from half of `size` to all of it, by day and by night in turn in train/, and of every test scene in
            test/day/ and test/night/.
        night: number of training scenes by night in the layout `unpaired`, other scenes than by day; None: `train`.
        progress: function called with the number of scenes done and the total.

    Raises:
        ValueError: an unknown layout, a count below 1, or a size out of range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"the layout of townhouses must be one of {', '.join(LAYOUTS)}; got {layout!r}.")
    if train < 1 or test < 1:
        raise ValueError(f"a data set needs training and test scenes; got train {train}, test {test}.")
    if night is not None and layout != "unpaired":
        raise ValueError(f"only the layout unpaired has scenes by night; got {night} for {layout}.")
    if night is not None and night < 1:
        raise ValueError(f"scenes by night must be at least 1; got {night}.")
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
        elif layout == "upscaling":
            window = _window(Chance(seed, index, 3), size)
            lit = {"day": picture.day[window], "night": picture.night[window]}
            if split == "train":
                files = {split: lit["night" if index % 2 else "day"]}
            else:
                files = {f"{split}/{when}": photograph for when, photograph in lit.items()}
        elif index < drawn:
            files = {"trainA": picture.day} if index < train else {"trainB": picture.night}
        else:
            files = {"testA": picture.day, "testB": picture.night}
        for part, image in files.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            made = Image.fromarray(image)
            if image.ndim == 2:
                made.putpalette(PALETTE.tobytes())  # the file holds ids, and viewers show colours
            made.save(folder / part / name, format="PNG", optimize=False, compress_level=6)
        if progress is not None:
            progress(index + 1, total)
