"""A genotype and what was measured of it."""

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
        genotype: what was evaluated.
        costs: by kind: macs, params, bytes, latency_ms.
        quality: by metric's name; NaN and infinities are kept, and count as worst.
        round: the round of the search, from 0.
        step: which of several searches (path, operator, channel).
        seconds: how long the evaluation took.
        complete: whether every image was seen. A candidate that fell hopelessly behind its rival is left early, and
            its quality is then an estimate: it may teach a searcher, but is never best, nor on a front.
    """

    genotype: Genotype
    costs: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    round: int = 0
    step: str = ""
    seconds: float = 0.0
    complete: bool = True

    def to_json(self) -> dict[str, object]:
        """Plain values for strict JSON: what is not finite becomes the text "nan", "inf" or "-inf"."""
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
        """The trial as a row of a table."""
        about = {"key": self.genotype.key, "step": self.step, "round": self.round}
        return {**about, **self.quality, **self.costs, "complete": self.complete, **self.genotype.to_json()}

    @classmethod
    def from_json(cls, value: object) -> "Trial":
        """The inverse of :meth:`to_json`; a trial that does not say whether it is complete is.

        Raises:
            RunError: what came is not what `to_json` writes.
        """
        try:
            if not isinstance(value, Mapping):
                raise TypeError(type(value).__name__)
            complete = value.get("complete", True)
            if not isinstance(complete, bool):
                raise TypeError(f"complete is true or false, not {complete!r}")
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
            raise RunError("a trial has genotype, costs, quality, round, step and seconds", repr(error)) from error


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))


def _read(value: object) -> float:
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        return value
    raise TypeError(f"a number was expected, not {value!r}")


def best(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """The complete trial of greatest fitness, the earliest among equals; None if none has a finite quality."""
    fittest, top = None, -math.inf
    for trial in trials:
        fitness = objective.fitness(trial.quality)
        if trial.complete and fitness > top:
            fittest, top = trial, fitness
    return fittest


def leaders(trials: Iterable[Trial], objective: Objective) -> list[tuple[int, Trial]]:
    """The best complete trial of a step so far, at the end of each round, numbered among the rounds of all steps."""
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
    """The trials that no other beats in both cost and fitness, by increasing cost.

    Of equals the earliest stays. A trial that is not complete, without a finite quality or without this cost is never
    on the front.
    """
    measured = [
        (trial.costs[cost], -objective.fitness(trial.quality), trial)
        for trial in trials
        if trial.complete
        and math.isfinite(trial.costs.get(cost, math.nan))
        and objective.fitness(trial.quality) > -math.inf
    ]
    front: list[Trial] = []
    top = math.inf
    for _, loss, trial in sorted(measured, key=lambda entry: entry[:2]):
        if loss < top:
            front.append(trial)
            top = loss
    return front
