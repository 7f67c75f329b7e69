"""Effort: what all trainings that led to a generator took together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimgen.nets.supernet import Arch
from slimgen.run.record import read_record
from slimgen.training.draws import Draw

FACTS = ("updates", "pictures", "training_macs")  # as a stage's metrics
_LOOKED_AT = 1_000
PASSES = 3  # forward, and back for features and weights


@dataclass(frozen=True)
class Effort:
    """What trainings took.

    Attributes:
        updates: of what became the generator: of its supernet, then of itself.
        pictures: that generators made to learn from: batch times architectures of every update; candidates that a
            search trained, to choose among them, are counted too.
        macs: of these generators, forward and back; their discriminators and teachers are not counted.
    """

    updates: int = 0
    pictures: int = 0
    macs: float = 0.0

    @classmethod
    def of(cls, updates: int, batch: int, macs: float, counted: bool = False) -> "Effort":
        """Of one generator of so many MACs an image; its updates alone, where a search has counted the rest."""
        shown = 0 if counted else updates * batch
        return cls(updates, shown, float(PASSES * macs * shown))

    @classmethod
    def candidates(cls, macs: Sequence[float], updates: int, batch: int) -> "Effort":
        """Of candidates of so many MACs an image, each trained by itself to be measured: no updates in line."""
        shown = updates * batch
        return cls(0, shown * len(macs), float(PASSES * sum(macs) * shown))

    @classmethod
    def drawn(cls, draw: Draw, macs: Callable[[Arch], float], updates: int, batch: int) -> "Effort":
        """Of architectures that are drawn. Of more than a thousand updates, as many are looked at, evenly apart."""
        looked = range(0, updates, max(1, updates // _LOOKED_AT))
        drawn = [draw(step) for step in looked]
        per_update = sum(macs(arch) for archs in drawn for arch in archs) / max(1, len(looked))
        count = len(drawn[0]) if drawn else 0
        return cls(updates, updates * batch * count, PASSES * per_update * updates * batch)

    @classmethod
    def read(cls, folder: Path) -> "Effort":
        """Of a finished stage, which leaves it among its metrics."""
        metrics = read_record(folder)["metrics"]
        updates, pictures, macs = (float(str(metrics.get(name, 0))) for name in FACTS)
        return cls(int(updates), int(pictures), macs)

    def plus(self, other: "Effort") -> "Effort":
        """Both."""
        return Effort(self.updates + other.updates, self.pictures + other.pictures, self.macs + other.macs)

    def facts(self) -> Mapping[str, float]:
        """As a stage's metrics."""
        return dict(zip(FACTS, (self.updates, self.pictures, self.macs), strict=True))
