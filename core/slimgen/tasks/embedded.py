"""Embedded data set: townhouses, which are drawn and not downloaded."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimgen.errors import DataError
from slimgen.files import OWN
from slimgen.run.lock import Lock, in_use
from slimgen.size import alike
from slimgen.tasks.traits import NOISE, Embedded

if TYPE_CHECKING:
    from slimgen.recipe import Recipe

NAME = "townhouses"
LICENCE = "MIT, like slimgen, which draws the images itself"
QUICK = 10  # times fewer are drawn for a trial run
TRAIN, TEST = 400, 100  # numbers of pictures in the set that data.dvc tracks
LARGEST = 1024
"""Most pixels of a side of a picture that is drawn."""
LAYOUTS = (
    "paired (labels and day), unpaired (day and night), labels (ids and day), images (day), "
    "upscaling (day and night, of unequal sizes)"
)
DEFAULT = "paired"


def find_images(
    recipe: "Recipe", data: Path | None, run_folder: Path, report: Callable[[str], None] | None = None
) -> Path:
    """Return the image folder of a run: `data`, the folder `data` here, or the embedded set, drawn for the run.

    `report` is called with a line about the drawing. Without it nothing is drawn, and the folder may not exist yet.

    Raises:
        DataError: there are no images, and the recipe does not set `data.embedded`.
    """
    from slimgen.tasks import traits_of

    if data is not None:
        return data
    here, asked = Path("data"), recipe.data.embedded is not None
    traits = traits_of(recipe)
    embedded = traits.embedded
    tracked = embedded.tracked or not asked
    if tracked and here.is_dir() and any(one.is_dir() for one in here.iterdir() if not one.name.startswith(".")):
        return here
    if not asked:
        hint = f"try `slimgen data list`, or set data.embedded: {NAME}"
        raise DataError("a run needs images", "no --data, and no folder `data` here", hint)
    uncut = not (traits.given == NOISE or traits.single or traits.enlarges)
    if recipe.data.fit is None and uncut and not alike(recipe.size, (1, 1)):
        hint = "set a square size, or data.fit to squash, crop or pad"
        raise DataError(f"size must be square, as the pictures of {NAME} are", recipe.size, hint)
    if recipe.quick:
        embedded = replace(embedded, times=embedded.times / QUICK)
    times, longest = embedded.margin * recipe.data.scale, max(*recipe.size, *(recipe.data.load or ()))
    if (side := times * longest) > LARGEST:
        raise DataError(f"size must be at most {LARGEST // times} for the pictures of {NAME}", longest)
    return drawn(embedded, side, run_folder, report)


def is_embedded(recipe: "Recipe", images: Path) -> bool:
    """Whether images are the embedded set and nothing else, of a recipe that asks for it.

    It was drawn for a run, or lies in the folders of that name, without other pictures beside it.
    """
    if recipe.data.embedded is None or not images.is_dir():
        return False
    splits = [path for path in images.iterdir() if path.is_dir() and not path.name.startswith(".")]
    within = {path.name for split in splits for path in split.iterdir() if not path.name.startswith(".")}
    return (images / OWN).is_file() or within == {NAME}


def draw(
    folder: Path,
    layout: str,
    train: int,
    test: int,
    *,
    size: int,
    seed: int,
    night: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the set into a new or empty folder; for the arguments, see `townhouses.write`.

    Raises:
        DataError: the folder is not empty, or an argument is out of range.
    """
    from townhouses import write

    # Beside pictures of another set, both would be read as one set.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"the folder for {NAME} must be new or empty", folder, "choose another folder")
    try:
        write(folder, seed=seed, train=train, test=test, size=size, layout=layout, night=night, progress=progress)
    except ValueError as error:  # the renderer knows nothing of slimgen's errors
        raise DataError(str(error)) from None


def by_day_and_night(layout: str) -> bool:
    """Return whether a layout has further pictures by night, of other scenes."""
    return layout == "unpaired"


def drawn(embedded: Embedded, side: int, run_folder: Path, report: Callable[[str], None] | None) -> Path:
    """Return the folder of the set with images of `side` pixels; draw it if it is missing."""
    train, test = (round(count * embedded.times) for count in (TRAIN, TEST))
    folder = run_folder / f"{NAME}-{embedded.layout}-{side}"
    if folder.is_dir() or report is None:
        return folder
    report(f"drawing {train + test} {NAME} into {folder}")
    for left in run_folder.glob(f".{folder.name}.*"):
        # Left by a killed process, and not of one that has just begun.
        if not in_use(left) and time.time() - left.stat().st_mtime > 2:
            shutil.rmtree(left, ignore_errors=True)  # another process may remove it at the same time
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    aside.mkdir(parents=True)
    lock = Lock(aside)
    lock.acquire()
    draw(aside / "drawn", embedded.layout, train, test, size=side, seed=0)
    # With the names of the set in data.dvc, the same pairs are held out for validation.
    for split in (aside / "drawn").iterdir():
        if any(one.is_dir() for one in split.iterdir()):  # test sets under their own names
            split.rename(aside / split.name)
            continue
        (aside / split.name).mkdir()
        split.rename(aside / split.name / NAME)
    (aside / "drawn").rmdir()
    (aside / OWN).touch()  # marks them as slimgen's, in case a user names a folder around them as data
    lock.release()
    try:
        aside.rename(folder)
    except OSError:
        # Another process of the same run was faster; its pictures are the same.
        if not folder.is_dir():
            raise
        shutil.rmtree(aside)
    return folder
