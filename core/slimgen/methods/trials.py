"""Trials: what a genotype costs, how good it is, what was seen before; measured alone or among processes."""

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
"""Candidates that are measured for their milliseconds, from the best on, until one keeps the limit."""


class Setup(NamedTuple):
    """How the candidates of a round are run.

    Attributes:
        arch_of: the architecture that stands for a genotype inside the supernet; None extracts the genotype itself.
        rival: a complete trial of the same step; a candidate hopelessly behind it is left early.
    """

    step: str = ""
    arch_of: ArchOf | None = None
    rival: Trial | None = None

    def key(self, genotype: Genotype) -> str:
        """The genotype's name in the cache; a mixture is another network than its genotype, so it has its own."""
        return genotype.key if self.arch_of is None else f"{self.step}:{genotype.key}"


PLAIN = Setup()


class Measured(NamedTuple):
    """What an evaluation gave: values by metric, whether of all images, and the seconds it took."""

    quality: dict[str, float]
    complete: bool = True
    seconds: float = 0.0


class Trials(ABC):
    """Evaluates genotypes, each once, and searches among them; a subclass says what one costs and how good it is.

    What was measured is kept in `cache.jsonl`, keyed by genotype, weights and protocol; rounds in `log-rounds.jsonl`.

    Several processes search as one: each runs the same searcher, measures its share of a round and is given the trials
    of all. The first one's log and cache are what counts, and what the others begin with; so every process must make
    its trials, and call them, in the same order.

    Args:
        weights: digest of the weights that candidates are cut out of.
        margin: a predicted latency must stay below its limit by this factor.
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
        """What a genotype costs, by kind; `costs` is the same, counted once."""

    @abstractmethod
    def protocol(self, genotype: Genotype) -> str:
        """Return all that a complete measurement depends on besides the genotype and the weights."""

    @abstractmethod
    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Measure a genotype here and now, by itself: other processes are not waited for."""

    def allows(self, genotype: Genotype) -> bool:
        """Return whether a genotype is within the budget."""
        return self.budget.allows(self.costs(genotype))

    def require_reachable(self, space: Space) -> Genotype:
        """A genotype within the budget; raises BudgetError with the smallest reachable cost where there is none."""
        return search.require_reachable(space, self.costs, self.budget)

    def anchor(self, space: Space, allows: Allows) -> Genotype | None:
        """Return a genotype to repair towards: the smallest, or the cheapest within the budget."""
        smallest = space.smallest()
        return smallest if allows(smallest) else self.require_reachable(space)

    def explore(
        self, step: str, searcher: Searcher, evaluations: int, arch_of: ArchOf | None = None, *, racing: bool = False
    ) -> list[Trial]:
        """Run one search to the end of its allowance: at most so many evaluations.

        With `racing`, a candidate is left as soon as it is hopelessly behind the searcher's rival, if it has one. The
        rival is the same for a whole round, so the order within the round does not matter.

        Raises:
            RunError: nothing could be asked within the budget.
            RecipeError: racing for a metric that is not of single images.
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
            raise RunError(f"the {step} step needs at least one candidate within the budget", "none")
        self._seconds[step] = sum(trial.seconds for trial in trials)
        return trials

    def trials(self, genotypes: Sequence[Genotype], setup: Setup = PLAIN) -> list[Trial]:
        """Return genotypes, evaluated by all processes together unless they were before; one trial each, in order."""
        known = {genotype: self._known(genotype, setup) for genotype in genotypes}
        missing = [genotype for genotype, measured in known.items() if measured is None]
        # Kept at once, so that a search killed amid a round loses little.
        measured = spread(missing, partial(self.measure, setup=setup), each=partial(self._keep, setup))
        known.update(zip(missing, measured, strict=True))
        trials = []
        for genotype in genotypes:  # costs may take all processes together, so that all ask for those of all
            quality, complete, seconds = known[genotype] or Measured({})
            trials.append(Trial(genotype, dict(self.costs(genotype)), quality, seconds=seconds, complete=complete))
        return trials

    def _known(self, genotype: Genotype, setup: Setup) -> Measured | None:
        """What the cache has: of all images, or of as many as it took to fall behind this very rival."""
        for complete in (True, False) if setup.rival is not None else (True,):
            protocol = self._protocol(genotype, setup, complete)
            if (quality := self._cache.get(setup.key(genotype), self._weights, protocol)) is not None:
                return Measured(quality, complete)
        return None

    def _keep(self, setup: Setup, genotype: Genotype, measured: Measured) -> None:
        protocol = self._protocol(genotype, setup, measured.complete)
        self._cache.put(setup.key(genotype), self._weights, protocol, measured.quality)

    def _protocol(self, genotype: Genotype, setup: Setup, complete: bool) -> str:
        """Return the protocol of a measurement; an estimate is of one rival."""
        protocol = self.protocol(genotype)
        if complete or setup.rival is None:
            return protocol
        return f"{protocol}, left behind {setup.key(setup.rival.genotype)}"

    def best(self, trials: Sequence[Trial]) -> Trial:
        """Return the trial of best quality."""
        top = search.best(trials, self.objective)
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
        """The outcome of a search: the best trial of its last step has won, if it is accepted; BudgetError if none is.

        `accepts` is called from the best on, until it agrees: what is too dear to measure of every candidate.
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
        return Found(winner, every, {**numbers, **self.apart(winner, trials)}, self.objective)

    def apart(self, winner: Trial, trials: Sequence[Trial]) -> Mapping[str, float]:
        """How well the winner is told apart from the others of its step; nothing, where that is not known."""
        return {}


def unkept(tried: int) -> BudgetError:
    """What there is to say where so many candidates were measured and each was above the limit."""
    rule = f"one of the {tried} best candidates must keep the limits when it is measured"
    return BudgetError(rule, "none", "raise the limit a little, or let the search ask for more")


def _begin_alike(file: Path) -> None:
    """Give every process the first one's file, so that all replay the same and know the same values."""
    content = first(lambda: file.read_bytes() if file.exists() else None)
    if world()[0] > 0 and content is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content)
