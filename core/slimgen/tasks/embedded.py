"""The embedded data set: townhouses, which are drawn and not downloaded."""

import os
import shutil
import time
from collections.abc import Callable
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
TRAIN, TEST = 400, 100  # pictures, as data.dvc tracks them
LAYOUTS = "paired (labels and day), unpaired (day and night), labels (ids and day), images (day)"
DEFAULT = "paired"


def find_images(
    recipe: "Recipe", data: Path | None, run_folder: Path, report: Callable[[str], None] | None = None
) -> Path:
    """The images of a run: those named by `data`, those in the folder data, or the embedded ones, drawn for the run.

    `report` is told what is drawn; without it nothing is drawn, and the folder may not be there yet.

    Raises:
        DataError: there are none, and the recipe does not ask for the embedded set.
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
    if recipe.data.fit is None and not (traits.given == NOISE or traits.single) and not alike(recipe.size, (1, 1)):
        raise DataError(
            f"{NAME} are square, and so must the size be", recipe.size, "or set data.fit to squash, crop or pad"
        )
    return drawn(embedded, recipe.data.scale * max(*recipe.size, *(recipe.data.load or ())), run_folder, report)


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
    """Draws the set into a folder that is new or empty; for the arguments, see `townhouses.write`.

    Raises:
        DataError: the folder holds something, or an argument makes no sense.
    """
    from townhouses import write

    # Beside the pictures of another set they would be taken for one set.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{NAME} are drawn into a folder that is new or empty", folder, "choose another")
    try:
        write(folder, seed=seed, train=train, test=test, size=size, layout=layout, night=night, progress=progress)
    except ValueError as error:  # the renderer knows nothing of slimgen's errors
        raise DataError(str(error)) from None


def by_day_and_night(layout: str) -> bool:
    """Whether a layout has pictures of other scenes by night."""
    return layout == "unpaired"


def drawn(embedded: Embedded, side: int, run_folder: Path, report: Callable[[str], None] | None) -> Path:
    """The set with images of so many pixels a side, drawn unless it is there."""
    train, test = (round(count * embedded.times) for count in (TRAIN, TEST))
    folder = run_folder / f"{NAME}-{embedded.layout}-{side}"
    if folder.is_dir() or report is None:
        return folder
    report(f"drawing {train + test} {NAME} into {folder}")
    for left in run_folder.glob(f".{folder.name}.*"):
        # Of a process that was killed, and not of one that has just begun.
        if not in_use(left) and time.time() - left.stat().st_mtime > 2:
            shutil.rmtree(left, ignore_errors=True)  # another process may be at it
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    aside.mkdir(parents=True)
    lock = Lock(aside)
    lock.acquire()
    draw(aside / "drawn", embedded.layout, train, test, size=side, seed=0)
    # The names are those of the set in data.dvc, and so are the pairs held out for validation.
    for split in (aside / "drawn").iterdir():
        (aside / split.name).mkdir()
        split.rename(aside / split.name / NAME)
    (aside / "drawn").rmdir()
    (aside / OWN).touch()  # so that nobody takes them for a user's, who names a folder around them
    lock.release()
    try:
        aside.rename(folder)
    except OSError:
        # Another process of the same run was faster; its pictures are the same.
        if not folder.is_dir():
            raise
        shutil.rmtree(aside)
    return folder
