"""The sub-networks of a trained supernet, measured: each once, to the end or as long as it keeps up with a rival."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

from slimgen.errors import BudgetError
from slimgen.methods.checks import priced
from slimgen.methods.trials import Measured, Setup, Trials
from slimgen.metrics.evaluator import Evaluator, Network
from slimgen.metrics.registry import find
from slimgen.nets.supernet import Arch, Supernet
from slimgen.nets.weights import digest
from slimgen.search import Genotype, Objective
from slimgen.tasks.task import Job
from slimgen.training.distributed import first


class Candidates(Trials):
    """The sub-networks of one trained supernet, measured on the validation images.

    A candidate is extracted, so that a small one is really cheap to run.

    Args:
        supernet: with its trained weights, in evaluation mode.
        latency: genotype to milliseconds, where the budget limits them. Only the first process measures, so that what
            is measured is measured undisturbed; the others may leave it out.
        margin: as of `Trials`.

    Raises:
        BudgetError: the budget limits `latency_ms` and there is no `latency`.
    """

    def __init__(
        self, job: Job, supernet: Supernet, latency: Callable[[Genotype], float] | None = None, margin: float = 1.0
    ) -> None:
        recipe, metric = job.recipe, job.recipe.objective.metric
        super().__init__(job, Objective(metric, find(metric).goal), digest(supernet.state_dict()), margin)
        self.supernet, self.latency = supernet, latency
        self._predicted = first(lambda: latency is not None)
        if self.budget.latency_ms is not None and not self._predicted:
            hint = "limit macs, params or bytes"
            raise BudgetError(f"{recipe.method} cannot predict the latency that is limited", "latency_ms", hint)
        self.evaluator = Evaluator(
            job.task.validation(job),
            [metric],
            compute=job.compute,
            features=recipe.evaluate.features,
            reference=job.out / "reference",
        )
        self._rival: tuple[str, Tensor] | None = None

    def count(self, genotype: Genotype) -> Mapping[str, float]:
        """MACs under the budget's convention, parameters and bytes in closed form; latency where it is predicted."""
        recipe = self.job.recipe
        costs = priced(self.supernet.cost(genotype, recipe.size, recipe.size), recipe)
        if self._predicted:
            # Two processes would measure two latencies, and then search two spaces.
            costs["latency_ms"] = first(lambda: math.nan if self.latency is None else float(self.latency(genotype)))
        return costs

    def protocol(self, genotype: Genotype) -> str:
        """The evaluator's: the metric, the images, the type of number."""
        return self.evaluator.protocol

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Runs a sub-network on the validation images, to the end or as long as it keeps up with the rival."""
        started, net = time.monotonic(), self._network(genotype, setup)
        if setup.rival is None:
            return Measured(self.evaluator.measure(net), True, time.monotonic() - started)
        raced = self.evaluator.race(net, self._rival_values(setup.rival.genotype, setup), metric=self.objective.metric)
        return Measured(dict(raced.values), raced.complete, time.monotonic() - started)

    def _rival_values(self, rival: Genotype, setup: Setup) -> Tensor:
        """The rival's value of every image: (N,). Always computed here, since a resumed search knows only its mean."""
        key = setup.key(rival)
        if self._rival is None or self._rival[0] != key:
            self._rival = key, self.evaluator.per_image(self._network(rival, setup), self.objective.metric)
        return self._rival[1]

    def _network(self, genotype: Genotype, setup: Setup) -> Network:
        if setup.arch_of is None:
            return partial(self._run, self.job.compute.ready(self.supernet.extract(genotype)))
        return partial(self._run, self.supernet, arch=setup.arch_of(genotype))

    def _run(self, net: nn.Module, images: Tensor, **arch: Arch) -> Tensor:
        out: Tensor = net(self.job.task.condition(images), **arch)
        return out
