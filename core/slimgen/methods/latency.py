"""Milliseconds as a limit of a search: foretold of every candidate by a table of pieces, and measured of the winner."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from slimgen.export.latency.table import LatencyTable
from slimgen.files import LATENCY, write_bytes
from slimgen.methods.checks import priced
from slimgen.nets.supernet import Supernet
from slimgen.search import Budget, Genotype, Trial
from slimgen.tasks.task import Job
from slimgen.training.distributed import first, world


class Timed(NamedTuple):
    """What a search knows of milliseconds.

    Attributes:
        table: of the first process, which measures for all: several at once would measure each other. None where no
            milliseconds are limited.
        margin: a prediction may be too low by as much as it ever was when the table was checked.
    """

    table: LatencyTable | None
    margin: float

    @property
    def predict(self) -> Callable[[Genotype], float] | None:
        """A genotype to its milliseconds."""
        return None if self.table is None else self.table.predict

    @property
    def facts(self) -> dict[str, float]:
        """How far predictions are off."""
        errors = {} if self.table is None else self.table.error
        return {f"latency_error_{name}": value for name, value in errors.items()}

    def costs(self, job: Job, net: Supernet, genotype: Genotype) -> dict[str, float]:
        """All that a budget may limit of a genotype, in the first process."""
        size = job.recipe.size
        counted = priced(net.cost(genotype, size, size), job.recipe)
        return counted if self.table is None else {**counted, "latency_ms": self.table.predict(genotype)}

    def budget(self, job: Job) -> Budget:
        """The job's limits; a predicted latency must stay below its own by the margin."""
        limit = job.budget.latency_ms
        return job.budget if limit is None else replace(job.budget, latency_ms=limit / self.margin)

    def accepts(self, limit: float | None, facts: dict[str, float]) -> Callable[[Trial], bool] | None:
        """Whether a winner keeps the limit when it is measured in onnxruntime, which is then among the facts."""
        if limit is None:
            return None

        def keeps(trial: Trial) -> bool:
            # A prediction may be wrong by more than the table's check has seen.
            facts["latency_measured_ms"] = first(
                lambda: self.table.measured([trial.genotype])[0] if self.table else 0.0
            )
            return facts["latency_measured_ms"] <= limit

        return keeps


def timed_again(job: Job, net: Supernet) -> Timed:
    """The table that the search left, for the stage after it."""
    before = job.inputs["search"] / LATENCY
    if before.is_file() and world()[0] == 0:
        write_bytes(job.out / LATENCY, before.read_bytes())
    return timed(job, net, 4)


def timed(job: Job, net: Supernet, networks: int) -> Timed:
    """The table of a supernet, where the recipe limits milliseconds; measured, or as its folder has it.

    Whole networks, so many, are what it is fitted to; half as many check it.
    """
    recipe = job.recipe
    if recipe.budget.latency_ms is None or world()[0] != 0:
        return Timed(None, first(lambda: 1.0))
    table = LatencyTable.measure(
        net,
        net.space.sample,
        recipe.size,
        recipe.size,
        threads=recipe.evaluate.threads,
        path=job.out / LATENCY,
        fit=networks,
        check=networks // 2,
        seed=recipe.seed,
        keep=True,
        progress=lambda done, total: job.tell("latency", done, total, {}),
    )
    return Timed(table, first(lambda: 1 + table.error["max"]))
