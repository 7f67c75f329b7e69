"""How large the generators that CycleGANAS found are built, and how long they take."""

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
_WIDTHS = 4  # whose networks a latency table is fitted to, each half as wide as the one before


class Sized:
    """Architectures of all four networks, as wide as they are built; a limit on milliseconds is of each generator."""

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
        shape = {HIDDEN: genotype[HIDDEN], "cells": self.training.cells, "ends": self.training.ends}
        shape |= self.training.pictures
        return {**shape, "genotype": operations, "spectral": False}

    def of(self, genotype: Genotype) -> Genotype:
        """Return the genotype with its hidden width, whatever time it takes."""
        hidden = self.options.hidden
        if hidden == "equal":
            pair = genotype.under(GENERATORS[0]), genotype.under(GENERATORS[1])
            hidden = equal_hidden(self.job.recipe, self.training, pair)
        return Genotype({HIDDEN: hidden}) | genotype

    def beside(self, other: Genotype, genotype: Genotype) -> Genotype:
        """Return the genotype as wide as another where milliseconds are limited, else with its own width."""
        if self.budget.latency_ms is None:
            return self.of(genotype)
        return Genotype({HIDDEN: other[HIDDEN]}) | genotype

    def within(self, genotype: Genotype) -> Genotype:
        """Return the genotype as wide as it is built: by parameters, and narrower where milliseconds demand it.

        Where no width keeps them, the narrowest, which is above the limit.
        """
        whole = self.of(genotype)
        if self.options.hidden != "equal" or self.budget.allows(self.pair_costs(whole)):
            return whole
        try:
            return self._narrower(whole, self.budget)
        except BudgetError:
            return whole.replace({HIDDEN: LEAST})

    def likeliest(self) -> Iterator[Genotype]:
        """Yield the most probable architecture within the budget; then those of ever fewer milliseconds."""
        argmax = self.of(self.relaxation.argmax())
        if self.budget.allows(self.pair_costs(argmax)):
            yield argmax
        for budget in self.clock.lowered(self.job):
            yield self._narrower(argmax, budget) if self.options.hidden == "equal" else self._faster(argmax, budget)

    def _narrower(self, genotype: Genotype, budget: Budget) -> Genotype:
        """Return the same operations, as wide as the budget allows both generators to be."""

        def at(hidden: int) -> Genotype:
            return genotype.replace({HIDDEN: hidden})

        hidden = largest(lambda hidden: budget.allows(self.pair_costs(at(hidden))), LEAST, int(genotype[HIDDEN]))
        if hidden < LEAST:
            rule = f"generators of cells must keep a limit of {plain(budget.latency_ms or 0)} latency_ms"
            least = f"{plain(self.pair_costs(at(LEAST))['latency_ms'])} at the least, with a hidden width of {LEAST}"
            raise BudgetError(rule, least, "raise budget.latency_ms")
        return at(hidden)

    def _faster(self, genotype: Genotype, budget: Budget) -> Genotype:
        """The most probable operations of generators of the same width that the budget allows, each by itself."""
        logs, hidden = self.relaxation.log_probabilities(), Genotype({HIDDEN: genotype[HIDDEN]})
        for role in GENERATORS:
            own = {name.removeprefix(f"{role}."): each for name, each in logs.items() if name.startswith(f"{role}.")}

            def costs(operations: Genotype, role: str = role) -> dict[str, float]:
                return self.costs(hidden | operations.prefixed(role), role)

            within = likeliest(space_of(self.training.generator()), own, costs, budget.limits)
            genotype = genotype.replace(within.prefixed(role))
        return genotype

    def keeping(self, genotypes: Iterable[Genotype]) -> Genotype:
        """Return the first whose generators both keep a limit on milliseconds when they are measured."""
        limit = self.job.budget.latency_ms
        return keeping(limit, genotypes, self.slower)

    def slower(self, genotype: Genotype) -> float:
        """Return the milliseconds of the slower generator, measured."""
        return max(self._measured(genotype, role) for role in GENERATORS)

    def _measured(self, genotype: Genotype, role: str) -> float:
        return self.clock.measured(_alone(genotype, role))

    def timed(self, found: Genotype) -> dict[str, float]:
        """What is worth telling of milliseconds, where they are limited."""
        if self.budget.latency_ms is None:
            return {}
        forward, reverse = (self._measured(found, role) for role in GENERATORS)
        return {**self.clock.facts, "latency_measured_ms": forward, "reverse_latency_measured_ms": reverse}

    def facts(self, found: Genotype) -> dict[str, float]:
        """What is worth telling of what was found: the reverse direction, both together, and their images."""
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
        """What a generator costs on one image."""
        size = self.job.recipe.size
        return cells_cost(self.training.generator(int(genotype[HIDDEN])), genotype.under(role), *size)

    def costs(self, genotype: Genotype, role: str = GENERATORS[0]) -> dict[str, float]:
        """What a generator costs, by kind; that of the recipe's direction if no other is asked for."""
        return self.clock.priced(self.job, priced(self.cost(genotype, role), self.job.recipe), _alone(genotype, role))

    def pair_costs(self, genotype: Genotype) -> dict[str, float]:
        """What both generators cost together, by kind; of milliseconds, those of the slower one."""
        both = [self.costs(genotype, role) for role in GENERATORS]
        counted = priced(total(self.cost(genotype, role) for role in GENERATORS), self.job.recipe)
        return counted | {name: max(each[name] for each in both) for name in both[0] if name not in counted}


def _alone(genotype: Genotype, role: str) -> Genotype:
    """Return one generator, with its hidden width."""
    return Genotype({HIDDEN: genotype[HIDDEN]}) | genotype.under(role)
