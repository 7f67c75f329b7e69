"""Judging the candidates of a weight-sharing network: what they cost, how good they are, what was seen before."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from torch import Tensor

from slimgen.data.batches import whole
from slimgen.errors import RunError
from slimgen.methods.method import Found
from slimgen.metrics.cache import Cache
from slimgen.metrics.evaluator import Evaluator, goal
from slimgen.nets.gates import Arch
from slimgen.nets.supernet import Supernet
from slimgen.nets.weights import digest
from slimgen.search import (
    Allows,
    Budget,
    Genotype,
    Objective,
    Searcher,
    Space,
    Trial,
    best,
    explore,
    require_reachable,
)
from slimgen.tasks.job import Job


class Candidates:
    """The sub-networks of one trained supernet, measured on the validation images.

    A candidate is extracted, so that a small one is really cheap to run. What was measured once is kept in
    `cache.jsonl`, keyed by genotype, weights and protocol; rounds are kept in `log-rounds.jsonl`.

    Args:
        job: of the search stage.
        supernet: with its trained weights, in evaluation mode.
    """

    def __init__(self, job: Job, supernet: Supernet) -> None:
        recipe = job.recipe
        self.job, self.supernet = job, supernet
        self.objective = Objective(recipe.objective.metric, goal(recipe.objective.metric))
        original = job.task.original_cost().as_dict(recipe.budget.convention)
        self.limits = recipe.budget.resolve({name: float(value) for name, value in original.items()})
        self.budget = Budget(**self.limits)
        self.evaluator = Evaluator(
            whole(job.data.split("val"), recipe.objective.images),
            [recipe.objective.metric],
            compute=job.compute,
            features=recipe.evaluate.features,
            reference=job.out / "reference",
        )
        self.cache = Cache(job.out / "cache.jsonl")
        self.digest = digest(supernet.state_dict())
        self.seconds: dict[str, float] = {}
        self._counted = lru_cache(maxsize=1 << 14)(self._count)

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """MACs under the budget's convention, parameters and bytes, in closed form."""
        return self._counted(genotype)

    def _count(self, genotype: Genotype) -> Mapping[str, float]:
        recipe = self.job.recipe
        cost = self.supernet.cost(genotype, recipe.size, recipe.size)
        return {name: float(value) for name, value in cost.as_dict(recipe.budget.convention).items()}

    def allows(self, genotype: Genotype) -> bool:
        """Whether a genotype is within the budget."""
        return self.budget.allows(self.costs(genotype))

    def require_reachable(self, space: Space) -> Genotype:
        """A genotype within the budget.

        Raises:
            BudgetError: there is none; names the smallest cost that the space can reach.
        """
        return require_reachable(space, self.costs, self.budget)

    def anchor(self, space: Space, allows: Allows) -> Genotype | None:
        """A genotype to repair towards: the smallest, or the cheapest within the budget."""
        smallest = space.smallest()
        return smallest if allows(smallest) else self.require_reachable(space)

    def explore(
        self,
        step: str,
        searcher: Searcher,
        evaluations: int,
        arch_of: Callable[[Genotype], Arch] | None = None,
    ) -> list[Trial]:
        """Runs one search to the end of its allowance.

        Args:
            step: its name, in the log and the trials.
            searcher: asks and is told.
            evaluations: how many genotypes at most.
            arch_of: the architecture that stands for a genotype where that is not the genotype itself; it runs
                inside the supernet.

        Raises:
            RunError: nothing could be asked within the budget.
        """
        done = 0

        def on_round(number: int, trials: Sequence[Trial]) -> None:
            nonlocal done
            done += len(trials)
            top = searcher.best
            seen = {} if top is None else {self.objective.metric: top.quality[self.objective.metric]}
            self.job.tell(step, min(done, evaluations), evaluations, seen)

        trials = explore(
            searcher,
            lambda genotypes: [self.trial(genotype, step, arch_of) for genotype in genotypes],
            log=self.job.out / "log-rounds.jsonl",
            seed=self.job.recipe.seed,
            step=step,
            evaluations=evaluations,
            on_round=on_round,
        )
        if not trials:
            raise RunError(f"the {step} step needs at least one candidate within the budget", "none")
        self.seconds[step] = sum(trial.seconds for trial in trials)
        return trials

    def trial(self, genotype: Genotype, step: str, arch_of: Callable[[Genotype], Arch] | None) -> Trial:
        """One genotype, evaluated unless it was before."""
        # A mixture is another network than its genotype, so it has a key of its own.
        key = genotype.key if arch_of is None else f"{step}:{genotype.key}"
        started = time.monotonic()
        quality = self.cache.get(key, self.digest, self.evaluator.protocol)
        if quality is None:
            if arch_of is None:
                quality = self.evaluator.measure(self.job.compute.place(self.supernet.extract(genotype)).eval())
            else:
                arch = arch_of(genotype)
                quality = self.evaluator.measure(lambda images: self._run(images, arch))
            self.cache.put(key, self.digest, self.evaluator.protocol, quality)
        return Trial(genotype, dict(self.costs(genotype)), quality, seconds=time.monotonic() - started)

    def _run(self, images: Tensor, arch: Arch) -> Tensor:
        out: Tensor = self.supernet(images, arch)
        return out

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The trial of best quality."""
        top = best(trials, self.objective)
        if top is None:
            raise RunError("a search needs at least one trial", "none")
        return top

    def found(self, trials: Sequence[Trial], facts: Mapping[str, float], earlier: Sequence[Trial] = ()) -> Found:
        """The best of the last step's trials as the outcome, with those of earlier steps kept beside them."""
        every = [*earlier, *trials]
        numbers = {"evaluations": float(len(every)), **facts}
        numbers |= {f"seconds.{step}": seconds for step, seconds in self.seconds.items()}
        return Found(self.best(trials), every, self.limits, numbers)
