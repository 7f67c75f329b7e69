"""Conversion of any data set: decode in order, write arrays aside, publish them with the manifest."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from slimgen.data.decoding import Decode, Decoded, Found, ItemT, Read, Row, Setting, count, in_order
from slimgen.data.forms import Forms
from slimgen.data.images import Rejected
from slimgen.data.layouts import Files
from slimgen.data.prepared import RGB, SIDES, VERSION, Manifest, SplitRecord, digest_of
from slimgen.data.shapes import Moments, image_rows
from slimgen.data.tally import Tally
from slimgen.files import MANIFEST, array_file, publish, sha256_file, write_text
from slimgen.size import Size

__all__ = ["Decode", "Found", "Progress", "Read", "Row", "Setting", "Written", "convert"]

Progress = Callable[[int, int], None]
"""Function called with the number of pairs or images done and the total."""


@dataclass
class Written:
    """Arrays of a split as far as they are written; everything by side.

    Attributes:
        size: size of the inputs; without `whole`, of all of them.
        scale: factor by which targets are larger.
        whole: whether pictures keep their own sizes.
        shapes: height and width of each picture before resizing.
        sizes: height and width of each input as written, if they keep their own.
    """

    size: Size
    channels: Mapping[str, int]
    pictures: Sequence[str] = SIDES
    scale: int = 1
    whole: bool = False
    sizes: list[Size] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=lambda: {which: [] for which in SIDES})
    shapes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {which: [] for which in SIDES})
    moments: dict[str, Moments] = field(init=False)
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moments = {which: Moments(self.channels[which]) for which in self.pictures}

    def add(self, which: str, row: Row) -> None:
        """Record one more row."""
        self.names[which].append(row.name)
        self.shapes[which].append(row.shape)
        if self.whole and which == "input":
            self.sizes.append(Size(*row.image.shape[:2]))
        if which in self.moments:
            self.moments[which].add(row.image)

    def record(self, target_names: tuple[str, ...] | None = None, paired: bool | None = None) -> SplitRecord:
        """Return the manifest's record of the split; for two sets with the targets' names and `paired`."""
        return SplitRecord(
            count=len(self.names["input"]),
            side=self.size,
            names=tuple(self.names["input"]),
            sha256=self.sha256,
            channels=None if self.channels["input"] == RGB else self.channels["input"],
            target_channels=None if self.channels["target"] == RGB else self.channels["target"],
            target_names=target_names,
            paired=paired,
            scale=None if self.scale == 1 else self.scale,
            shapes=tuple(self.sizes) if self.whole else None,
        )

    def size_of(self, which: str) -> Size | None:
        """Return the size of the pictures of a side; None if they keep their own."""
        times = 1 if which == "input" else self.scale
        return None if self.whole else Size(*(times * side for side in self.size))


def convert(
    folder: Path,
    out: Path | None,
    splits: Mapping[str, Sequence[ItemT]],
    decode: Decode[ItemT],
    setting: Setting,
    progress: Progress | None,
    *,
    found: Files[Any],
    unit: str,
    forms: Forms | None = None,
    channels: int | None = None,
    describe: Callable[[Mapping[str, Written]], dict[str, SplitRecord]] | None = None,
    scale: int = 1,
    whole: Collection[str] = (),
) -> Manifest:
    """Decode, resize and write `train`, `val` and `test`, each `.input.npy` and `.target.npy`, and the manifest.

    `manifest.json` is written last, so the folder of a killed preparation is never taken for a finished one; the same
    call then starts again and ends with the same bytes. Only a few images are in memory at a time, and other files in
    `out` are left alone. With `out=None` nothing is written.

    Args:
        folder: the data set.
        out: folder for the arrays.
        splits: pairs or images of each split.
        decode: function that reads and resizes one of them.
        setting: sizes, direction and division, recorded in the manifest.
        progress: function called after each of them.
        found: layout and unmatched images, recorded in the manifest.
        unit: name of one of them for messages, such as `pair`.
        forms: forms of the pictures, RGB by default.
        channels: channels of inputs that are no pictures; their mean and deviation are not recorded.
        describe: function that makes the splits' records, where the rows of both sides have different names.
        scale: factor by which targets are larger than inputs.
        whole: splits whose pictures keep their own sizes.

    Raises:
        DataError: a split ends empty, or most images are rejected; `out` then has no manifest.
    """
    forms = forms or Forms()
    pictures = SIDES if channels is None else ("target",)
    wide = {which: forms.sides[which].channels if which in pictures else channels or 0 for which in SIDES}
    places = {} if out is None else {one: out / array_file(*one) for one in product(splits, SIDES)}
    tally = Tally(folder, sum(map(len, splits.values())), progress)
    written: dict[str, Written] = {}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
    try:
        for name, items in splits.items():
            frame = setting.frame(name)
            written[name] = Written(frame.size, wide, pictures, scale, name in whole)
            into = {which: _partial(places[name, which]) for which in SIDES if places}
            _write(into, name, in_order(items, decode, frame), written[name], tally)
        tally.check({name: split.names.values() for name, split in written.items()}, unit)
        for place in places.values():
            publish(_partial(place), place)
    finally:
        for place in places.values():
            _partial(place).unlink(missing_ok=True)
    trained = written["train"].moments if "train" in written else {}
    units = {which: seen.tensor_units() for which, seen in trained.items() if seen.count}
    manifest = Manifest(
        version=VERSION,
        layout=found.layout,
        direction=setting.direction,
        size=setting.size,
        load=setting.load,
        seed=setting.seed,
        validation=setting.validation,
        test=setting.test,
        fit=setting.fit,
        splits=describe(written) if describe else {name: split.record() for name, split in written.items()},
        sources=dict(sorted(tally.sources.items())),
        rejected=tally.rejected,
        unmatched=tuple(path.relative_to(folder).as_posix() for path in found.unmatched),
        mean={which: mean for which, (mean, _) in units.items()},
        std={which: std for which, (_, std) in units.items()},
        ranges=forms.ranges,
        notes=(*found.notes, *forms.notes, *tally.notes(unit)),
        digest="",
    )
    manifest = manifest.model_copy(update={"digest": digest_of(manifest)})
    if out is not None:
        write_text(out / MANIFEST, manifest.model_dump_json(indent=1, exclude_none=True) + "\n")
    return manifest


def _write(into: Mapping[str, Path], name: str, decoded: Iterable[Decoded], written: Written, tally: Tally) -> None:
    """A split, into a file for each side, if there are any."""
    with ExitStack() as stack:
        arrays = {
            which: stack.enter_context(image_rows(path, written.size_of(which), written.channels[which]))
            for which, path in into.items()
        }
        for rows, sources in decoded:
            for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                if arrays:
                    arrays[which](row.image)
                written.add(which, row)
            count(tally, name, rows, sources)
    written.sha256 |= {which: sha256_file(path) for which, path in into.items()}


def _partial(place: Path) -> Path:
    return place.with_name(f"{place.name}.partial")
