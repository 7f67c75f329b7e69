"""Widths of the generators that CycleGANAS finds, and their latencies."""

from collections.abc import Iterable, Iterator

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import largest
from slimgen.errors import BudgetError
from slimgen.methods.checks import priced
from slimgen.methods.cyclegan_nas.options import LEAST, SearchOptions, SupernetOptions, equal_hidden
from slimgen.methods.cyclegan_nas.phases import GENERATORS
from slimgen.methods.latency import keeping, timed
from slimgen.methods.likeliest import likeliest
from slimgen.nets.cyclegan_nas.space import cells_cost, space_of
from slimgen.nets.pieces import Generators
from slimgen.nets.relaxation import Relaxation
from slimgen.search import Budget, Choice, Genotype, Space, plain
from slimgen.tasks.task import Job

HIDDEN = "hidden"
_WIDTHS = 4  # widths of the networks that a latency table is fitted to, each half of the one before


class Sized:
    """Architectures of all four networks at their final width; a limit on milliseconds holds for each generator."""

    def __init__(self, job: Job, training: SupernetOptions, options: SearchOptions, relaxation: Relaxation) -> None:
        self.job, self.training, self.options, self.relaxation = job, training, options, relaxation
        widest = int(self.of(relaxation.argmax())[HIDDEN])
        widths = {max(LEAST, widest >> step) for step in range(_WIDTHS if options.hidden == "equal" else 1)}
        self._space = Space({HIDDEN: Choice(tuple(sorted(widths)))}) | space_of(training.generator())
        generators = Generators(self._space, "cyclegan_nas", self._built)
        self.clock = timed(job, generators, options.latency_networks)
        self.budget = self.clock.budget(job)

    def _built(self, genotype: Genotype) -> dict[str, object]:
        operations = {name: option for name, option in genotype.items() if name != HIDDEN}
        return {**self.training.frame, HIDDEN: genotype[HIDDEN], "genotype": operations, "spectral": False}

    def of(self, genotype: Genotype) -> Genotype:
        """Return the genotype with its hidden width, regardless of latency."""
        hidden = self.options.hidden
        if hidden == "equal":
            pair = genotype.under(GENERATORS[0]), genotype.under(GENERATORS[1])
            hidden = equal_hidden(self.job.recipe, self.training, pair)
        return Genotype({HIDDEN: hidden}) | genotype

    def beside(self, other: Genotype, genotype: Genotype) -> Genotype:
        """Return the genotype with another one's width where milliseconds are limited, else with its own width."""
        if self.budget.latency_ms is None:
            return self.of(genotype)
        return Genotype({HIDDEN: other[HIDDEN]}) | genotype

    def within(self, genotype: Genotype) -> Genotype:
        """Return the genotype at its final width: by parameters, and narrower where a limit on milliseconds needs it.

        If no width is within the limit, the smallest is returned.
        """
        whole = self.of(genotype)
        if self.options.hidden != "equal" or self.budget.allows(self.pair_costs(whole)):
            return whole
        try:
            return self._narrower(whole, self.budget)
        except BudgetError:
            return whole.replace({HIDDEN: LEAST})

    def likeliest(self) -> Iterator[Genotype]:
        """Yield the most probable architecture within the budget, then within ever lower limits of milliseconds."""
        argmax = self.of(self.relaxation.argmax())
        if self.budget.allows(self.pair_costs(argmax)):
            yield argmax
        for budget in self.clock.lowered(self.job):
            yield self._narrower(argmax, budget) if self.options.hidden == "equal" else self._faster(argmax, budget)

    def _narrower(self, genotype: Genotype, budget: Budget) -> Genotype:
        """Return the same operations at the largest width at which both generators are within the budget."""

        def at(hidden: int) -> Genotype:
            return genotype.replace({HIDDEN: hidden})

        hidden = largest(lambda hidden: budget.allows(self.pair_costs(at(hidden))), LEAST, int(genotype[HIDDEN]))
        if hidden < LEAST:
            rule = f"both generators must be within a limit of {plain(budget.latency_ms or 0)} latency_ms"
            least = f"{plain(self.pair_costs(at(LEAST))['latency_ms'])} at the smallest hidden width, {LEAST}"
            raise BudgetError(rule, least, "raise budget.latency_ms")
        return at(hidden)

    def _faster(self, genotype: Genotype, budget: Budget) -> Genotype:
        """Return the most probable operations within the budget at the same width, for each generator by itself."""
        logs, hidden = self.relaxation.log_probabilities(), Genotype({HIDDEN: genotype[HIDDEN]})
        for role in GENERATORS:
            own = {name.removeprefix(f"{role}."): each for name, each in logs.items() if name.startswith(f"{role}.")}

            def costs(operations: Genotype, role: str = role) -> dict[str, float]:
                return self.costs(hidden | operations.prefixed(role), role)

            within = likeliest(space_of(self.training.generator()), own, costs, budget.limits)
            genotype = genotype.replace(within.prefixed(role))
        return genotype

    def keeping(self, genotypes: Iterable[Genotype]) -> Genotype:
        """Return the first genotype whose generators are both within any limit on milliseconds when measured."""
        limit = self.job.budget.latency_ms
        return keeping(limit, genotypes, self.slower)

    def slower(self, genotype: Genotype) -> float:
        """Return the measured milliseconds of the slower generator."""
        return max(self._measured(genotype, role) for role in GENERATORS)

    def _measured(self, genotype: Genotype, role: str) -> float:
        return self.clock.measured(_alone(genotype, role))

    def timed(self, found: Genotype) -> dict[str, float]:
        """Return facts about latency, where it is limited."""
        if self.budget.latency_ms is None:
            return {}
        forward, reverse = (self._measured(found, role) for role in GENERATORS)
        return {**self.clock.facts, "latency_measured_ms": forward, "reverse_latency_measured_ms": reverse}

    def facts(self, found: Genotype) -> dict[str, float]:
        """Return facts of the search: costs of the reverse direction and of both together, and numbers of images."""
        train = self.job.data.split("train")
        forward, reverse = (self.cost(found, role).params for role in GENERATORS)
        return {
            **{f"reverse_{name}": value for name, value in self.costs(found, GENERATORS[1]).items()},
            "total_params": float(forward + reverse),
            "reverse_share": reverse / (forward + reverse),
            "input_images": float(len(train.input)),
            "target_images": float(len(train.target)),
            **self.timed(found),
        }

    def cost(self, genotype: Genotype, role: str) -> Cost:
        """Return the cost of one generator on one image."""
        size = self.job.recipe.size
        return cells_cost(self.training.generator(int(genotype[HIDDEN])), genotype.under(role), *size)

    def costs(self, genotype: Genotype, role: str = GENERATORS[0]) -> dict[str, float]:
        """Return the costs of one generator by kind; by default, the forward direction's."""
        return self.clock.priced(self.job, priced(self.cost(genotype, role), self.job.recipe), _alone(genotype, role))

    def pair_costs(self, genotype: Genotype) -> dict[str, float]:
        """Return the costs of both generators together by kind; the latency is the slower one's."""
        both = [self.costs(genotype, role) for role in GENERATORS]
        counted = priced(total(self.cost(genotype, role) for role in GENERATORS), self.job.recipe)
        return counted | {name: max(each[name] for each in both) for name in both[0] if name not in counted}


def _alone(genotype: Genotype, role: str) -> Genotype:
    """Return one generator's genotype, with its hidden width."""
    return Genotype({HIDDEN: genotype[HIDDEN]}) | genotype.under(role)
