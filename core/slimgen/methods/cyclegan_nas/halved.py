"""Successive halving of pairs of generators, each pair trained by itself, in place of a search by gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from torch import nn

from slimgen.methods.alone import Course, search_alone
from slimgen.methods.cyclegan_nas.options import SearchOptions
from slimgen.methods.cyclegan_nas.phases import GENERATORS
from slimgen.methods.cyclegan_nas.repeats import Comparison, finished
from slimgen.methods.cyclegan_nas.sized import Sized
from slimgen.methods.handing import settle
from slimgen.methods.method import Found
from slimgen.methods.rivals import Plan, train_anew
from slimgen.recipe import section
from slimgen.search import Genotype, Space, Trial
from slimgen.tasks.task import Job


def halved(job: Job, sized: Sized, space: Space, plans: Callable[[Genotype], list[Plan]]) -> Found:
    """Return the best of random pairs of generators, trained as in `finetune`, by the objective in both directions.

    `plans` returns both directions' plans for a genotype with its width. The width is not a dimension of the space: it
    follows from the operations.
    """
    options, comparison = section(SearchOptions, job.recipe.search, "search"), Comparison(job)
    steps, built = job.recipe.finetune.steps(len(job.data.split("train"))), lru_cache(maxsize=None)(sized.within)

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return sized.pair_costs(built(genotype))

    def macs(genotype: Genotype) -> float:
        return sum(sized.cost(built(genotype), role).exact for role in GENERATORS)

    def train(within: Job, name: str, genotype: Genotype, until: int) -> list[nn.Module]:
        return train_anew(within, name, plans(built(genotype)), steps, until)

    def measure(genotype: Genotype, nets: Sequence[nn.Module]) -> dict[str, float]:
        pair = zip(nets, plans(built(genotype)), strict=True)
        return comparison.measure(*(job.compute.place(finished(net, plan.generator, steps).net) for net, plan in pair))

    protocol = "; ".join(evaluator.protocol for evaluator in comparison.evaluators)
    course = Course(space, costs, macs, comparison.objective, steps, train, measure, protocol)
    counts, halving = (options.candidates, options.proposed), course.halving(job, sized.clock.margin)
    outcome, limit = search_alone(job, halving, [space], costs, sized.budget, counts), job.budget.latency_ms

    def accepts(trial: Trial) -> bool:
        return limit is None or sized.slower(built(trial.genotype)) <= limit

    def whole(trial: Trial) -> Trial:
        genotype = built(trial.genotype)
        return replace(trial, genotype=genotype, costs=sized.costs(genotype))

    found = outcome.candidates.found(outcome.last, {}, outcome.earlier, accepts)
    settle(job, found.trial.genotype)
    winner = whole(found.trial)
    facts = {"space_size": float(space.size), **found.facts, **outcome.effort.facts(), **sized.facts(winner.genotype)}
    return Found(winner, [whole(trial) for trial in found.trials], facts, comparison.objective)
