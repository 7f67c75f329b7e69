"""Reading of untrusted label maps: the class of every pixel, and the edges between instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.data.images import Rejected, opened
from slimgen.data.layouts import SPLITS, Files, listing, require_folder
from slimgen.data.names import by_name, how_names_differ
from slimgen.data.walking import ENDINGS, passed_over
from slimgen.errors import DataError

UNKNOWN = 255
"""Id of pixels of unknown class."""
EXACT = ("PNG", "BMP", "TIFF", "PPM")
"""Lossless formats."""
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """Classes of label maps.

    Attributes:
        count: number of classes; ids are below it.
        unknown: whether pixels with id 255 form one more class, after the others.
        palette: colour of each class in RGB label maps; None: label maps hold the ids themselves.

    Raises:
        DataError: more classes than 8 bits can hold, or a palette of another length or with a colour twice.
    """

    count: int
    unknown: bool = False
    palette: Sequence[Colour] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= UNKNOWN:
            raise DataError(f"label maps must have 1 to {UNKNOWN} classes", self.count)
        if self.palette is not None and not self.count == len(self.palette) == len(set(self.palette)):
            colours = f"{len(set(self.palette))} different colours for {self.count} classes"
            raise DataError("data.palette must have a different colour for each class", colours)

    @property
    def channels(self) -> int:
        """Number of classes, including the unknown one."""
        return self.count + self.unknown

    def read(self, path: Path, data: bytes) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 (height, width), below `channels`; call it inside `quiet`.

        Palette and grey images hold ids; an RGB image holds colours of the palette. The path is only used in errors.

        Raises:
            Rejected: the file is no image, in a lossy format, or has a pixel of no class.
        """
        with opened(path, data) as image:
            ids = self._ids(path, image)
        unknown = ids == UNKNOWN
        if (ids[~unknown] >= self.count).any():
            worst = int(ids[~unknown].max())
            hint = f"set data.classes to {worst + 1} or more, if that id is right"
            raise Rejected(path, f"has the id {worst}, but classes are 0 to {self.count - 1}", hint)
        if unknown.any():
            if not self.unknown:
                hint = "set data.unknown to make them one more class"
                raise Rejected(path, f"has {unknown.mean():.1%} pixels of the unknown id {UNKNOWN}", hint)
            ids = np.where(unknown, np.uint8(self.count), ids)
        return ids

    def _ids(self, path: Path, image: Image.Image) -> NDArray[np.uint8]:
        if image.format not in EXACT:
            raise Rejected(path, f"is a {image.format}, a format that may change ids", "save it as PNG")
        if image.mode in ("L", "P"):
            return np.array(image, np.uint8)
        if image.mode.startswith("I"):
            numbers = np.asarray(image)
            if numbers.min() < 0 or numbers.max() > UNKNOWN:
                raise Rejected(path, f"has ids from {numbers.min()} to {numbers.max()}, more than 8 bits can hold")
            return numbers.astype(np.uint8)
        if image.mode not in ("RGB", "RGBA"):
            raise Rejected(path, f"is an image of the mode {image.mode}, which has no ids", "save it with 8 bits")
        if self.palette is None:
            hint = "set data.palette to the colours of the classes"
            raise Rejected(path, "is RGB, but label maps must hold ids", hint)
        colours = np.asarray(image.convert("RGB"))
        known = _code(np.array(self.palette, np.uint8))
        order = np.argsort(known)
        codes = _code(colours)
        places = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
        ids = order[places].astype(np.uint8)
        strange = known[ids] != codes
        if strange.any() and not self.unknown:
            first = colours[strange][0].tolist()
            raise Rejected(path, f"has {strange.mean():.1%} pixels of colours outside the palette, such as {first}")
        return np.where(strange, np.uint8(UNKNOWN), ids)


def read_instances(path: Path, data: bytes) -> NDArray[np.uint32]:
    """Return the instance of every pixel, uint32 (height, width), from numbers of up to 16 bits or colours.

    Call it inside `quiet`.

    Raises:
        Rejected: the file is no image, or in a lossy format.
    """
    with opened(path, data) as image:
        if image.format not in EXACT:
            raise Rejected(path, f"is a {image.format}, a format that may change instances", "save it as PNG")
        if image.mode in ("L", "P") or image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint32)
        return _code(np.asarray(image.convert("RGB")))


def edges(instances: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the edges of instances: 255 where a 4-neighbour is of another instance, else 0 (Wang et al. 2018, 3.3).

    Input and output are (height, width).
    """
    found = np.zeros(instances.shape, np.uint8)
    across = instances[:, 1:] != instances[:, :-1]
    down = instances[1:] != instances[:-1]
    sides = ((found[:, 1:], across), (found[:, :-1], across), (found[1:], down), (found[:-1], down))
    for part, differs in sides:
        part[differs] = 255
    return found


def _code(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return colours (..., 3) as one number each."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    code: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return code


KNOWN = (
    "train_label/ train_img/ test_label/ test_img/ (and train_inst/ test_inst/) with partners of the same name",
    "Cityscapes: leftImg8bit/train gtFine/train leftImg8bit/val gtFine/val",
)
STEMS = {"label": "_gtFine_labelIds", "img": "_leftImg8bit", "inst": "_gtFine_instanceIds"}
"""Endings of Cityscapes' file names by kind; the part before is the name that partners share."""


@dataclass(frozen=True)
class LabelFiles:
    """Label map, its photograph, and its instance map if wanted, not yet read; `name` is unique in its split."""

    name: str
    labels: Path
    image: Path
    instances: Path | None


def find_labels(folder: Path, instances: bool, *, tested: bool = True) -> Files[LabelFiles]:
    """Find the label maps of a data set in any of the `KNOWN` layouts.

    Folders are searched to any depth. Train is required and, if `tested`, test or val. In Cityscapes' layout it is val,
    since the label maps of its test set are not published. With `instances`, each label map needs an instance map.

    Raises:
        DataError: the folder is missing or of no known layout, or a split has no label map with all its partners.
    """
    require_folder(folder)
    layout, splits = _look(folder, tested)
    kinds = ("label", "img", "inst") if instances else ("label", "img")
    found: dict[str, tuple[LabelFiles, ...]] = {}
    unmatched: list[Path] = []
    hint: str | None = None
    for split, where in splits.items():
        files = {kind: by_name(where[kind], STEMS[kind]) for kind in kinds}
        maps, *others = files.values()
        shared = maps.keys() & set.intersection(*(set(named) for named in others))
        unmatched += [one.path for named in files.values() for key, one in named.items() if key not in shared]
        for named in others:
            hint = hint or how_names_differ(maps.keys() - named.keys(), named.keys() - maps.keys())
        if not shared:
            raise DataError(
                f"the split {split!r} of {folder} must have label maps with photographs{' and instances' * instances}",
                ", ".join(f"{len(named)} in {where[kind].relative_to(folder)}" for kind, named in files.items()),
                f"{hint or 'partners must have equal names'}; {ENDINGS}",
            )
        found[split] = tuple(
            LabelFiles(
                maps[key].name, maps[key].path, files["img"][key].path, files["inst"][key].path if instances else None
            )
            for key in sorted(shared, key=lambda key: maps[key].name)
        )
    used = [path for labels in found.values() for one in labels for path in (one.labels, one.image, one.instances)]
    return Files(layout, found, tuple(unmatched), passed_over(folder, [*filter(None, used), *unmatched]), hint)


def _look(folder: Path, tested: bool) -> tuple[str, dict[str, dict[str, Path]]]:
    """Return the name of the layout, and the folder of each kind by split."""
    own = {split: {kind: folder / f"{split}_{kind}" for kind in STEMS} for split in SPLITS}
    cityscapes = {
        split: {kind: folder / ("leftImg8bit" if kind == "img" else "gtFine") / split for kind in STEMS}
        for split in ("train", "val")
    }
    for layout, splits in (("label maps and images", own), ("Cityscapes", cityscapes)):
        there = {name: where for name, where in splits.items() if where["label"].is_dir() and where["img"].is_dir()}
        if "train" in there and (len(there) > 1 or not tested):
            return layout, there
    raise DataError(f"{folder} must have a known layout of label maps", listing(folder), f"known: {'; '.join(KNOWN)}")
