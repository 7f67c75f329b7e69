"""Where the label maps of a data set lie, with their photographs: the two conventional layouts, found by looking."""

from dataclasses import dataclass
from pathlib import Path

from slimgen.data.images import SUFFIXES
from slimgen.data.layouts import SPLITS, Files, image_files
from slimgen.errors import DataError

KNOWN = (
    "train_label/ train_img/ test_label/ test_img/ (and train_inst/ test_inst/) with partners of the same name",
    "Cityscapes' own: leftImg8bit/train gtFine/train leftImg8bit/val gtFine/val",
)
ENDINGS = {"label": "_gtFine_labelIds", "img": "_leftImg8bit", "inst": "_gtFine_instanceIds"}
"""How Cityscapes tells apart files that lie together; what comes before is the name that partners share."""


@dataclass(frozen=True)
class LabelFiles:
    """A label map and its photograph, not yet read.

    Attributes:
        name: unique within a split.
        labels: the label map.
        image: the photograph.
        instances: the map of instances, where it is wanted.
    """

    name: str
    labels: Path
    image: Path
    instances: Path | None


def find_labels(folder: Path, instances: bool) -> Files[LabelFiles]:
    """Find the label maps of a data set, whichever of the `KNOWN` layouts it has.

    Folders are searched to any depth. Train and one of test and val are required; of Cityscapes' own folders val is
    the one, as the label maps of its test set are kept secret.

    Args:
        folder: the data set.
        instances: whether each label map needs a map of instances.

    Raises:
        DataError: if the folder is missing or of no known layout, or a split holds no label map with all its partners.
    """
    if not folder.is_dir():
        raise DataError(f"the data set {folder} is a folder", "a file" if folder.exists() else "nothing there")
    layout, splits = _look(folder)
    kinds = ("label", "img", "inst") if instances else ("label", "img")
    found: dict[str, tuple[LabelFiles, ...]] = {}
    unmatched: list[Path] = []
    for split, where in splits.items():
        files = {kind: _by_name(where[kind], ENDINGS[kind]) for kind in kinds}
        shared = set.intersection(*(set(named) for named in files.values()))
        unmatched += [path for named in files.values() for name, path in named.items() if name not in shared]
        if not shared:
            raise DataError(
                f"the split {split!r} of {folder} holds label maps with photographs{' and instances' * instances}",
                ", ".join(f"{len(named)} of {where[kind].relative_to(folder)}" for kind, named in files.items()),
                f"partners have the same name, and images end with {' '.join(sorted(SUFFIXES))}",
            )
        found[split] = tuple(
            LabelFiles(name, files["label"][name], files["img"][name], files["inst"][name] if instances else None)
            for name in sorted(shared)
        )
    return Files(layout, found, tuple(unmatched))


def _look(folder: Path) -> tuple[str, dict[str, dict[str, Path]]]:
    """The name of the layout, and by split the folder of each kind."""
    own = {split: {kind: folder / f"{split}_{kind}" for kind in ENDINGS} for split in SPLITS}
    cityscapes = {
        split: {kind: folder / ("leftImg8bit" if kind == "img" else "gtFine") / split for kind in ENDINGS}
        for split in ("train", "val")
    }
    for layout, splits in (("label maps and images", own), ("Cityscapes", cityscapes)):
        there = {name: where for name, where in splits.items() if where["label"].is_dir() and where["img"].is_dir()}
        if "train" in there and len(there) > 1:
            return layout, there
    names = " ".join(sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())[:8])
    raise DataError(f"{folder} has a known layout of label maps", names or "an empty folder", f"{'; '.join(KNOWN)}")


def _by_name(folder: Path, ending: str) -> dict[str, Path]:
    """The files of one kind by the name that they share with their partners."""
    if not folder.is_dir():
        return {}
    files = image_files(folder)
    typed = [path for path in files if path.stem.endswith(ending)]
    named: dict[str, Path] = {}
    for path in typed or files:
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)
        if name in named:
            raise DataError(
                "partners are matched by name, so a name is unique in its folder", f"{named[name]} and {path}"
            )
        named[name] = path
    return named
