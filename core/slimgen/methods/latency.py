"""Latency as a limit of a search: predicted for every candidate from a table of pieces, measured for the winner."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from slimgen.export.formats import to_time
from slimgen.export.latency.clock import Clock
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.latency.table import LatencyTable, Sample
from slimgen.files import LATENCY, write_bytes
from slimgen.methods.checks import priced
from slimgen.methods.trials import TRIED, unkept
from slimgen.nets.pieces import InPieces
from slimgen.recipe import Recipe
from slimgen.search import Budget, Genotype, Trial
from slimgen.tasks.task import Job
from slimgen.training.distributed import first, world

Candidate = TypeVar("Candidate")
_LOWER = 0.97
_VISITS = 8  # to the smallest network, before a limit counts as out of reach
_ASKED = 3  # times, before a network counts as too slow: other work on the machine only ever adds to what is measured


class Timed(NamedTuple):
    """The latency table of a search, and its margin of error.

    Attributes:
        table: the table, in the first process only, which measures for all: several processes measuring at once would
            disturb each other. None where the budget does not limit latency.
        margin: the factor by which a prediction may be too low: 1 + the largest error when the table was checked.
    """

    table: LatencyTable | None = None
    margin: float = 1.0

    @property
    def predict(self) -> Callable[[Genotype], float] | None:
        """A function from a genotype to its predicted milliseconds; None without a table."""
        return None if self.table is None else self.table.predict

    @property
    def facts(self) -> dict[str, float]:
        """The errors of the predictions, as facts of the search."""
        errors = {} if self.table is None else self.table.error
        return {f"latency_error_{name}": value for name, value in errors.items()}

    def costs(self, job: Job, net: InPieces, genotype: Genotype) -> dict[str, float]:
        """Return a genotype's costs, with its predicted latency where that is limited; in the first process only."""
        counted = priced(net.cost(genotype, *job.recipe.size), job.recipe)
        return counted if self.table is None else {**counted, "latency_ms": self.table.predict(genotype)}

    def priced(self, job: Job, counted: Mapping[str, float], genotype: Genotype) -> dict[str, float]:
        """Add a genotype's milliseconds to its counted costs, where they are limited; in all processes together."""
        if job.budget.latency_ms is None:
            return dict(counted)
        return {**counted, "latency_ms": first(lambda: self.table.predict(genotype) if self.table else math.nan)}

    def budget(self, job: Job) -> Budget:
        """Return the job's limits, the one on latency divided by the margin."""
        limit = job.budget.latency_ms
        return job.budget if limit is None else replace(job.budget, latency_ms=limit / self.margin)

    def accepts(self, limit: float | None, facts: dict[str, float]) -> Callable[[Trial], bool] | None:
        """Return a function that measures a winner's latency in onnxruntime, adds it to `facts` and tests the limit."""
        if limit is None:
            return None

        def keeps(trial: Trial) -> bool:
            # A prediction may be off by more than the check of the table found.
            facts["latency_measured_ms"] = _least(self.measured, trial.genotype, limit)
            return facts["latency_measured_ms"] <= limit

        return keeps

    def measured(self, genotype: Genotype) -> float:
        """Return the measured milliseconds of a whole network in onnxruntime; all processes share one measurement."""
        return first(lambda: self.table.measured([genotype])[0] if self.table else 0.0)

    def lowered(self, job: Job) -> Iterator[Budget]:
        """Yield the budget, then ever lower limits of milliseconds, for when a network is slower than predicted."""
        budget = self.budget(job)
        for step in range(1 if budget.latency_ms is None else TRIED):
            lower = {} if budget.latency_ms is None else {"latency_ms": budget.latency_ms * _LOWER**step}
            yield replace(budget, **lower)


UNTIMED = Timed()
"""No latency table: the budget does not limit milliseconds."""


def least(recipe: Recipe, networks: InPieces, folder: Path) -> float:
    """Return the milliseconds of the smallest network of a space in onnxruntime, before there is a search.

    A finished latency table in the search's `folder` says what the search counts, its margin included. Otherwise the
    network itself is measured, several times, of which the smallest counts.
    """
    smallest, size, threads = networks.space.smallest(), recipe.size, recipe.evaluate.threads
    how: dict[str, Any] = {"path": folder / LATENCY, "threads": threads, "deploy": recipe.export.deploy}
    if (known := LatencyTable.recalled(networks, smallest, *size, **how)) is not None:
        return known[0] * (1 + known[1])
    shape, clock = networks.pieces(smallest, *size)[0].shape, Clock(threads)
    graph = to_time(onnx_graph(networks.extract(smallest), shape), shape, recipe.export.deploy)
    return min(clock.visit(graph, shape) for _ in range(_VISITS))


def keeping(limit: float | None, candidates: Iterable[Candidate], measured: Callable[[Candidate], float]) -> Candidate:
    """Return the first candidate whose measured latency is within the limit; BudgetError if the first `TRIED` fail."""
    tried: list[Candidate] = []
    for candidate in islice(candidates, TRIED):
        if limit is None or _least(measured, candidate, limit) <= limit:
            return candidate
        tried.append(candidate)
    raise unkept(len(tried))


def _least(measured: Callable[[Candidate], float], candidate: Candidate, limit: float) -> float:
    """Return a candidate's latency; of several measurements the smallest, where the first exceeds the limit."""
    least = math.inf
    for _ in range(_ASKED):
        least = min(least, measured(candidate))
        if least <= limit:
            break
    return least


def timed_again(job: Job, net: InPieces, networks: int) -> Timed:
    """Return the search's latency table for a later stage; with another number of `networks` it is measured again."""
    before = job.inputs["search"] / LATENCY
    if before.is_file() and world()[0] == 0 and not (job.out / LATENCY).is_file():  # a resumed stage has it
        write_bytes(job.out / LATENCY, before.read_bytes())
    return timed(job, net, networks)


def timed(job: Job, net: InPieces, networks: int, sample: Sample | None = None, most: int | None = None) -> Timed:
    """Return the latency table of a supernet, where the recipe limits milliseconds: measured, or read from its folder.

    The table is fitted to this many whole `networks`, and checked with half as many. They are drawn uniformly, or by
    `sample`; `most` as for `LatencyTable.measure`.
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
        deploy=recipe.export.deploy,
        progress=lambda done, total: job.tell("latency", done, total, {}),
    )
    return Timed(table, first(lambda: 1 + table.error["max"]))
