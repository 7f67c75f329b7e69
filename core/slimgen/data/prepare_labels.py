"""Decode a data set of label maps and photographs once, into arrays that training maps into memory."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from slimgen.data.conversion import Decoded, Progress, Row, Setting, Written, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, contents, decode
from slimgen.data.label_layouts import LabelFiles, find_labels
from slimgen.data.label_maps import Classes, edges, read_instances
from slimgen.data.prepared import Manifest, SplitRecord
from slimgen.data.shapes import alike, resize, resize_ids
from slimgen.errors import DataError


def prepare_labels(
    folder: Path,
    out: Path,
    *,
    classes: Classes,
    instances: bool,
    size: int,
    load: int,
    validation: int | float,
    seed: int,
    direction: str = "AtoB",
    progress: Progress | None = None,
) -> Manifest:
    """Write label maps and photographs as arrays: `train`, `val` and `test`, each `.input.npy` and `.target.npy`.

    A label map is written as ids, uint8 (side, side, 1), or (side, side, 2) with the edges of instances (0 or 255).
    All are resized to a square, train to `load` and the others to `size` pixels a side: photographs as in
    `prepare_pairs`, label maps and instances to the nearest pixel; edges are drawn after that, one pixel a side.

    Validation, the manifest and the order of writing are those of `prepare_pairs`.

    Args:
        folder: the data set, in one of the layouts of label maps.
        out: where to write; other files in it are left alone.
        classes: what the numbers of a label map mean.
        instances: whether maps of instances are there, and their edges wanted.
        size: pixels of a side in val and test, and of the crop in training. Smaller images are rejected.
        load: pixels of a side in train, at least `size`.
        validation: how many label maps of train to hold out, or which fraction.
        seed: chooses them.
        direction: `AtoB`: from label maps to photographs; there is no other.
        progress: called with (label maps done, all of them).

    Returns:
        The manifest, as `Prepared.open(out)` would read it.

    Raises:
        DataError: if sizes or the direction do not fit, the layout is not known, a split ends empty or most label maps
            are rejected.
    """
    if direction != "AtoB":
        raise DataError("label maps become photographs, in the direction AtoB", direction, "leave data.direction out")
    setting = Setting(size, load, direction, validation, seed)
    found = find_labels(folder, instances)
    channels = 1 + instances
    return convert(
        folder,
        out,
        divide(found.splits, setting, "label maps"),
        partial(_labelled, classes),
        partial(_records, channels),
        setting=setting,
        layout=found.layout,
        lonely=found.lonely,
        unit="label map",
        progress=progress,
        channels=channels,
    )


def _records(channels: int, written: Mapping[str, Written]) -> dict[str, SplitRecord]:
    return {
        name: SplitRecord(
            count=len(split.names["input"]),
            side=split.side,
            names=tuple(split.names["input"]),
            sha256=split.sha256,
            channels=channels,
        )
        for name, split in written.items()
    }


def _labelled(classes: Classes, files: LabelFiles, side: int, size: int) -> Decoded:
    sources: dict[Path, str] = {}

    def read(path: Path) -> bytes:
        data = contents(path)
        sources[path] = hashlib.sha256(data).hexdigest()
        return data

    try:
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
        if min(shape) < size:
            reason = f"is {width} x {height}, smaller than the crop of {size}"
            raise Rejected(files.labels, reason, f"set a size of at most {min(shape)} to use it")
    except Rejected as fault:
        return Decoded(fault, sources)
    rows = {
        "input": Row(files.name, np.stack(planes, axis=2), shape),
        "target": Row(files.name, resize(image, side), image.shape[:2]),
    }
    return Decoded(rows, sources)
