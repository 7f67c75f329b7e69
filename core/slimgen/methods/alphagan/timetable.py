"""Which part of Algorithm 1 a step belongs to (Tian et al.): exact, so that it can be counted."""

from dataclasses import dataclass
from typing import NamedTuple

WEIGHTS, DISCRIMINATOR_BAR, GENERATOR_BAR, ARCHITECTURE = (
    "weights",
    "discriminator_bar",
    "generator_bar",
    "architecture",
)
PARTS = (WEIGHTS, DISCRIMINATOR_BAR, GENERATOR_BAR, ARCHITECTURE)
"""The parts of an iteration, in their order: lines 3 to 8, Algorithm 2's two loops, lines 10 to 13."""


class Moment(NamedTuple):
    """Where a step is.

    Attributes:
        part: one of `PARTS`.
        iteration: counted from 0.
        place: of the step in its part of its iteration, counted from 0.
        number: of the step among all of its part, counted from 0.
    """

    part: str
    iteration: int
    place: int
    number: int


@dataclass(frozen=True)
class Timetable:
    """The steps of a search, one after the other: a step is one update of D, D-bar, G-bar or the logits.

    G is updated in the steps of the weights that are due. While the logits are held, nobody would look at the bars, so
    an iteration of the warm-up has steps of the weights alone (which is what makes it cheap: supplement, .2.3).

    Attributes:
        iterations: K.
        weights: steps of the weights in each (T).
        bars: steps of D-bar, and of G-bar, in each that is not of the warm-up (R).
        architecture: steps of the logits in each of those (S).
        warm: how many of the iterations are the warm-up.
    """

    iterations: int
    weights: int
    bars: int
    architecture: int
    warm: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many steps each part has in all."""
        searching = self.iterations - self.warm
        return {
            WEIGHTS: self.iterations * self.weights,
            DISCRIMINATOR_BAR: searching * self.bars,
            GENERATOR_BAR: searching * self.bars,
            ARCHITECTURE: searching * self.architecture,
        }

    @property
    def steps(self) -> int:
        """How many there are in all."""
        return sum(self.counts.values())

    def at(self, step: int) -> Moment:
        """Where a step is; steps are counted from 0."""
        if step < self.warm * self.weights:
            return Moment(WEIGHTS, step // self.weights, step % self.weights, step)
        searched, place = divmod(step - self.warm * self.weights, self.weights + 2 * self.bars + self.architecture)
        starts = (0, self.weights, self.weights + self.bars, self.weights + 2 * self.bars)
        part, start = next(
            (part, start) for part, start in zip(PARTS[::-1], starts[::-1], strict=True) if place >= start
        )
        iteration, place = self.warm + searched, place - start
        before = iteration if part == WEIGHTS else searched
        length = {WEIGHTS: self.weights, ARCHITECTURE: self.architecture}.get(part, self.bars)
        return Moment(part, iteration, place, before * length + place)
