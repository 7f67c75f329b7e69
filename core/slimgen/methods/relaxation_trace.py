"""What a relaxation believes while gradients search it: kept step by step, for the search to draw."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slimgen.files import TRACE
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.weights import load_weights
from slimgen.run.log import Log
from slimgen.search import Genotype, Space, Trial, Value
from slimgen.training.fit import Journal

LIKELIHOOD = "log_probability"
"""What a search by gradients improves: the logarithm of an architecture's probability under its relaxation, in nats."""
_LINES = 500
Logs = Mapping[str, Mapping[Value, float]]
"""Choice to option to the logarithm of its probability."""


class Trace:
    """Writes the probabilities of every choice into a stage's folder, one line of JSON every few steps.

    A line holds `step`, the mean `entropy` in nats, the `genotype` (its key) of the likeliest options, and
    `probabilities`: choice to option to number. It depends on the logits alone, so a training that was resumed leaves
    the same file as one left alone: lines of steps that are taken again are dropped before.

    Args:
        out: the stage's folder.
        relaxations: by name, the first word of their choices' names; an empty one for a relaxation alone.
        every: steps between lines, besides the first and the last; see `spaced`.
    """

    def __init__(self, out: Path, relaxations: Mapping[str, Relaxation], every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1; got {every}.")
        self.relaxations, self.every, self.log = relaxations, every, Log(out / TRACE)
        self._begun = False

    def watching(self, journal: Journal) -> Journal:
        """A training's journal, that leaves the trace, too."""

        def progress(done: int, steps: int, losses: Mapping[str, float]) -> None:
            self.step(done, steps)
            if journal.progress is not None:
                journal.progress(done, steps, losses)

        return replace(journal, progress=progress)

    def step(self, done: int, steps: int) -> None:
        """To be called after every step, in order; a line where one is due.

        Args:
            done: steps that were taken, counted from 1.
            steps: in all.
        """
        if not self._begun:
            self.log.truncate_after(done - 1)
            self._begun = True
        if done in (1, steps) or done % self.every == 0:
            entropy = self.entropy()
            shown = {
                name: {option: round(number, 6) for option, number in options.items()}
                for name, options in self.probabilities().items()
            }
            # Lines are rare: the file is closed after each, so that a training may end anywhere.
            with self.log:
                self.log.log(step=done, entropy=entropy, genotype=self.genotype().key, probabilities=shown)

    def probabilities(self) -> dict[str, dict[str, float]]:
        """Every choice's options, as text, with their probabilities."""
        found = {}
        for prefix, relaxation in self.relaxations.items():
            for name, numbers in relaxation.probabilities().items():
                options = map(str, relaxation.options[name])
                found[f"{prefix}.{name}" if prefix else name] = dict(zip(options, numbers.tolist(), strict=True))
        return found

    def entropy(self) -> float:
        """The mean entropy of all choices in nats."""
        each = [entropy for relaxation in self.relaxations.values() for entropy in relaxation.entropy().values()]
        return math.fsum(each) / len(each) if each else 0.0

    def genotype(self) -> Genotype:
        """The likeliest options of all relaxations together."""
        whole = Genotype({})
        for prefix, relaxation in self.relaxations.items():
            likely = relaxation.argmax()
            whole = whole | (likely.prefixed(prefix) if prefix else likely)
        return whole


def read_relaxation(file: Path, space: Space) -> Relaxation:
    """The logits of a space that a supernet's stage left."""
    relaxation = Relaxation(space, seed=0)
    relaxation.load_state_dict(load_weights(file))
    return relaxation


def likely_trial(genotype: Genotype, costs: Mapping[str, float], logs: Logs, step: str, number: int = 0) -> Trial:
    """An architecture, what it costs, and how probable it is: the product over its choices."""
    nats = math.fsum(options[genotype[name]] for name, options in logs.items())
    return Trial(genotype, dict(costs), {LIKELIHOOD: nats}, number, step)


def spaced(steps: int) -> int:
    """Steps between the lines of a trace, so that one of a long training stays readable."""
    return max(50, steps // _LINES)
