"""Effort: updates, pictures and MACs of all trainings that led to a generator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimgen.nets.supernet import Arch
from slimgen.run.record import read_record
from slimgen.training.draws import Draw

FACTS = ("updates", "pictures", "training_macs")  # their names among a stage's metrics
_LOOKED_AT = 1_000
PASSES = 3  # forward, and backward for features and for weights


@dataclass(frozen=True)
class Effort:
    """The effort of trainings.

    Attributes:
        updates: updates of the generator and of the supernet that it came from.
        pictures: pictures that generators made in training: batch size times architectures, summed over the updates;
            candidates that a search trained are counted too.
        macs: MACs of these generators, forward and backward; discriminators and teachers are not counted.
    """

    updates: int = 0
    pictures: int = 0
    macs: float = 0.0

    @classmethod
    def of(cls, updates: int, batch: int, macs: float, counted: bool = False) -> "Effort":
        """Return the effort of one generator with `macs` per image; its updates alone where the rest is `counted`."""
        shown = 0 if counted else updates * batch
        return cls(updates, shown, float(PASSES * macs * shown))

    @classmethod
    def candidates(cls, macs: Sequence[float], updates: int, batch: int) -> "Effort":
        """Return the effort of candidates with these MACs per image, each trained by itself; it has no updates."""
        shown = updates * batch
        return cls(0, shown * len(macs), float(PASSES * sum(macs) * shown))

    @classmethod
    def drawn(cls, draw: Draw, macs: Callable[[Arch], float], updates: int, batch: int) -> "Effort":
        """Return the effort of a supernet's drawn architectures, their MACs averaged over about 1,000 updates."""
        looked = range(0, updates, max(1, updates // _LOOKED_AT))
        drawn = [draw(step) for step in looked]
        per_update = sum(macs(arch) for archs in drawn for arch in archs) / max(1, len(looked))
        count = len(drawn[0]) if drawn else 0
        return cls(updates, updates * batch * count, PASSES * per_update * updates * batch)

    @classmethod
    def read(cls, folder: Path) -> "Effort":
        """Read the effort of a finished stage from its metrics."""
        metrics = read_record(folder)["metrics"]
        updates, pictures, macs = (float(str(metrics.get(name, 0))) for name in FACTS)
        return cls(int(updates), int(pictures), macs)

    def plus(self, other: "Effort") -> "Effort":
        """Return the sum of both efforts."""
        return Effort(self.updates + other.updates, self.pictures + other.pictures, self.macs + other.macs)

    def facts(self) -> Mapping[str, float]:
        """Return the effort as a stage's metrics."""
        return dict(zip(FACTS, (self.updates, self.pictures, self.macs), strict=True))
