"""Preparing two sets of images, without pairs: which files they are, what becomes of one image, who has a partner."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path, PurePosixPath

from slimgen.data.conversion import Progress, Read, Row, Setting, Written, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, decode
from slimgen.data.layouts import Files, Member, find_sets
from slimgen.data.prepared import SIDES, Manifest, SplitRecord
from slimgen.data.shapes import alike, half, resize


def prepare_unpaired(
    folder: Path, out: Path, setting: Setting, progress: Progress | None = None, *, partners: bool = True
) -> Manifest:
    """Write two sets of images as arrays; see `convert`, whose arguments, result and errors are the same.

    The sets may differ in number. As in CycleGAN's protocol, and as pairs are, images are resized to a square whatever
    their proportions, train to `load` (to be cropped) and the others to `size` pixels a side. A photograph that is
    wider than high has often fewer rows than the published 256: only images of fewer pixels than size x size, to which
    resizing would add more than it keeps, are rejected. The validation images are held out of both sets of train.

    Images of the same name in both sets may be partners: then evaluation has a truth, which training and search never
    see. A split is `paired` when its two sides have the same names, and no two images of the whole data set that share
    a name differ in their proportions (those of a set that was merely numbered do).
    Without `partners`, equal names mean nothing, and no split is.
    """
    sets = find_sets(folder, setting.direction)
    return convert(
        folder,
        out,
        _divide(sets, setting),
        _image,
        setting,
        progress,
        layout=sets.layout,
        unit="image of each side",
        describe=lambda written: _records(written, partners and _names_mean_partners(written)),
    )


def _divide(sets: Files[Member], setting: Setting) -> dict[str, tuple[Member, ...]]:
    """Train, val and test, each with the inputs first; either set is divided alone."""
    inputs, targets = (
        divide(
            {name: tuple(member for member in split if member.which == which) for name, split in sets.splits.items()},
            setting,
            f"{which} images",
            key=lambda member: member.stem,
        )
        for which in SIDES
    )
    return {name: (*inputs[name], *targets[name]) for name in inputs}


def _image(member: Member, read: Read, side: int, size: int) -> dict[str, Row]:
    path = member.at.path
    image = half(member.at, decode(path, read(path)))
    height, width = image.shape[:2]
    if height * width < size * size:
        reason = f"is {width} x {height}, fewer pixels than the crop of {size}"
        raise Rejected(path, reason, f"set a size of at most {isqrt(height * width)} to use it")
    return {member.which: Row(member.name, resize(image, side), (height, width))}


def _records(written: Mapping[str, Written], partners: bool) -> dict[str, SplitRecord]:
    records = {}
    for name, split in written.items():
        inputs, targets = (split.names[which] for which in SIDES)
        records[name] = split.record(tuple(targets), partners and _stems(inputs) == _stems(targets))
    return records


def _names_mean_partners(written: Mapping[str, Written]) -> bool:
    for split in written.values():
        inputs, targets = (dict(zip(_stems(split.names[which]), split.shapes[which], strict=True)) for which in SIDES)
        if not all(alike(inputs[stem], targets[stem]) for stem in inputs.keys() & targets.keys()):
            return False
    return True


def _stems(names: list[str]) -> list[str]:
    return [PurePosixPath(name).with_suffix("").as_posix() for name in names]
