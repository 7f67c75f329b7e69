"""A look at a data set of label maps before it is prepared: how many, of which classes, and what cannot be used."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slimgen.data.images import Rejected, contents, decode, quiet
from slimgen.data.label_layouts import find_labels
from slimgen.data.label_maps import UNKNOWN, Classes, read_instances


@dataclass(frozen=True)
class Looked:
    """What was found.

    Attributes:
        layout: of the folder.
        counts: label maps by split.
        lonely: files without a partner, by their paths in the folder.
        classes: one more than the highest id.
        unknown: whether pixels have the id 255, which means that nobody knows.
        rejected: why files cannot be used, by their paths in the folder.
    """

    layout: str
    counts: dict[str, int]
    lonely: list[str]
    classes: int
    unknown: bool
    rejected: dict[str, str]


def look(folder: Path, *, instances: bool, size: int) -> Looked:
    """Reads every file of a data set of label maps; nothing is written.

    Args:
        folder: the data set.
        instances: whether there are maps of instances.
        size: pixels of a side that every label map must have.

    Raises:
        DataError: as `find_labels`.
    """
    found = find_labels(folder, instances)
    every = Classes(UNKNOWN, unknown=True)
    highest, unknown, rejected = -1, False, {}
    with quiet():
        for one in (one for split in found.splits.values() for one in split):
            try:
                ids = every.read(one.labels, contents(one.labels))
                height, width = ids.shape
                if min(ids.shape) < size:
                    raise Rejected(one.labels, f"is {width} x {height}, smaller than {size} pixels")
                decode(one.image, contents(one.image))
                if one.instances is not None:
                    read_instances(one.instances, contents(one.instances))
            except Rejected as fault:
                rejected[fault.path.relative_to(folder).as_posix()] = fault.reason
                continue
            seen = {int(number) for number in np.unique(ids)}
            unknown |= UNKNOWN in seen
            highest = max(seen - {UNKNOWN} | {highest})
    counts = {name: len(split) for name, split in found.splits.items()}
    lonely = [path.relative_to(folder).as_posix() for path in found.lonely]
    return Looked(found.layout, counts, lonely, highest + 1, unknown, rejected)
