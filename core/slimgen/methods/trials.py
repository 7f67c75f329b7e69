"""Trials: costs and quality of genotypes, cached, and measured by one process or shared among several."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from slimgen import search
from slimgen.errors import BudgetError, RunError
from slimgen.files import CACHE, ROUNDS, write_bytes
from slimgen.methods.checks import check_racing
from slimgen.methods.method import Found
from slimgen.metrics.cache import Cache
from slimgen.nets.supernet import Arch
from slimgen.search import Allows, Genotype, Objective, Searcher, Space, Trial
from slimgen.tasks.task import Job
from slimgen.training.distributed import first, spread, world

ArchOf = Callable[[Genotype], Arch]
TRIED = 25
"""The most candidates whose latency is measured, from the best on, until one is within the limit."""


class Setup(NamedTuple):
    """The settings under which the candidates of a round are measured.

    Attributes:
        step: the name of the search's step.
        arch_of: maps a genotype to the architecture that represents it in the supernet; None extracts the genotype.
        rival: a complete trial of the same step; a candidate hopelessly behind it is stopped early.
    """

    step: str = ""
    arch_of: ArchOf | None = None
    rival: Trial | None = None

    def key(self, genotype: Genotype) -> str:
        """Return the genotype's key in the cache; a mixture differs from its genotype, so it has a key of its own."""
        return genotype.key if self.arch_of is None else f"{self.step}:{genotype.key}"


PLAIN = Setup()


class Measured(NamedTuple):
    """The result of an evaluation: values by metric, whether all images were used, and its duration in seconds."""

    quality: dict[str, float]
    complete: bool = True
    seconds: float = 0.0


class Trials(ABC):
    """Evaluation of genotypes, each once, and searches among them; subclasses count costs and measure quality.

    Results are kept in `cache.jsonl`, keyed by genotype, weights and protocol, and rounds in `log-rounds.jsonl`.

    Several processes search as one: each runs the same searcher, measures its share of a round and receives the trials
    of all. All begin with the first process's log and cache, so every process must create its trials, and call their
    methods, in the same order.

    Args:
        job: the job of the stage.
        objective: the metric to improve.
        weights: the digest of the weights that candidates inherit.
        margin: the factor by which a predicted latency must stay below its limit.
    """

    def __init__(self, job: Job, objective: Objective, weights: str, margin: float = 1.0) -> None:
        self.job, self.objective, self._weights = job, objective, weights
        self.budget = job.budget
        if self.budget.latency_ms is not None:
            self.budget = replace(self.budget, latency_ms=self.budget.latency_ms / margin)
        for name in (ROUNDS, CACHE):
            _begin_alike(job.out / name)
        self._cache = Cache(job.out / CACHE)
        self._seconds: dict[str, float] = {}
        self.costs = lru_cache(maxsize=1 << 14)(self.count)

    @abstractmethod
    def count(self, genotype: Genotype) -> Mapping[str, float]:
        """Return a genotype's costs by kind; `costs` is the same, cached."""

    @abstractmethod
    def protocol(self, genotype: Genotype) -> str:
        """Return everything that a complete measurement depends on besides genotype and weights, as text."""

    @abstractmethod
    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Measure one genotype in this process, without waiting for others."""

    def allows(self, genotype: Genotype) -> bool:
        """Return whether a genotype is within the budget."""
        return self.budget.allows(self.costs(genotype))

    def require_reachable(self, space: Space) -> Genotype:
        """Return a genotype within the budget; raise BudgetError with the smallest reachable cost if there is none."""
        return search.require_reachable(space, self.costs, self.budget)

    def anchor(self, space: Space, allows: Allows) -> Genotype | None:
        """Return an allowed genotype to repair towards: the smallest, or else one that `require_reachable` finds."""
        smallest = space.smallest()
        return smallest if allows(smallest) else self.require_reachable(space)

    def explore(
        self, step: str, searcher: Searcher, evaluations: int, arch_of: ArchOf | None = None, *, racing: bool = False
    ) -> list[Trial]:
        """Run one search, with at most this many evaluations.

        With `racing`, a candidate is stopped as soon as it is hopelessly behind the searcher's rival, if it has one.
        The rival is the same for a whole round, so the order within the round does not matter.

        Raises:
            RunError: the searcher found no candidate within the budget.
            RecipeError: racing with a metric of sets of images.
        """
        if racing:
            check_racing(self.objective.metric)
        done, metric = 0, self.objective.metric

        def evaluate(genotypes: Sequence[Genotype]) -> list[Trial]:
            rival = searcher.rival if racing else None
            return self.trials(genotypes, Setup(step, arch_of, rival))

        def on_round(number: int, trials: Sequence[Trial]) -> None:
            nonlocal done
            done += len(trials)
            if world()[0] == 0:
                values = {} if searcher.best is None else {metric: searcher.best.quality[metric]}
                self.job.tell(step, min(done, evaluations), evaluations, values)

        log, seed = self.job.out / ROUNDS, self.job.recipe.seed
        trials = search.explore(
            searcher, evaluate, log=log, seed=seed, step=step, evaluations=evaluations, on_round=on_round
        )
        if not trials:
            raise RunError(f"the {step} step found no candidate within the budget", None, "raise the budget")
        self._seconds[step] = sum(trial.seconds for trial in trials)
        return trials

    def trials(self, genotypes: Sequence[Genotype], setup: Setup = PLAIN) -> list[Trial]:
        """Evaluate genotypes, all processes together, unless they are cached; return one trial each, in order."""
        known = {genotype: self._known(genotype, setup) for genotype in genotypes}
        missing = [genotype for genotype, measured in known.items() if measured is None]
        # Each result is stored at once, so that a search killed within a round loses little.
        measured = spread(missing, partial(self.measure, setup=setup), each=partial(self._keep, setup))
        known.update(zip(missing, measured, strict=True))
        trials = []
        for genotype in genotypes:  # costs may need all processes together, so each asks for those of all genotypes
            quality, complete, seconds = known[genotype] or Measured({})
            trials.append(Trial(genotype, dict(self.costs(genotype)), quality, seconds=seconds, complete=complete))
        return trials

    def _known(self, genotype: Genotype, setup: Setup) -> Measured | None:
        """Return a cached result: over all images, or an estimate from falling behind this same rival."""
        for complete in (True, False) if setup.rival is not None else (True,):
            protocol = self._protocol(genotype, setup, complete)
            if (quality := self._cache.get(setup.key(genotype), self._weights, protocol)) is not None:
                return Measured(quality, complete)
        return None

    def _keep(self, setup: Setup, genotype: Genotype, measured: Measured) -> None:
        protocol = self._protocol(genotype, setup, measured.complete)
        self._cache.put(setup.key(genotype), self._weights, protocol, measured.quality)

    def _protocol(self, genotype: Genotype, setup: Setup, complete: bool) -> str:
        """Return the protocol of a measurement; that of an estimate names the rival."""
        protocol = self.protocol(genotype)
        if complete or setup.rival is None:
            return protocol
        return f"{protocol}, left behind {setup.key(setup.rival.genotype)}"

    def best(self, trials: Sequence[Trial]) -> Trial:
        """Return the trial of best quality; raise RunError if there is none of finite quality."""
        top = search.best(trials, self.objective)
        if top is None:
            raise RunError("no trial of the search has a finite quality")
        return top

    def found(
        self,
        trials: Sequence[Trial],
        facts: Mapping[str, float],
        earlier: Sequence[Trial] = (),
        accepts: Callable[[Trial], bool] | None = None,
    ) -> Found:
        """Return the outcome of a search: the winner is the best accepted trial of its last step.

        `accepts` is called on one trial after another, best first, until it returns True. It is for tests that would be
        too expensive for every candidate.

        Raises:
            BudgetError: none of the best `TRIED` trials is accepted.
        """
        rest = list(trials)
        while accepts is not None and not accepts(self.best(rest)):
            rest.remove(self.best(rest))
            if not rest or len(trials) - len(rest) >= TRIED:
                raise unkept(len(trials) - len(rest))
        every = [*earlier, *trials]
        numbers = {"evaluations": float(len(every)), **facts}
        if left := sum(not trial.complete for trial in every):
            numbers["left_early"] = float(left)
        numbers |= {f"seconds.{step}": seconds for step, seconds in self._seconds.items()}
        winner = self.best(rest)
        steps = tuple(dict.fromkeys(trial.step for trial in trials))
        return Found(winner, every, {**numbers, **self.apart(winner, trials)}, self.objective, steps)

    def apart(self, winner: Trial, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Return facts about how clearly the winner beats the others of its step; empty where unknown."""
        return {}


def unkept(tried: int) -> BudgetError:
    """Return the error for when this many candidates were measured and all exceeded the limit."""
    rule = f"none of the {tried} best candidates is within budget.latency_ms when measured"
    return BudgetError(rule, None, "raise the limit a little, or let the search measure more candidates")


def _begin_alike(file: Path) -> None:
    """Give every process the first one's file, so that all replay the same rounds and have the same values."""
    content = first(lambda: file.read_bytes() if file.exists() else None)
    if world()[0] > 0 and content is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content)
