"""The sub-networks of a trained supernet, measured: each once, to the end or as long as it keeps up with a rival."""

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

_COMPARED = 24  # of the best


class Candidates(Trials):
    """The sub-networks of one trained supernet, measured on the validation images.

    A candidate is extracted, so that a small one is really cheap to run.

    Args:
        supernet: with its trained weights, in evaluation mode.
        latency: genotype to milliseconds, where the budget limits them. Only the first process measures, so that what
            is measured is measured undisturbed; the others may leave it out.
        margin: as of `Trials`.
        tuning: how a candidate is trained before it is measured, where it is.

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
        costs = priced(self.supernet.cost(genotype, *recipe.size), recipe)
        if self._predicted:
            # Two processes would measure two latencies, and then search two spaces.
            costs["latency_ms"] = first(lambda: math.nan if self.latency is None else float(self.latency(genotype)))
        return costs

    def protocol(self, genotype: Genotype) -> str:
        """Return the evaluator's: the metric, the images, the type of number; and that of a training before."""
        if self.tuning is None:
            return self.evaluator.protocol
        return f"{self.evaluator.protocol}; after {self.tuning.protocol}"

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Run a sub-network on the validation images, to the end or as long as it keeps up with the rival."""
        started, net = time.monotonic(), self._network(genotype, setup)
        if setup.rival is None:
            return Measured(self.evaluator.measure(net), True, time.monotonic() - started)
        raced = self.evaluator.race(net, self._rival_values(setup.rival.genotype, setup), metric=self.objective.metric)
        return Measured(dict(raced.values), raced.complete, time.monotonic() - started)

    def apart(self, winner: Trial, trials: Sequence[Trial]) -> Mapping[str, float]:
        """How many of the best, `within_standard_error` of the `compared`, are not told apart from the one that won.

        Their values differ from the winner's, image by image, by less than the standard error of the mean difference.
        Only of a metric of single images.
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
        """The rival's value of every image: (N,). Always computed here, since a resumed search knows only its mean."""
        key = setup.key(rival)
        if self._rival is None or self._rival[0] != key:
            self._rival = key, self.evaluator.per_image(self._network(rival, setup), self.objective.metric)
        return self._rival[1]

    def _network(self, genotype: Genotype, setup: Setup) -> Network:
        arch = genotype if setup.arch_of is None else setup.arch_of(genotype)
        if not isinstance(arch, Genotype):  # a mixture, which is no network of its own
            return partial(self._run, self.supernet, arch=arch)
        net = self.supernet.extract(arch)
        if self.tuning is not None:
            net = self.tuning.train(arch, self.job.compute.place(net))
        return partial(self._run, self.job.compute.ready(net))

    def _run(self, net: nn.Module, images: Tensor, **arch: Arch) -> Tensor:
        out: Tensor = net(self.job.task.condition(images), **arch)
        return out
