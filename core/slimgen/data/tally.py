"""Tally of the images of a data set so far: read, kept, rejected, and duplicates."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path

from slimgen.data.images import Rejected
from slimgen.errors import DataError

Marks = tuple[tuple[str, bytes], ...]
"""Digests of the pixels of a pair or an image, by side."""


@dataclass
class Tally:
    """Counts over `total` pairs or images of a folder, one after the other.

    Attributes:
        sources: SHA-256 of each file that was read, by its path in the folder.
        rejected: reasons of rejected files, by path.
        kept: number of times that each pair or image occurs in a split.
    """

    folder: Path
    total: int
    progress: Callable[[int, int], None] | None = None
    done: int = 0
    refused: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)
    kept: dict[str, Counter[Marks]] = field(default_factory=dict)

    def read(self, sources: Mapping[Path, str]) -> None:
        """Record the files of the next pair or image, and report progress."""
        for path, digest in sources.items():
            self.sources[path.relative_to(self.folder).as_posix()] = digest
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def refuse(self, fault: Rejected) -> None:
        """Record a rejected pair or image."""
        self.refused += 1
        self.rejected[fault.path.relative_to(self.folder).as_posix()] = fault.reason
        if fault.hint and fault.hint not in self.hints:
            self.hints.append(fault.hint)

    def keep(self, split: str, marks: Marks) -> None:
        """Record a kept pair or image."""
        self.kept.setdefault(split, Counter())[marks] += any(mark for _, mark in marks)

    def check(self, kept: Mapping[str, Iterable[Sized]], unit: str) -> None:
        """Raise DataError if a side of a split is empty, or more than half of all were rejected."""
        first = "; ".join(f"{name} {reason}" for name, reason in list(self.rejected.items())[:3])
        complaint, hint = f"{self.refused} of {self.total} rejected: {first}", "; ".join(self.hints[:3]) or None
        for name, sides in kept.items():
            if not all(map(len, sides)):
                raise DataError(f"the split {name!r} must keep at least one {unit}", complaint, hint)
        if 2 * self.refused > self.total:
            raise DataError("at least half of the images must be usable", complaint, hint)

    def notes(self, unit: str) -> list[str]:
        """Return notes on duplicates: test images that are also training images, and repeated training images."""
        unit = unit.partition(" of")[0]
        learned = self.kept.get("train", Counter()) + self.kept.get("val", Counter())
        leaked = sum(count for marks, count in self.kept.get("test", Counter()).items() if marks in learned)
        again = sum(learned.values()) - len(learned)
        notes = []
        if leaked:
            which = f"{_counted(leaked, f'test {unit}')} equal to training {unit}s"
            notes.append(f"{which}: results will look better than they are")
        if again:
            notes.append(f"{_counted(again, 'duplicate')} among the training {unit}s")
        return notes


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
