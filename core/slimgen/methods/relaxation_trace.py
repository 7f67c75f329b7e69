"""The probabilities of a relaxation during its training, stored every few steps for the search to draw."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slimgen.data.batches import Pair
from slimgen.files import LOGITS, TRACE
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.weights import load_weights, save_weights
from slimgen.run.log import Log
from slimgen.search import Genotype, Space, Trial, Value
from slimgen.tasks.task import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, Phase, Stateful, fit

LIKELIHOOD = "log_probability"
"""The quality in gradient searches: the logarithm of an architecture's probability under its relaxation, in nats."""
Logs = Mapping[str, Mapping[Value, float]]
"""Choice to option to its log probability in nats."""


class Trace:
    """A log of the probabilities of every choice, in a stage's folder: one line of JSON every few steps.

    A line holds `step`, the mean `entropy` in nats, the key of the most probable `genotype`, and `probabilities`:
    choice to option to number. Lines depend on the logits alone, and those of repeated steps are dropped first, so a
    resumed training leaves the same file as an uninterrupted one.

    Args:
        out: the stage's folder.
        relaxations: the relaxations by name, the first word of their choices' names; "" for a single relaxation.
        every: steps between lines, besides the first and the last.
    """

    def __init__(self, out: Path, relaxations: Mapping[str, Relaxation], every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1; got {every}.")
        self.relaxations, self.every, self.log = relaxations, every, Log(out / TRACE)
        self._begun = False

    def watching(self, journal: Journal) -> Journal:
        """Return a training's journal that also writes the trace."""

        def progress(done: int, steps: int, losses: Mapping[str, float]) -> None:
            self.step(done, steps)
            if journal.progress is not None:
                journal.progress(done, steps, losses)

        return replace(journal, progress=progress)

    def step(self, done: int, steps: int) -> None:
        """Log a step where a line is due; call it after every step, in order, with `done` counting from 1."""
        if not self._begun:
            self.log.truncate_after(done - 1)
            self._begun = True
        if done in (1, steps) or done % self.every == 0:
            key, shown = self.genotype().key, self.probabilities()
            # Lines are rare, so the file is closed after each, and the training may be stopped at any time.
            with self.log:
                self.log.log(step=done, entropy=self.entropy(), genotype=key, probabilities=shown)

    def probabilities(self) -> dict[str, dict[str, float]]:
        """Return each choice's options, as text, with their probabilities rounded to six digits."""
        found = {}
        for prefix, relaxation in self.relaxations.items():
            for name, numbers in relaxation.probabilities().items():
                options = zip(map(str, relaxation.options[name]), numbers.tolist(), strict=True)
                found[f"{prefix}.{name}" if prefix else name] = {one: round(number, 6) for one, number in options}
        return found

    def entropy(self) -> float:
        """Return the mean entropy of all choices in nats."""
        each = [entropy for relaxation in self.relaxations.values() for entropy in relaxation.entropy().values()]
        return math.fsum(each) / len(each) if each else 0.0

    def genotype(self) -> Genotype:
        """Return the most probable options of all relaxations together."""
        whole = Genotype({})
        for prefix, relaxation in self.relaxations.items():
            likely = relaxation.argmax()
            whole = whole | (likely.prefixed(prefix) if prefix else likely)
        return whole


def train_traced(
    job: Job,
    relaxations: Mapping[str, Relaxation],
    phases: Sequence[Phase],
    batches: Mapping[str, Callable[[int], Pair]],
    steps: int,
    state: Mapping[str, Stateful],
) -> float:
    """Train a supernet with its relaxations, write their trace and logits, and return their mean entropy in nats."""
    trace = Trace(job.out, relaxations, max(50, steps // 500))  # at most about 500 lines, to stay readable
    if steps:
        seed, journal, draw = job.recipe.seed, trace.watching(job.journal("supernet")), fixed(Genotype({}))
        fit(phases, draw, batches, steps, seed=seed, compute=job.compute, state=state, journal=journal)
    for name, relaxation in relaxations.items():
        save_weights(job.out / _logits_file(name), relaxation.state_dict())
    return trace.entropy()


def read_relaxation(job: Job, space: Space, name: str = "") -> Relaxation:
    """Read the relaxation of a space, by its name, from the logits that the supernet stage wrote."""
    relaxation = Relaxation(space, seed=0)
    relaxation.load_state_dict(load_weights(job.inputs["supernet"] / _logits_file(name)))
    return relaxation


def _logits_file(name: str) -> str:
    return f"{name}_{LOGITS}" if name else LOGITS


def likely_trial(genotype: Genotype, costs: Mapping[str, float], logs: Logs, step: str, number: int = 0) -> Trial:
    """Return the trial of an architecture: its costs and its log probability, the sum over its choices."""
    nats = math.fsum(options[genotype[name]] for name, options in logs.items())
    return Trial(genotype, dict(costs), {LIKELIHOOD: nats}, number, step)
