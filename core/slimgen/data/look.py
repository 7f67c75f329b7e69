"""Look at a data set before it is prepared: its layout, its numbers of images, and files that cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from slimgen.data.aspects import Shapes
from slimgen.data.decoding import Found, Read, Row, Setting
from slimgen.data.images import contents
from slimgen.data.label_maps import UNKNOWN, Classes, LabelFiles
from slimgen.data.layouts import Files
from slimgen.data.prepare_images import customary, found_images
from slimgen.data.prepare_translation import found_labels, found_pairs, found_sets
from slimgen.data.prepare_upscaling import found_scaled
from slimgen.data.prepared import RGB, SIDES, Manifest
from slimgen.data.shapes import Frame
from slimgen.data.walking import counted
from slimgen.size import Fit, Size

ANY: Size = Size(1, 1)
"""Size to which every picture can be resized."""


@dataclass(frozen=True)
class Look:
    """Requirements of a look: size and direction of images, and instance maps beside label maps.

    Attributes:
        size: size to which images will be resized; None accepts any.
        fit: treatment of images of another aspect ratio.
        scale: factor of an enlargement.
    """

    size: Size | None = None
    direction: str = "AtoB"
    instances: bool = False
    fit: Fit | None = None
    scale: int = 4

    @property
    def setting(self) -> Setting:
        """Setting with which the images would be prepared."""
        size, fit = (ANY, "squash") if self.size is None else (self.size, self.fit)
        return Setting(size, size, self.direction, fit=fit)

    @property
    def frame(self) -> Frame | None:
        """Frame of the images; None without a size."""
        return None if self.size is None else self.setting.frame("test")


@dataclass(frozen=True)
class Looked:
    """Result of a look.

    Attributes:
        facts: for programs: layout, counts by split, images without a partner.
        lines: the same for people: name to text.
        rejected: reasons why files cannot be used, by their paths in the folder.
        notes: further notes for the user.
    """

    facts: dict[str, object]
    lines: dict[str, str]
    rejected: dict[str, str]
    notes: list[str] = field(default_factory=list)


def look_at_pairs(folder: Path, look: Look) -> Looked:
    """Look at pairs; raise DataError as `find_pairs` does."""
    found = found_pairs(folder, look.setting)
    return _with_unmatched(folder, found.files, _looked(folder, found, look, "pairs", "pair"))


def look_at_sets(folder: Path, look: Look) -> Looked:
    """Look at two sets of images; raise DataError as `find_sets` does.

    An image must have as many pixels as the size, and may be shorter on one side.
    """
    found = found_sets(folder, look.setting)
    looked = _looked(folder, found, look, "images", "image")
    counts = {
        name: {which: sum(member.which == which for member in split) for which in SIDES}
        for name, split in found.files.splits.items()
    }
    looked.facts["images"] = counts
    looked.lines["images"] = ", ".join(f"{name} {one['input']} + {one['target']}" for name, one in counts.items())
    return looked


def look_at_images(folder: Path, look: Look) -> Looked:
    """Look at images without inputs; raise DataError as `find_images` does."""
    usual = None if look.frame is None else customary(look.frame)
    return _looked(folder, found_images(folder, look.setting), look, "images", "image", usual)


def look_at_scaled(folder: Path, look: Look) -> Looked:
    """Look at pictures for upscaling by the scale; raise DataError as `find_scaled` does."""
    found = found_scaled(folder, look.setting, look.scale)
    looked = _looked(folder, found, replace(look, size=None), "images", "image")
    return _with_unmatched(folder, found.files, looked)


def look_at_labels(folder: Path, look: Look) -> Looked:
    """Look at label maps with their photographs, all of which are read; raise DataError as `find_labels` does."""
    every, seen = Classes(UNKNOWN, unknown=True), set[int]()
    found = found_labels(folder, look.setting, classes=every, instances=look.instances)

    def decode(files: LabelFiles, read: Read, frame: Frame) -> Mapping[str, Row]:
        rows = found.decode(files, read, frame)
        seen.update(map(int, np.unique(every.read(files.labels, contents(files.labels)))))
        return rows

    looked = _looked(folder, replace(found, decode=decode), look, "maps", "label map")
    looked = _with_unmatched(folder, found.files, looked)
    classes, unknown = max(seen - {UNKNOWN}, default=-1) + 1, UNKNOWN in seen
    looked.facts.update(classes=classes, unknown=unknown)
    looked.lines["classes"] = f"{classes}{' and unknown' if unknown else ''}"
    return looked


def looked_of(manifest: Manifest) -> Looked:
    """Return the findings of a preparation."""
    counts = {name: split.count for name, split in manifest.splits.items()}
    facts: dict[str, object] = {"layout": manifest.layout, "kept": counts, "unmatched": list(manifest.unmatched)}
    facts |= {"size": manifest.size.plain, "fit": manifest.fit}
    lines = {"layout": manifest.layout, "kept": _line(counts), "unmatched": str(len(manifest.unmatched))}
    what = f"resized to {manifest.size}"
    scale = manifest.splits["test"].scale
    if scale is not None:
        facts["scale"], what = scale, f"whole, beside the same pictures made {scale} times smaller"
    lines["fit"] = what if manifest.fit is None else f"{what}; pictures of another aspect ratio: {manifest.fit}"
    for name, split in manifest.splits.items():
        if split.target_names is not None:
            facts["kept"] = {**counts, f"{name} targets": len(split.target_names)}
    train = manifest.splits.get("train", manifest.splits["test"])
    _add_channels(facts, lines, {which: train.wide(which) for which in SIDES})
    return Looked(facts, lines, dict(manifest.rejected), list(manifest.notes))


def _looked(folder: Path, found: Found[Any], look: Look, what: str, unit: str, frame: Frame | None = None) -> Looked:
    """Return layout, counts by split, shapes, files that cannot be used, and notes."""
    files, counts = found.files, {name: len(split) for name, split in found.files.splits.items()}
    shapes = Shapes(frame or look.frame)
    tally = found.examined(folder, look.setting, shapes.see)
    facts: dict[str, object] = {"layout": files.layout, what: counts, **shapes.facts}
    lines = {"layout": files.layout, what: _line(counts), **shapes.lines}
    if files.passed:
        facts["passed over"], lines["passed over"] = dict(files.passed), counted(files.passed)
    _add_channels(facts, lines, {which: form.channels for which, form in found.forms.sides.items()})
    return Looked(facts, lines, tally.rejected, [*files.doubts, *found.forms.notes, *tally.notes(unit)])


def _add_channels(facts: dict[str, object], lines: dict[str, str], channels: Mapping[str, int]) -> None:
    """Add the channels of each side, unless all are RGB."""
    if set(channels.values()) - {RGB}:
        facts["channels"], lines["channels"] = dict(channels), _line(channels)


def _line(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _with_unmatched(folder: Path, files: Files[Any], looked: Looked) -> Looked:
    names = [path.relative_to(folder).as_posix() for path in files.unmatched]
    looked.facts["unmatched"] = names
    looked.lines["unmatched"] = f"{len(names)}{': ' + ', '.join(names[:5]) if names else ''}"
    if names and files.hint:
        looked.notes.append(files.hint)
    return looked
