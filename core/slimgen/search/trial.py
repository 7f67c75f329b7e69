"""Trials: genotypes with their measured costs and quality."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slimgen.errors import RunError
from slimgen.search.budget import Objective
from slimgen.search.genotype import Genotype

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluated genotype.

    Attributes:
        costs: the costs, by the kinds of a `Budget`.
        quality: the metrics, by name; NaN and infinities are kept and count as worst.
        round: the search's round, from 0.
        step: the search's step, where there are several (path, operator, channel).
        seconds: the duration of the evaluation.
        complete: whether all images were used. A candidate hopelessly behind its rival is stopped early, and its
            quality is then an estimate: searchers may learn from it, but it is never best, nor on a Pareto front.
    """

    genotype: Genotype
    costs: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    round: int = 0
    step: str = ""
    seconds: float = 0.0
    complete: bool = True

    def to_json(self) -> dict[str, object]:
        """Return plain values for strict JSON; NaN and infinities become the text "nan", "inf" or "-inf"."""
        return {
            "key": self.genotype.key,
            "genotype": self.genotype.to_json(),
            "costs": {name: _written(value) for name, value in self.costs.items()},
            "quality": {name: _written(value) for name, value in self.quality.items()},
            "round": self.round,
            "step": self.step,
            "seconds": _written(self.seconds),
            "complete": self.complete,
        }

    def row(self) -> dict[str, object]:
        """Return the trial as a row of a table."""
        about = {"key": self.genotype.key, "step": self.step, "round": self.round}
        return {**about, **self.quality, **self.costs, "complete": self.complete, **self.genotype.to_json()}

    @classmethod
    def from_json(cls, value: object) -> "Trial":
        """Return the trial that `to_json` wrote; raise RunError for anything else. `complete` defaults to true."""
        try:
            if not isinstance(value, Mapping):
                raise TypeError(type(value).__name__)
            if not isinstance(complete := value.get("complete", True), bool):
                raise TypeError(f"complete must be true or false, not {complete!r}")
            return cls(
                Genotype.from_json(value["genotype"]),
                {name: _read(number) for name, number in value["costs"].items()},
                {name: _read(number) for name, number in value["quality"].items()},
                int(value["round"]),
                str(value["step"]),
                _read(value["seconds"]),
                complete,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError("a trial needs genotype, costs, quality, round, step and seconds", repr(error)) from error


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))


def _read(value: object) -> float:
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        return value
    raise TypeError(f"a number must be given, not {value!r}")


def best(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """Return the fittest complete trial, the earliest among equals; None if none has a finite quality."""
    finite = [t for t in trials if t.complete and objective.fitness(t.quality) > -math.inf]
    return max(finite, key=lambda trial: objective.fitness(trial.quality), default=None)


def leading(trials: Iterable[Trial], objective: Objective, count: int) -> list[Genotype]:
    """Return the genotypes of the best complete trials, at most `count`, best first; among equals the earliest."""
    finite = [t for t in trials if t.complete and objective.fitness(t.quality) > -math.inf]
    return [trial.genotype for trial in sorted(finite, key=lambda t: -objective.fitness(t.quality))[:count]]


def leaders(trials: Iterable[Trial], objective: Objective) -> list[tuple[int, Trial]]:
    """Return each round's number, counted over all steps, and the best complete trial of its step by then."""
    numbers: dict[tuple[str, int], int] = {}
    fittest: dict[str, Trial] = {}
    course: dict[int, Trial] = {}
    for trial in trials:
        number = numbers.setdefault((trial.step, trial.round), len(numbers))
        rival = fittest.get(trial.step)
        fitter = rival is None or objective.fitness(trial.quality) > objective.fitness(rival.quality)
        if trial.complete and fitter:
            fittest[trial.step] = trial
        if trial.step in fittest:
            course[number] = fittest[trial.step]
    return list(course.items())


def pareto(trials: Iterable[Trial], objective: Objective, cost: str = "macs") -> list[Trial]:
    """Return the trials that no other beats in both cost and fitness, by increasing cost; among equals the earliest.

    An incomplete trial, or one without a finite quality or this cost, is never on the front.
    """

    def fitness(trial: Trial) -> float:
        return objective.fitness(trial.quality)

    measured = [trial for trial in trials if trial.complete and math.isfinite(trial.costs.get(cost, math.nan))]
    front: list[Trial] = []
    for trial in sorted(measured, key=lambda trial: (trial.costs[cost], -fitness(trial))):
        if fitness(trial) > (fitness(front[-1]) if front else -math.inf):
            front.append(trial)
    return front
