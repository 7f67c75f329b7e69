"""Pruning of one generator: masks over its filters, from its weights alone.

The original's own outputs are the targets, so no discriminator and no pairs are needed. Filters are ranked by
magnitude, chosen greedily by what the next layers lose (ThiNet, Luo et al., ICCV 2017), or found by the genetic search
of Co-Evolutionary Compression (Shu et al., ICCV 2019) over one generator. `supernet` is the original itself, of which
the contribution of each filter to the layers that read it is measured; `finetune` distils the original.
"""

import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from slimgen.methods.checks import NARROWED, RANDOM, priced
from slimgen.methods.co_evolution.ranked import first_within
from slimgen.methods.co_evolution.roulette import Population
from slimgen.methods.effort import Effort
from slimgen.methods.latency import Timed, keeping, timed
from slimgen.methods.method import Found, Preview, Trained, found_genotype, updates_of
from slimgen.methods.pruning.distilling import distilling, imitating
from slimgen.methods.pruning.generations import Generations, changed
from slimgen.methods.pruning.judging import GRAMS, Judged, Pruned, inputs, opened, opponent
from slimgen.methods.pruning.options import (
    EVOLUTION,
    GREEDY,
    MAGNITUDE,
    SearchOptions,
    SupernetOptions,
    check,
    search_reads,
    without_effect,
)
from slimgen.methods.rivals import finetuned, train_rivals
from slimgen.methods.tuning import Opponent
from slimgen.nets import build_generator, has_pieces
from slimgen.nets.co_evolution.contributions import grams
from slimgen.nets.co_evolution.dependencies import said
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.pieces import Layered
from slimgen.nets.pieces import Generators, InPieces
from slimgen.nets.weights import save_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Budget, Exhaustive, Genotype, require_reachable
from slimgen.tasks.cycle import Gan
from slimgen.tasks.task import Job

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}

PIECES = 300  # the most pieces measured in advance; a search that needs others measures them when they occur


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the filters of the original, and the number of candidates."""
    options, about = section(SearchOptions, recipe.search, "search"), dict(recipe.teach.generator)
    net, family = build_generator(**about).eval(), about.pop("family")
    filters = FilterSpace(net, torch.zeros(1, recipe.channels.given, *recipe.size), family=family, options=about)

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(filters.cost(genotype, *recipe.size), recipe)

    looked = options.evaluations if options.kind == EVOLUTION else 1
    learned = options.tune * recipe.finetune.batch * looked if options.kind == EVOLUTION else 0
    # Rivals that are cut from the original are trained as long as the found one, without what led to the original.
    anew = NARROWED in recipe.finetune.rivals and recipe.teach.generator_checkpoint is None
    taught = recipe.teach.steps if anew else (lambda images: 0)
    networks = partial(in_pieces, recipe, filters)
    return Preview(filters.space, costs, looked, learned=lambda images: learned, before=taught, networks=networks)


def supernet(job: Job) -> Mapping[str, float]:
    """Measure the contribution of each filter to the layers that read it; train nothing."""
    options, pruned = section(SupernetOptions, job.recipe.supernet, "supernet"), opened(job)
    if pruned.filters.pinned:
        job.say(f"stays whole: {said(pruned.filters.pinned)}")
    save_weights(job.out / GRAMS, grams(pruned.filters, inputs(job, options.images), job.recipe.seed))
    facts = {"bits": float(pruned.filters.bits), "filters": float(pruned.filters.filters)}
    return {"updates": 0.0, **facts, "pinned_layers": float(len(pruned.filters.pinned))}


def search(job: Job) -> Found:
    """Choose the filters by magnitude, greedily, or by evolution from both."""
    options, pruned = section(SearchOptions, job.recipe.search, "search"), opened(job)
    clock, limit = table_of(job, pruned.filters, options), job.recipe.budget.latency_ms
    judged, space = Judged(job, pruned, options, clock), pruned.filters.space
    require_reachable(space, judged.costs, judged.budget)
    facts = {"bits": float(pruned.filters.bits), "space_size": float(min(space.size, 10**300)), **clock.facts}
    if options.kind != EVOLUTION:
        ranked = {MAGNITUDE: pruned.by_magnitude, GREEDY: pruned.greedily}[options.kind]
        chosen = keeping(limit, first_within(pruned.filters, ranked, clock.lowered(job), judged.costs), clock.measured)
        only = Exhaustive(space, judged.objective, lambda genotype: True, 1, genotypes=[chosen])
        trials = judged.explore(options.kind, only, 1)
        return judged.found(trials, facts, accepts=clock.accepts(limit, facts))
    every = [pruned.by_magnitude, pruned.greedily]
    begin = [next(first_within(pruned.filters, order, clock.lowered(job), judged.costs)) for order in every]
    population = Population(space, judged.allows, space.smallest(), options.population, options.odds)
    searcher = Generations(population, judged.objective, every, list(dict.fromkeys(begin)))
    trials = judged.explore(EVOLUTION, searcher, options.evaluations)
    if options.tune:
        macs = [pruned.filters.cost(trial.genotype, *job.recipe.size).exact for trial in trials]
        facts |= Effort.candidates(macs, options.tune, job.recipe.finetune.batch).facts()
    return judged.found(trials, facts, accepts=clock.accepts(limit, facts))


def table_of(job: Job, filters: FilterSpace, options: SearchOptions) -> Timed:
    """Return the latency table, where the budget limits milliseconds."""
    return timed(job, in_pieces(job.recipe, filters), options.latency_networks, filters.sample, PIECES)


def in_pieces(recipe: Recipe, filters: FilterSpace) -> InPieces:
    """Return the pruned generators in pieces: those that their family knows, or else their convolutions."""
    if has_pieces(str(filters.family)):
        return Generators(filters.space, str(filters.family), filters.described, filters.alike)
    return Layered(filters, torch.zeros(1, recipe.channels.given, *recipe.size))


def finetune(job: Job) -> Mapping[str, Trained]:
    """Distil the original into the found generator (`updates: 0` keeps it as it was cut), and into its rivals.

    `magnitude` and `random1` ... are cut from the original at the found generator's MACs and trained like it.
    """
    recipe, pruned, genotype = job.recipe, opened(job), found_genotype(job)
    steps = recipe.finetune.steps(len(job.data.split("train")))
    before = Effort.of(updates_of(job.inputs["teach"]), recipe.teach.batch, job.task.original_cost().exact)
    cost = pruned.filters.cost(genotype, *recipe.size)

    def trained(name: str, one: Genotype, earlier: Effort) -> Trained:
        net = job.compute.place(pruned.cut(one)).requires_grad_(True)
        if steps:
            net = finetuned(job, name, Gan(net, opponent(job)), steps, **imitating(job, pruned.filters, one, net))
        own = Effort.of(steps, recipe.finetune.batch, pruned.filters.cost(one, *recipe.size).exact)
        plan = {"family": recipe.teach.generator["family"], **pruned.filters.described(one)}
        return Trained.of(net, plan, steps, earlier.plus(own))

    found = {"found": trained("found", genotype, before.plus(Effort.read(job.inputs["search"])))}
    budget = Budget(macs=float(cost.macs(recipe.budget.convention)))
    for name, rival in _rivals(job, pruned, budget):
        found[name] = trained(name, rival, before)
    if NARROWED in recipe.finetune.rivals and (effort := found["found"].effort) is not None:

        def oppose(net: nn.Module) -> Opponent:
            how: Mapping[str, Any] = {"guidance": distilling(job)}
            return Opponent(opponent(job), how)

        found |= train_rivals(job, [cost], effort, oppose)
    return found


def _rivals(job: Job, pruned: Pruned, budget: Budget) -> Iterator[tuple[str, Genotype]]:
    """Yield the masks of the recipe's rivals within a budget: by magnitude, and with filters drawn at random."""
    recipe, filters = job.recipe, pruned.filters

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(filters.cost(genotype, *recipe.size), recipe)

    first = partial(first_within, filters, pruned.by_magnitude)
    strongest = next(first(iter([budget]), costs))
    if MAGNITUDE in recipe.finetune.rivals:
        yield MAGNITUDE, strongest
    population = Population(filters.space, lambda one: budget.allows(costs(one)), filters.space.smallest(), 2)
    for number in range(1, recipe.finetune.random + 1) if RANDOM in recipe.finetune.rivals else ():
        rng = random.Random(f"{recipe.seed}/{RANDOM}/{number}")
        shuffled = {name: rng.sample(range(mask), mask) for name, mask in _lengths(filters).items()}
        (drawn,) = population.settled([changed(strongest, shuffled, rng)], rng)
        yield f"{RANDOM}{number}", population.filled(drawn, rng)


def _lengths(filters: FilterSpace) -> dict[str, int]:
    return {name: len(str(filters.space.largest()[name])) for name in filters.space}
