"""Masks that need no search: by a ranking of the filters, or drawn at random; as ways to prune, and as rivals."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

from slimgen.cost.rows import largest
from slimgen.methods.checks import RANDOM, priced
from slimgen.methods.co_evolution.fitness import Side
from slimgen.methods.co_evolution.options import GREEDY, MAGNITUDE
from slimgen.methods.co_evolution.roulette import TURN, TURNS, Population
from slimgen.metrics.evaluator import fitting_batch
from slimgen.nets.co_evolution.contributions import grams, orders
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.recipe import Schedule
from slimgen.search import Budget, Genotype
from slimgen.tasks.task import Job

CONTRIBUTING = 16  # training images on which the contributions of filters are measured
Costs = Callable[[Genotype], Mapping[str, float]]
Orders = Mapping[str, Sequence[int]]
"""The filters of each dimension, those to keep first."""


def ranking(job: Job, turn: str, side: Side, kind: str) -> Orders:
    """Return the filters of one direction's original, those to keep first.

    Args:
        job: the job of the stage.
        turn: the direction, one of `TURNS`.
        side: its original.
        kind: `magnitude` ranks by the L1 norm of the weights; `greedy` removes, one after the other, the filter without
            which the next layers' outputs on training images change least (ThiNet, Luo et al. 2017, Algorithm 1).
    """
    if kind == MAGNITUDE:
        return side.filters.ranked()
    batch = min(CONTRIBUTING, fitting_batch(job.recipe.size, job.compute.device))
    source = job.task.batches(job.data, Schedule(updates=1, batch=batch))["train"]
    number = TURNS.index(turn)
    images = [source(step)[number] for step in range(-(-CONTRIBUTING // batch))]
    return orders(side.filters, grams(side.filters, images, job.recipe.seed))


def first_within(filters: FilterSpace, order: Orders, budgets: Iterator[Budget], costs: Costs) -> Iterator[Genotype]:
    """Yield the masks that keep the first filters of an order: the same share of every layer, as large as allowed.

    One mask for each budget; lower budgets may follow, for when the network is slower than predicted.
    """

    def at(thousandths: int) -> Genotype:
        return filters.first(thousandths / 1000, order)

    for budget in budgets:

        def fits(part: int, budget: Budget = budget) -> bool:
            return budget.allows(costs(at(part)))

        yield at(max(0, largest(fits, most=1000)))


def rival_pairs(job: Job, originals: Mapping[str, Side], found: Genotype) -> Iterator[tuple[str, Genotype]]:
    """Yield the recipe's rivals that are cut from the originals, each generator as large as the found one or smaller.

    That is in every cost that the recipe limits, or in parameters where it limits none that is counted.

    Yields:
        A rival's name, `magnitude`, `greedy` or `random1` ..., and its masks for both directions.
    """
    recipe = job.recipe

    def costs(turn: str, genotype: Genotype) -> Mapping[str, float]:
        return priced(originals[turn].filters.cost(genotype, *recipe.size), recipe)

    @cache
    def budget(turn: str) -> Budget:
        kinds = [kind for kind in ("macs", "params", "bytes") if getattr(recipe.budget, kind) is not None]
        cost = costs(turn, found.under(turn))
        return Budget(**{kind: cost[kind] for kind in kinds or ["params"]})

    def drawn(turn: str, number: int) -> Genotype:
        space, rng = originals[turn].filters.space, random.Random(f"{recipe.seed}/{RANDOM}/{turn}/{number}")

        def allows(genotype: Genotype) -> bool:
            return budget(turn).allows(costs(turn, genotype))

        population = Population(space, allows, originals[turn].filters.strongest(0.0), 2)
        return population.filled(population.draw(rng)[0], rng)

    def pair(mask_of: Callable[[str], Genotype]) -> Genotype:
        joined = Genotype({TURN: TURNS[0]})
        for turn in TURNS:
            joined = joined | mask_of(turn).prefixed(turn)
        return joined

    for kind in (MAGNITUDE, GREEDY):
        if kind in recipe.finetune.rivals:

            def ranked(turn: str, kind: str = kind) -> Genotype:
                side = originals[turn]
                order = ranking(job, turn, side, kind)
                return next(first_within(side.filters, order, iter([budget(turn)]), partial(costs, turn)))

            yield kind, pair(ranked)
    for number in range(1, recipe.finetune.random + 1) if RANDOM in recipe.finetune.rivals else ():
        yield f"{RANDOM}{number}", pair(partial(drawn, number=number))
