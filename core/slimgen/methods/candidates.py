"""Candidates: the sub-networks of a supernet, each measured once, fully or as long as it keeps up with a rival."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from slimgen.errors import BudgetError
from slimgen.methods.checks import priced
from slimgen.methods.trials import PLAIN, Measured, Setup, Trials
from slimgen.methods.tuning import Tuning
from slimgen.metrics.evaluator import Evaluator, Network
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.supernet import Arch, Supernet
from slimgen.nets.weights import digest
from slimgen.search import Genotype, Objective, Trial, leading
from slimgen.tasks.task import Job
from slimgen.training.distributed import first

_COMPARED = 24  # of the best candidates


class Candidates(Trials):
    """The sub-networks of one trained supernet, measured on the validation images.

    A candidate is extracted, so that a small one is really cheap to run.

    Args:
        supernet: the supernet with its trained weights, in evaluation mode.
        latency: a function from genotype to milliseconds, where the budget limits them. Only the first process needs
            it: it measures alone, so that processes do not disturb each other's measurements.
        margin: as for `Trials`.
        tuning: the training of each candidate before it is measured; None for no training.

    Raises:
        BudgetError: the budget limits `latency_ms` and there is no `latency`.
    """

    def __init__(
        self,
        job: Job,
        supernet: Supernet,
        latency: Callable[[Genotype], float] | None = None,
        margin: float = 1.0,
        tuning: Tuning | None = None,
    ) -> None:
        recipe, metric = job.recipe, job.recipe.objective.metric
        super().__init__(job, Objective(metric, find(metric).goal), digest(supernet.state_dict()), margin)
        self.supernet, self.latency, self.tuning = supernet, latency, tuning
        self._predicted = first(lambda: latency is not None)
        if self.budget.latency_ms is not None and not self._predicted:
            hint = "limit macs, params or bytes"
            raise BudgetError(f"{recipe.method} cannot predict latency here", "a limit budget.latency_ms", hint)
        self.evaluator = Evaluator(
            job.task.validation(job),
            [metric],
            compute=job.compute,
            features=recipe.evaluate.features,
            reference=job.out / "reference",
        )
        self._rival: tuple[str, Tensor] | None = None

    def count(self, genotype: Genotype) -> Mapping[str, float]:
        """Return MACs under the budget's convention, parameters, bytes and, where it is limited, predicted latency."""
        recipe = self.job.recipe
        costs = priced(self.supernet.cost(genotype, *recipe.size), recipe)
        if self._predicted:
            # With a latency of its own, each process would search a different space.
            costs["latency_ms"] = first(lambda: math.nan if self.latency is None else float(self.latency(genotype)))
        return costs

    def protocol(self, genotype: Genotype) -> str:
        """Return the evaluator's protocol (metric, images, number type) and that of any training before."""
        if self.tuning is None:
            return self.evaluator.protocol
        return f"{self.evaluator.protocol}; after {self.tuning.protocol}"

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Measure a sub-network on the validation images, on all of them or as long as it keeps up with the rival."""
        started, net = time.monotonic(), self._network(genotype, setup)
        if setup.rival is None:
            return Measured(self.evaluator.measure(net), True, time.monotonic() - started)
        raced = self.evaluator.race(net, self._rival_values(setup.rival.genotype, setup), metric=self.objective.metric)
        return Measured(dict(raced.values), raced.complete, time.monotonic() - started)

    def apart(self, winner: Trial, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Return how many of the best candidates, the `compared`, are `within_standard_error` of the winner.

        The mean of their differences from the winner, image by image, is at most its standard error. Empty for a metric
        of sets of images, and for candidates that are tuned.
        """
        if self.tuning is not None or not isinstance(find(self.objective.metric), PerImage):
            return {}
        best = [one for one in leading(trials, self.objective, _COMPARED) if one != winner.genotype]
        own, near = self._rival_values(winner.genotype, PLAIN), 0
        for genotype in best:
            gains = own - self.evaluator.per_image(self._network(genotype, PLAIN), self.objective.metric)
            near += bool(gains.mean().abs() <= gains.std() / len(gains) ** 0.5)
        return {"compared": float(len(best)), "within_standard_error": float(near)}

    def _rival_values(self, rival: Genotype, setup: Setup) -> Tensor:
        """Return the rival's value for every image, (N,); computed here, since a resumed search knows only its mean."""
        key = setup.key(rival)
        if self._rival is None or self._rival[0] != key:
            self._rival = key, self.evaluator.per_image(self._network(rival, setup), self.objective.metric)
        return self._rival[1]

    def _network(self, genotype: Genotype, setup: Setup) -> Network:
        arch = genotype if setup.arch_of is None else setup.arch_of(genotype)
        if not isinstance(arch, Genotype):  # a mixture, which cannot be extracted
            return partial(self._run, self.supernet, arch=arch)
        net = self.supernet.extract(arch)
        if self.tuning is not None:
            net = self.tuning.train(arch, self.job.compute.place(net))
        return partial(self._run, self.job.compute.ready(net))

    def _run(self, net: nn.Module, images: Tensor, **arch: Arch) -> Tensor:
        out: Tensor = net(self.job.task.condition(images), **arch)
        return out
