"""Milliseconds as a limit of a search: foretold of every candidate by a table of pieces, and measured of the winner."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, TypeVar

from slimgen.export.latency.table import LatencyTable, Sample
from slimgen.files import LATENCY, write_bytes
from slimgen.methods.checks import priced
from slimgen.methods.trials import TRIED, unkept
from slimgen.nets.pieces import InPieces
from slimgen.search import Budget, Genotype, Trial
from slimgen.tasks.task import Job
from slimgen.training.distributed import first, world

Candidate = TypeVar("Candidate")
_LOWER = 0.97


class Timed(NamedTuple):
    """What a search knows of milliseconds.

    Attributes:
        table: of the first process, which measures for all: several at once would measure each other. None where no
            milliseconds are limited.
        margin: a prediction may be too low by as much as it ever was when the table was checked.
    """

    table: LatencyTable | None = None
    margin: float = 1.0

    @property
    def predict(self) -> Callable[[Genotype], float] | None:
        """A genotype to its milliseconds."""
        return None if self.table is None else self.table.predict

    @property
    def facts(self) -> dict[str, float]:
        """How far predictions are off."""
        errors = {} if self.table is None else self.table.error
        return {f"latency_error_{name}": value for name, value in errors.items()}

    def costs(self, job: Job, net: InPieces, genotype: Genotype) -> dict[str, float]:
        """Return all that a budget may limit of a genotype, in the first process."""
        counted = priced(net.cost(genotype, *job.recipe.size), job.recipe)
        return counted if self.table is None else {**counted, "latency_ms": self.table.predict(genotype)}

    def priced(self, job: Job, counted: Mapping[str, float], genotype: Genotype) -> dict[str, float]:
        """What was counted of a genotype and, where they are limited, its milliseconds: in all processes together."""
        if job.budget.latency_ms is None:
            return dict(counted)
        return {**counted, "latency_ms": first(lambda: self.table.predict(genotype) if self.table else math.nan)}

    def budget(self, job: Job) -> Budget:
        """Return the job's limits; a predicted latency must stay below its own by the margin."""
        limit = job.budget.latency_ms
        return job.budget if limit is None else replace(job.budget, latency_ms=limit / self.margin)

    def accepts(self, limit: float | None, facts: dict[str, float]) -> Callable[[Trial], bool] | None:
        """Return whether a winner keeps the limit when it is measured in onnxruntime, which is then among the facts."""
        if limit is None:
            return None

        def keeps(trial: Trial) -> bool:
            # A prediction may be wrong by more than the table's check has seen.
            facts["latency_measured_ms"] = self.measured(trial.genotype)
            return facts["latency_measured_ms"] <= limit

        return keeps

    def measured(self, genotype: Genotype) -> float:
        """Return the milliseconds of a whole network in onnxruntime: in all processes together, measured once."""
        return first(lambda: self.table.measured([genotype])[0] if self.table else 0.0)

    def lowered(self, job: Job) -> Iterator[Budget]:
        """The budget, and then, for architectures that are slower than predicted, ever lower ones of milliseconds."""
        budget = self.budget(job)
        for step in range(1 if budget.latency_ms is None else TRIED):
            lower = {} if budget.latency_ms is None else {"latency_ms": budget.latency_ms * _LOWER**step}
            yield replace(budget, **lower)


UNTIMED = Timed()
"""Where no milliseconds are limited."""


def keeping(limit: float | None, candidates: Iterable[Candidate], measured: Callable[[Candidate], float]) -> Candidate:
    """The first candidate that keeps the limit when it is measured; BudgetError if none of the first ones does."""
    tried: list[Candidate] = []
    for candidate in islice(candidates, TRIED):
        if limit is None or measured(candidate) <= limit:
            return candidate
        tried.append(candidate)
    raise unkept(len(tried))


def timed_again(job: Job, net: InPieces, networks: int) -> Timed:
    """The table that the search left, for the stage after it; of as many networks, or it would be measured anew."""
    before = job.inputs["search"] / LATENCY
    if before.is_file() and world()[0] == 0 and not (job.out / LATENCY).is_file():  # one that was killed goes on
        write_bytes(job.out / LATENCY, before.read_bytes())
    return timed(job, net, networks)


def timed(job: Job, net: InPieces, networks: int, sample: Sample | None = None, most: int | None = None) -> Timed:
    """Return the table of a supernet, where the recipe limits milliseconds; measured, or as its folder has it.

    Whole networks, so many, are what it is fitted to; half as many check it. They are drawn uniformly, or by `sample`;
    `most` as of `LatencyTable.measure`.
    """
    recipe = job.recipe
    if recipe.budget.latency_ms is None or world()[0] != 0:
        return Timed(None, first(lambda: 1.0))
    table = LatencyTable.measure(
        net,
        sample or net.space.sample,
        *recipe.size,
        threads=recipe.evaluate.threads,
        path=job.out / LATENCY,
        fit=networks,
        check=networks // 2,
        most=most,
        seed=recipe.seed,
        keep=True,
        progress=lambda done, total: job.tell("latency", done, total, {}),
    )
    return Timed(table, first(lambda: 1 + table.error["max"]))
