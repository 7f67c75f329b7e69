"""Decode a data set of two sets of images, without pairs, once, into arrays that training maps into memory."""

import hashlib
from collections.abc import Mapping
from math import isqrt
from pathlib import Path, PurePosixPath

from slimgen.data.conversion import Decoded, Progress, Row, Setting, Written, convert
from slimgen.data.division import held_out
from slimgen.data.images import Rejected, contents, decode
from slimgen.data.layouts import Member, Sets, find_sets
from slimgen.data.prepared import SIDES, Manifest, SplitRecord
from slimgen.data.shapes import alike, half, resize


def prepare_unpaired(
    folder: Path,
    out: Path,
    *,
    size: int,
    load: int,
    direction: str,
    validation: int | float,
    seed: int,
    progress: Progress | None = None,
    partners: bool = True,
) -> Manifest:
    """Write two sets of images as arrays: `train`, `val` and `test`, each `.input.npy` and `.target.npy`.

    The sets may differ in number. As in CycleGAN's protocol, and as pairs are, images are resized to a square whatever
    their proportions, train to `load` (to be cropped) and the others to `size` pixels a side. A photograph that is
    wider than high has often fewer rows than the published 256: only images of fewer pixels than size x size, to which
    resizing would add more than it keeps, are rejected.

    The validation images are held out of both sets of train, by the hash of (seed, name without suffix). A data set
    with both `val` and `test` keeps its own `val`; one with `val` alone is tested on it.

    Images of the same name in both sets may be partners: then evaluation has a truth, which training and search never
    see. A split is `paired` when its two sides have the same names, and no two images of the whole data set that share
    a name differ in their proportions (those of a set that was merely numbered do).

    `manifest.json` is written last, as `prepare_pairs` does.

    Args:
        folder: the data set, in one of the layouts of two sets.
        out: where to write; other files in it are left alone.
        size: pixels of a side in val and test, and of the crop in training.
        load: pixels of a side in train, at least `size`.
        direction: `AtoB` or `BtoA`.
        validation: how many images of each set of train to hold out, or which fraction.
        seed: chooses them.
        progress: called with (images done, all images).
        partners: False where equal names mean nothing: no split is then `paired`.

    Returns:
        The manifest, as `Prepared.open(out)` would read it.

    Raises:
        DataError: if sizes do not fit, the layout is not known, a side of a split ends empty or most images are
            rejected.
    """
    setting = Setting(size, load, direction, validation, seed)
    sets = find_sets(folder, direction)
    return convert(
        folder,
        out,
        _divide(sets, setting),
        _image,
        lambda written: _records(written, partners and _names_mean_partners(written)),
        setting=setting,
        layout=sets.layout,
        unit="image of each side",
        progress=progress,
    )


def _divide(sets: Sets, setting: Setting) -> dict[str, tuple[Member, ...]]:
    """Train, val and test of what was found."""
    found = sets.splits
    if "val" in found and "test" in found:
        return {"train": found["train"], "val": found["val"], "test": found["test"]}
    train: list[Member] = []
    val: list[Member] = []
    for which in SIDES:
        members = [member for member in found["train"] if member.which == which]
        stems = [member.stem for member in members]
        held = held_out(stems, setting.validation, setting.seed, f"{which} images")
        for place, member in enumerate(members):
            (val if place in held else train).append(member)
    return {"train": tuple(train), "val": tuple(val), "test": found["test"] if "test" in found else found["val"]}


def _image(member: Member, side: int, size: int) -> Decoded:
    path = member.at.path
    sources: dict[Path, str] = {}
    try:
        data = contents(path)
        sources[path] = hashlib.sha256(data).hexdigest()
        image = half(member.at, decode(path, data))
        height, width = image.shape[:2]
        if height * width < size * size:
            reason = f"is {width} x {height}, fewer pixels than the crop of {size}"
            raise Rejected(path, reason, f"set a size of at most {isqrt(height * width)} to use it")
    except Rejected as fault:
        return Decoded(fault, sources)
    return Decoded({member.which: Row(member.name, resize(image, side), (height, width))}, sources)


def _records(written: Mapping[str, Written], partners: bool) -> dict[str, SplitRecord]:
    records = {}
    for name, split in written.items():
        inputs, targets = (tuple(split.names[which]) for which in SIDES)
        records[name] = SplitRecord(
            count=len(inputs),
            side=split.side,
            names=inputs,
            sha256=split.sha256,
            target_names=targets,
            paired=partners and _stems(inputs) == _stems(targets),
        )
    return records


def _names_mean_partners(written: Mapping[str, Written]) -> bool:
    for split in written.values():
        inputs, targets = (dict(zip(_stems(split.names[which]), split.shapes[which], strict=True)) for which in SIDES)
        if not all(alike(inputs[stem], targets[stem]) for stem in inputs.keys() & targets.keys()):
            return False
    return True


def _stems(names: list[str] | tuple[str, ...]) -> list[str]:
    return [PurePosixPath(name).with_suffix("").as_posix() for name in names]
