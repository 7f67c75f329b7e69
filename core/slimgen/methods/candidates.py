"""Judging the candidates of a weight-sharing network: what they cost, how good they are, what was seen before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from slimgen.errors import BudgetError, RunError
from slimgen.methods.measuring import CACHE, ArchOf, Measuring, Way, check_racing
from slimgen.methods.method import Found
from slimgen.metrics.evaluator import goal
from slimgen.nets.supernet import Supernet
from slimgen.search import (
    Allows,
    Budget,
    Genotype,
    Objective,
    Searcher,
    Selective,
    Space,
    Trial,
    best,
    explore,
    require_reachable,
)
from slimgen.tasks.job import Job
from slimgen.training.distributed import first, world

ROUNDS = "log-rounds.jsonl"
_TRIED = 25


class Candidates:
    """The sub-networks of one trained supernet, measured on the validation images.

    What was measured is kept in `cache.jsonl` (see `measuring.Measuring`), and rounds are kept in `log-rounds.jsonl`.

    Several processes search as one: each runs the same searcher, measures its share of a round and is told the trials
    of all. The first one's log and cache are what counts, and what the others begin with; so every process must make
    its `Candidates`, and call them, in the same order.

    Args:
        job: of the search stage.
        supernet: with its trained weights, in evaluation mode.
        latency: genotype to milliseconds, where the budget limits them. Only the first process is asked, so that what
            is measured is measured undisturbed; the others may leave it out.
        margin: what is foretold must stay below the limit by this factor.

    Raises:
        BudgetError: the budget limits `latency_ms` and there is no `latency`.
    """

    def __init__(
        self,
        job: Job,
        supernet: Supernet,
        latency: Callable[[Genotype], float] | None = None,
        margin: float = 1.0,
    ) -> None:
        recipe = job.recipe
        self.job, self.supernet, self.latency = job, supernet, latency
        self.objective = Objective(recipe.objective.metric, goal(recipe.objective.metric))
        original = job.task.original_cost().as_dict(recipe.budget.convention)
        self.limits = recipe.budget.resolve({name: float(value) for name, value in original.items()})
        self.budget = Budget(**self.limits)
        if self.budget.latency_ms is not None:
            self.budget = replace(self.budget, latency_ms=self.budget.latency_ms / margin)
        self._rank, _ = world()
        self._foretold = first(lambda: latency is not None)
        if self.budget.latency_ms is not None and not self._foretold:
            hint = "limit macs, params or bytes"
            raise BudgetError(f"{recipe.method} cannot foretell the latency that is limited", "latency_ms", hint)
        for name in (ROUNDS, CACHE):
            self._begin_alike(job.out / name)
        self.measuring = Measuring(job, supernet)
        self.evaluator = self.measuring.evaluator
        self.seconds: dict[str, float] = {}
        self._counted = lru_cache(maxsize=1 << 14)(self._count)

    def _begin_alike(self, file: Path) -> None:
        """Gives every process the first one's file, so that all replay the same and know the same values."""
        content = first(lambda: file.read_bytes() if file.exists() else None)
        if self._rank > 0 and content is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """MACs under the budget's convention, parameters and bytes in closed form; latency where it can be foretold."""
        return self._counted(genotype)

    def _count(self, genotype: Genotype) -> Mapping[str, float]:
        recipe = self.job.recipe
        cost = self.supernet.cost(genotype, recipe.size, recipe.size)
        counted = {name: float(value) for name, value in cost.as_dict(recipe.budget.convention).items()}
        if self._foretold:
            # Two processes would measure two latencies, and then search two spaces.
            counted["latency_ms"] = first(lambda: self._milliseconds(genotype))
        return counted

    def _milliseconds(self, genotype: Genotype) -> float:
        assert self.latency is not None
        return float(self.latency(genotype))

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
        arch_of: ArchOf | None = None,
        *,
        racing: bool = False,
    ) -> list[Trial]:
        """Runs one search to the end of its allowance.

        Args:
            step: its name, in the log and the trials.
            searcher: asks and is told.
            evaluations: how many genotypes at most.
            arch_of: the architecture that stands for a genotype where that is not the genotype itself; it runs
                inside the supernet.
            racing: a candidate is left as soon as it is hopelessly behind the searcher's rival, if it has one. The
                rival is the same for a whole round, so the order within the round does not matter.

        Raises:
            RunError: nothing could be asked within the budget.
            RecipeError: racing for a metric that is not of single images.
        """
        if racing:
            check_racing(self.objective.metric)
        done = 0

        def evaluate(genotypes: Sequence[Genotype]) -> list[Trial]:
            rival = searcher.rival if racing and isinstance(searcher, Selective) else None
            return self.trials(genotypes, Way(step, arch_of, rival))

        def on_round(number: int, trials: Sequence[Trial]) -> None:
            nonlocal done
            done += len(trials)
            top = searcher.best
            seen = {} if top is None else {self.objective.metric: top.quality[self.objective.metric]}
            if self._rank == 0:
                self.job.tell(step, min(done, evaluations), evaluations, seen)

        trials = explore(
            searcher,
            evaluate,
            log=self.job.out / ROUNDS,
            seed=self.job.recipe.seed,
            step=step,
            evaluations=evaluations,
            on_round=on_round,
        )
        if not trials:
            raise RunError(f"the {step} step needs at least one candidate within the budget", "none")
        self.seconds[step] = sum(trial.seconds for trial in trials)
        return trials

    def trials(self, genotypes: Sequence[Genotype], way: Way) -> list[Trial]:
        """Genotypes, evaluated by all processes together unless they were before; one trial each, in order."""
        measured = self.measuring.measure(genotypes, way)
        # Costs may take all processes together, so that all ask for those of all.
        return [
            Trial(genotype, dict(self.costs(genotype)), quality, seconds=seconds, complete=complete)
            for genotype, (quality, complete, seconds) in zip(genotypes, measured, strict=True)
        ]

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The trial of best quality."""
        top = best(trials, self.objective)
        if top is None:
            raise RunError("a search needs at least one trial", "none")
        return top

    def found(
        self,
        trials: Sequence[Trial],
        facts: Mapping[str, float],
        earlier: Sequence[Trial] = (),
        accepts: Callable[[Trial], bool] | None = None,
    ) -> Found:
        """The outcome of a search.

        Args:
            trials: of its last step; the best of them has won.
            facts: worth keeping.
            earlier: trials of the steps before, to be kept beside them.
            accepts: asked from the best on, until it agrees: what is too dear to ask of every candidate.

        Raises:
            BudgetError: none of the best trials is accepted.
        """
        rest = list(trials)
        while accepts is not None and not accepts(self.best(rest)):
            rest.remove(self.best(rest))
            if not rest or len(trials) - len(rest) >= _TRIED:
                rule = f"one of the {len(trials) - len(rest)} best candidates must keep the limits when it is measured"
                raise BudgetError(rule, "none", "raise the limit a little, or let the search ask for more")
        every = [*earlier, *trials]
        numbers = {"evaluations": float(len(every)), **facts}
        if left := sum(not trial.complete for trial in every):
            numbers["left_early"] = float(left)
        numbers |= {f"seconds.{step}": seconds for step, seconds in self.seconds.items()}
        return Found(self.best(rest), every, self.limits, numbers)
