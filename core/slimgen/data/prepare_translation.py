"""Preparing images to translate between: pairs, two sets without pairs, and label maps with their photographs."""

from collections.abc import Mapping
from functools import partial
from math import isqrt
from pathlib import Path, PurePosixPath

import numpy as np

from slimgen.data.conversion import Progress, Read, Row, Setting, Written, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, decode
from slimgen.data.label_maps import Classes, LabelFiles, edges, find_labels, read_instances
from slimgen.data.layouts import Files, Member, PairFiles, find_pairs, find_sets
from slimgen.data.prepared import SIDES, Manifest, SplitRecord
from slimgen.data.shapes import alike, half, require_pixels, resize, resize_ids
from slimgen.errors import DataError


def prepare_pairs(folder: Path, out: Path, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write the pairs of a data set as arrays; see `convert`, whose arguments, result and errors are the same.

    Images are resized to a square, train to `load` and the others to `size` pixels a side, bicubic and antialiased;
    those smaller than `size` are rejected. Label maps are treated like any image: those of the usual paired sets are
    JPEGs, whose colours are not exact.
    """
    pairs = find_pairs(folder, setting.direction, tested=setting.test is None)
    splits = divide(pairs.splits, setting, "pairs")
    return convert(folder, out, splits, _pair, setting, progress, found=pairs, unit="pair")


def _pair(pair: PairFiles, read: Read, side: int, size: int) -> dict[str, Row]:
    whole = {path: decode(path, read(path)) for path in dict.fromkeys((pair.input.path, pair.target.path))}
    parts = [half(which, whole[which.path]) for which in (pair.input, pair.target)]
    (h0, w0), (h1, w1) = shapes = [(part.shape[0], part.shape[1]) for part in parts]
    if not alike(*shapes):
        raise Rejected(pair.target.path, f"is {w1} x {h1} where its partner is {w0} x {h0}: another shape")
    for which, shape in zip((pair.input, pair.target), shapes, strict=True):
        require_pixels(which.path, shape, size)
    rows = [Row(pair.name, resize(part, side), shape) for part, shape in zip(parts, shapes, strict=True)]
    return dict(zip(SIDES, rows, strict=True))


def prepare_unpaired(
    folder: Path, out: Path, setting: Setting, progress: Progress | None = None, *, partners: bool = True
) -> Manifest:
    """Write two sets of images as arrays; see `convert`, whose arguments, result and errors are the same.

    The sets may differ in number. As in CycleGAN's protocol, and as pairs are, images are resized to a square whatever
    their proportions, train to `load` (to be cropped) and the others to `size` pixels a side. A photograph that is
    wider than high has often fewer rows than the published 256: only images of fewer pixels than size x size, to which
    resizing would add more than it keeps, are rejected. The images held out are as many of both sets of train.

    Images of the same name in both sets may be partners: then evaluation has a truth, which training and search never
    see. A split is `paired` when its two sides have the same names, and no two images of the whole data set that share
    a name differ in their proportions (those of a set that was merely numbered do).
    Without `partners`, equal names mean nothing, and no split is.
    """
    sets = find_sets(folder, setting.direction, tested=setting.test is None)
    splits = _divide(sets, setting)

    def describe(written: Mapping[str, Written]) -> dict[str, SplitRecord]:
        return _records(written, partners and _names_mean_partners(written))

    return convert(
        folder, out, splits, _member, setting, progress, found=sets, unit="image of each side", describe=describe
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


def _member(member: Member, read: Read, side: int, size: int) -> dict[str, Row]:
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


def prepare_labels(
    folder: Path, out: Path, setting: Setting, progress: Progress | None = None, *, classes: Classes, instances: bool
) -> Manifest:
    """Write label maps and photographs as arrays; see `convert`, whose arguments, result and errors are the same.

    A label map is written as ids, uint8 (side, side, 1), or (side, side, 2) with the edges of instances (0 or 255).
    All are resized to a square, train to `load` and the others to `size` pixels a side: photographs as in
    `prepare_pairs`, label maps and instances to the nearest pixel; edges are drawn after that, one pixel a side.
    `classes` say what the numbers of a label map mean, and `instances` whether there are maps of them, whose edges are
    wanted. From label maps to photographs, `AtoB`, is the only direction.
    """
    if setting.direction != "AtoB":
        rule = "label maps become photographs, in the direction AtoB"
        raise DataError(rule, setting.direction, "leave data.direction out")
    found = find_labels(folder, instances, tested=setting.test is None)
    splits, decoded = divide(found.splits, setting, "label maps"), partial(_labelled, classes)
    channels = 1 + instances
    return convert(folder, out, splits, decoded, setting, progress, found=found, unit="label map", channels=channels)


def _labelled(classes: Classes, files: LabelFiles, read: Read, side: int, size: int) -> dict[str, Row]:
    ids = classes.read(files.labels, read(files.labels))
    image = decode(files.image, read(files.image))
    shape = height, width = ids.shape
    planes = [resize_ids(ids, side)]
    if not alike(shape, image.shape[:2]):
        reason = f"is {image.shape[1]} x {image.shape[0]} where its label map is {width} x {height}: another shape"
        raise Rejected(files.image, reason)
    if files.instances is not None:
        numbers = read_instances(files.instances, read(files.instances))
        if numbers.shape != shape:
            reason = f"is {numbers.shape[1]} x {numbers.shape[0]} where its label map is {width} x {height}"
            raise Rejected(files.instances, reason)
        planes.append(edges(resize_ids(numbers, side)))
    require_pixels(files.labels, shape, size)
    return {
        "input": Row(files.name, np.stack(planes, axis=2), shape),
        "target": Row(files.name, resize(image, side), image.shape[:2]),
    }
