"""Preparing label maps with their photographs: which files they are, and what becomes of one label map."""

from functools import partial
from pathlib import Path

import numpy as np

from slimgen.data.conversion import Progress, Read, Row, Setting, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, decode
from slimgen.data.label_maps import Classes, LabelFiles, edges, find_labels, read_instances
from slimgen.data.prepared import Manifest
from slimgen.data.shapes import alike, require_pixels, resize, resize_ids
from slimgen.errors import DataError


def prepare_labels(
    folder: Path,
    out: Path,
    setting: Setting,
    progress: Progress | None = None,
    *,
    classes: Classes,
    instances: bool,
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
    found = find_labels(folder, instances)
    return convert(
        folder,
        out,
        divide(found.splits, setting, "label maps"),
        partial(_labelled, classes),
        setting,
        progress,
        layout=found.layout,
        unmatched=found.unmatched,
        unit="label map",
        channels=1 + instances,
    )


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
