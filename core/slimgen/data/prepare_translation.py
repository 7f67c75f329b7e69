"""Preparation of images for translation: pairs, two sets without pairs, and label maps with their photographs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from slimgen.data.conversion import Found, Progress, Read, Row, Setting, Written, convert
from slimgen.data.division import Usable, divide
from slimgen.data.forms import forms_of
from slimgen.data.halves import questioned
from slimgen.data.images import Form, Rejected, decode
from slimgen.data.label_maps import Classes, LabelFiles, edges, find_labels, read_instances
from slimgen.data.layouts import Files, Member, PairFiles, find_pairs, find_sets
from slimgen.data.names import key_of
from slimgen.data.prepared import SIDES, Manifest, SplitRecord
from slimgen.data.shapes import Frame, half, mark, resize, resize_ids
from slimgen.errors import DataError
from slimgen.size import Size, alike


def prepare_pairs(folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write the pairs of a data set as arrays; arguments, result and errors are those of `convert`.

    Images are resized (bicubic, antialiased), train to `load` and the others to `size`. Images smaller than `size` are
    rejected; `fit` decides about those of another aspect ratio. Label maps are treated like any image, since the usual
    paired sets store them as JPEGs, whose colours are not exact.
    """
    found = found_pairs(folder, setting, tested=setting.test is None)
    splits = divide(found.files.splits, setting, "pairs", usable=found.usable(setting))
    how: dict[str, Any] = {"found": found.files, "unit": "pair", "forms": found.forms}
    return convert(folder, out, splits, found.decode, setting, progress, **how)


def found_pairs(folder: Path, setting: Setting, *, tested: bool = True) -> Found[PairFiles]:
    """Find pairs and their decoder; raise DataError as `find_pairs` and `forms_of`."""
    files = find_pairs(folder, setting.direction, tested=tested)
    files = questioned(files, [pair.input.path for pair in files.splits["train"]])
    every = [pair for split in files.splits.values() for pair in split]
    sides = {"input": [pair.input.path for pair in every], "target": [pair.target.path for pair in every]}
    forms = forms_of(sides, setting.range)
    return Found(files, forms, partial(_pair, forms.sides))


def _pair(forms: Mapping[str, Form], pair: PairFiles, read: Read, frame: Frame) -> dict[str, Row]:
    # Side-by-side images are one file, which has one form.
    forms_of_files = {pair.target.path: forms["target"], pair.input.path: forms["input"]}
    whole = {path: decode(path, read(path), form) for path, form in forms_of_files.items()}
    sides = pair.input, pair.target
    parts = [half(which, whole[which.path]) for which in sides]
    one, other = (Size(*part.shape[:2]) for part in parts)
    if not alike(one, other):
        raise Rejected(pair.target.path, f"is {other.spoken}, but its partner is {one.spoken}")
    fitted = [frame.fitted(which.path, part) for which, part in zip(sides, parts, strict=True)]
    rows = [
        Row(pair.name, resize(image, frame.size), Size(*part.shape[:2]), mark(part))
        for image, part in zip(fitted, parts, strict=True)
    ]
    return dict(zip(SIDES, rows, strict=True))


def prepare_unpaired(
    folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None, *, partners: bool = True
) -> Manifest:
    """Write two sets of images as arrays; arguments, result and errors are those of `convert`.

    The sets may differ in number. Images are resized like pairs; `fit: squash` is CycleGAN's protocol. A landscape
    photograph often has fewer rows than the published 256, so only images with fewer pixels than `size` are rejected:
    resizing would invent most of their pixels. The same number of images is held out of both sets of train.

    Images of the same name in both sets may be partners, which give evaluation its targets; training and search never
    see them. A split is `paired` if its two sides have the same names and no two images of one name in the whole data
    set differ in aspect ratio, as they do where files are only numbered. Without `partners`, no split is paired.
    """
    found = found_sets(folder, setting, tested=setting.test is None)
    splits = _divide(found.files, setting, found.usable(setting))

    def describe(written: Mapping[str, Written]) -> dict[str, SplitRecord]:
        return _records(written, partners and _names_mean_partners(written))

    how: dict[str, Any] = {"found": found.files, "unit": "image of each side", "forms": found.forms}
    return convert(folder, out, splits, found.decode, setting, progress, describe=describe, **how)


def found_sets(folder: Path, setting: Setting, *, tested: bool = True) -> Found[Member]:
    """Find two sets and their decoder, to the same channels; raise as `find_sets` and `forms_of`."""
    files = find_sets(folder, setting.direction, tested=tested)
    files = questioned(files, [member.at.path for member in files.splits["train"]])
    every = [member for split in files.splits.values() for member in split]
    sides = {which: [member.at.path for member in every if member.which == which] for which in SIDES}
    forms = forms_of(sides, setting.range, joint=True)
    return Found(files, forms, partial(_member, forms.sides))


def _divide(sets: Files[Member], setting: Setting, usable: Usable[Member]) -> dict[str, tuple[Member, ...]]:
    """Return train, val and test, each with the inputs first; each set is divided separately."""
    inputs, targets = (
        divide(
            {name: tuple(member for member in split if member.which == which) for name, split in sets.splits.items()},
            setting,
            f"{which} images",
            key=lambda member: member.stem,
            usable=usable,
        )
        for which in SIDES
    )
    return {name: (*inputs[name], *targets[name]) for name in inputs}


def _member(forms: Mapping[str, Form], member: Member, read: Read, frame: Frame) -> dict[str, Row]:
    path = member.at.path
    image = half(member.at, decode(path, read(path), forms[member.which]))
    fitted = frame.fitted(path, image, by_area=True)
    return {member.which: Row(member.name, resize(fitted, frame.size), Size(*image.shape[:2]), mark(image))}


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
    return [key_of(PurePosixPath(name).with_suffix("").as_posix()) for name in names]


def prepare_labels(
    folder: Path,
    out: Path | None,
    setting: Setting,
    progress: Progress | None = None,
    *,
    classes: Classes,
    instances: bool,
) -> Manifest:
    """Write label maps and photographs as arrays; arguments, result and errors are those of `convert`.

    A label map is written as ids, uint8 (height, width, 1), or (.., 2) with instance edges (0 or 255). Photographs are
    fitted and resized as in `prepare_pairs`, label maps and instances to the nearest pixel; edges are drawn after that,
    one pixel wide on each side. `classes` gives the meaning of the ids; `instances` adds the edges of instance maps.
    Only the direction `AtoB`, from label maps to photographs, is possible.
    """
    if setting.direction != "AtoB":
        rule = "data.direction must be AtoB, from label maps to photographs"
        raise DataError(rule, setting.direction, "leave data.direction out")
    found = found_labels(folder, setting, classes=classes, instances=instances, tested=setting.test is None)
    splits = divide(found.files.splits, setting, "label maps", usable=found.usable(setting))
    how: dict[str, Any] = {"found": found.files, "unit": "label map", "forms": found.forms, "channels": 1 + instances}
    return convert(folder, out, splits, found.decode, setting, progress, **how)


def found_labels(
    folder: Path, setting: Setting, *, classes: Classes, instances: bool, tested: bool = True
) -> Found[LabelFiles]:
    """Find label maps with photographs and their decoder; raise DataError as `find_labels` and `forms_of`."""
    files = find_labels(folder, instances, tested=tested)
    forms = forms_of({"target": [one.image for split in files.splits.values() for one in split]}, setting.range)
    return Found(files, forms, partial(_labelled, classes, forms.sides["target"]))


def _labelled(classes: Classes, form: Form, files: LabelFiles, read: Read, frame: Frame) -> dict[str, Row]:
    ids = classes.read(files.labels, read(files.labels))
    whole, image = mark(ids[..., None]), decode(files.image, read(files.image), form)
    shape, photograph = Size(*ids.shape), Size(*image.shape[:2])
    if not alike(shape, photograph):
        reason = f"is {photograph.spoken}, but its label map is {shape.spoken}"
        raise Rejected(files.image, reason)
    ids = frame.fitted(files.labels, ids)
    planes = [resize_ids(ids, frame.size)]
    if files.instances is not None:
        numbers = read_instances(files.instances, read(files.instances))
        if numbers.shape != shape:
            reason = f"is {Size(*numbers.shape).spoken}, but its label map is {shape.spoken}"
            raise Rejected(files.instances, reason)
        planes.append(edges(resize_ids(frame.fitted(files.instances, numbers), frame.size)))
    colours = resize(frame.fitted(files.image, image), frame.size)
    return {
        "input": Row(files.name, np.stack(planes, axis=2), shape, whole),
        "target": Row(files.name, colours, photograph, mark(image)),
    }
