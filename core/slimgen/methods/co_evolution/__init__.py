"""Co-Evolutionary Compression: masks over the filters of both generators of a CycleGAN (Shu et al., ICCV 2019).

`supernet` is the original itself, whose outputs for the validation images are computed once; `search` is Algorithm 1,
and `finetune` its last line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from slimgen.cost.rows import largest
from slimgen.errors import RunError
from slimgen.methods.checks import HALVING, priced
from slimgen.methods.co_evolution.fitness import OUTPUTS, Fitness, Side, filters_of, outputs, sides
from slimgen.methods.co_evolution.halved import halved, pruned, train_pair
from slimgen.methods.co_evolution.options import SearchOptions, SupernetOptions, check, search_reads
from slimgen.methods.co_evolution.roulette import TURN, TURNS, CoEvolution, Population
from slimgen.methods.effort import Effort
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.handing import handed_over
from slimgen.methods.latency import Timed, keeping, timed
from slimgen.methods.method import REVERSE, Found, Preview, Trained, found_genotype, updates_of
from slimgen.methods.rivals import train_rivals
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.pieces import Generators
from slimgen.nets.weights import save_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Budget, Exhaustive, Genotype, Trial, require_reachable
from slimgen.tasks.task import Job

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}

DIRECTIONS = dict(zip(TURNS, ("forward", "reverse"), strict=True))
"""The steps of the trials of each direction."""
PIECES = 300  # of networks of whatever widths; a search that goes elsewhere measures what it meets


def preview(recipe: Recipe) -> Preview:
    """Return the filters of one original, and how many individuals are looked at; nothing is trained before."""
    options = section(SearchOptions, recipe.search, "search")
    filters = filters_of(recipe, build_generator(**recipe.teach.generator).eval())

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(filters.cost(genotype, *recipe.size), recipe)

    def learned(images: int) -> int:
        tuning = recipe.finetune
        return pictures(counts, tuning.steps(images), tuning.batch) if options.kind == HALVING else 0

    counts = options.candidates, options.proposed
    looked = {"evolution": options.evaluations, "magnitude": 0, HALVING: 2 * measurements(*counts)}[options.kind]
    taught = (lambda images: 0) if recipe.teach.generator_checkpoint else recipe.teach.steps
    return Preview(filters.space, costs, 2 + looked, learned=learned, before=taught)


def supernet(job: Job) -> Mapping[str, float]:
    """Keep what the originals and their discriminators make of the validation images; nothing is trained."""
    originals = sides(job)
    save_weights(job.out / OUTPUTS, outputs(job, originals))
    filters = originals[TURNS[0]].filters
    return {"updates": 0, "bits": float(filters.bits), "filters": float(filters.filters)}


def search(job: Job) -> Found:
    """Algorithm 1; or what its Table 2 and Figure 3 compare with."""
    options = section(SearchOptions, job.recipe.search, "search")
    originals, limit = sides(job), job.recipe.budget.latency_ms
    clock = table_of(job, originals[TURNS[0]].filters, options)
    fitness = Fitness(job, originals, options, clock)
    populations = [_population(fitness, name, side, options) for name, side in originals.items()]
    searcher = CoEvolution(populations, fitness.objective, options.iterations, apart=not options.together)
    if options.kind == HALVING:
        return halved(fitness, searcher.space.narrow({TURN: [TURNS[0]]}), options)
    trials: list[Trial] = []
    if options.kind == "evolution":
        trials = fitness.explore("pairs", searcher, options.evaluations)
        if None in searcher.champions:
            raise RunError("a search needs a candidate of finite fitness in each direction", "none")
        a, b = (keeping(limit, searcher.ranked(turn), clock.measured) for turn in TURNS)
    else:
        a, b = (keeping(limit, _strongest(fitness, name, side), clock.measured) for name, side in originals.items())
    # Both as they will be used: beside each other.
    pairs = [searcher.pair(turn, a, b) for turn in TURNS]
    both = Exhaustive(searcher.space, fitness.objective, lambda pair: True, len(pairs), genotypes=pairs)
    last = fitness.explore("found", both, len(pairs))
    end = 1 + max((trial.round for trial in trials), default=-1)
    last = [replace(trial, round=end) for trial in last]
    every = [replace(trial, step=DIRECTIONS[str(trial.genotype[TURN])]) for trial in (*trials, *last)]
    found, reverse = every[-2:]
    facts = {
        "evaluations": float(len(every)),
        "seconds.pairs": sum(trial.seconds for trial in every),
        **fitness.facts(reverse),
    }
    if limit is not None:
        facts |= {"latency_measured_ms": clock.measured(a), "reverse_latency_measured_ms": clock.measured(b)}
    return Found(found, every, facts, fitness.objective)


def _population(fitness: Fitness, name: str, side: Side, options: SearchOptions) -> Population:
    """Individuals of one direction within the budget; raises BudgetError if not even one filter in every layer is."""
    space = side.filters.space
    require_reachable(space, partial(fitness.costs_of, name), fitness.budget)
    # The strongest filter of every layer costs what any single one does.
    anchor, allows = side.filters.strongest(0.0), partial(fitness.allows_of, name)
    return Population(space, allows, anchor, options.population, options.odds)


def _strongest(fitness: Fitness, name: str, side: Side) -> Iterator[Genotype]:
    """Yield pruning by magnitude at the size of the budget: the same part of every layer, as much of it as is allowed.

    Then, for networks that are slower than predicted, ever less.
    """

    def at(thousandths: int) -> Genotype:
        return side.filters.strongest(thousandths / 1000)

    for budget in fitness.clock.lowered(fitness.job):

        def fits(part: int, budget: Budget = budget) -> bool:
            return budget.allows(fitness.costs_of(name, at(part)))

        yield at(largest(fits, most=1000))


def table_of(job: Job, filters: FilterSpace, options: SearchOptions) -> Timed:
    """What a search knows of milliseconds, of either direction: both originals are of one shape."""
    generators = Generators(filters.space, str(filters.family), filters.described, filters.alike)
    return timed(job, generators, options.latency_networks, filters.sample, PIECES)


def finetune(job: Job) -> Mapping[str, Trained]:
    """Return both found generators, trained together on inherited weights and with the originals' discriminators.

    Returns:
        `found` of the recipe's direction and `found_reverse` of the other, with `updates: 0` as they were cut; and
        `narrowed` and `narrowed_reverse` where the recipe asks for them.
    """
    recipe, schedule, originals = job.recipe, job.recipe.finetune, sides(job)
    family, pair = recipe.teach.generator["family"], found_genotype(job)
    described = [side.filters.described(pair.under(name)) for name, side in originals.items()]
    gans = pruned(job, originals, pair)
    nets: Sequence[nn.Module] = [gan.generator.eval() for gan in gans]
    steps = schedule.steps(len(job.data.split("train")))
    if not (known := handed_over(job, nets)) and steps:
        nets = train_pair(job, "found", gans, steps)
    costs = [generator_cost(family, *recipe.size, **about) for about in described]
    # The original is the supernet here, so its training counts.
    before = Effort.of(updates_of(job.inputs["teach"]), recipe.teach.batch, job.task.original_cost().exact)
    before = before.plus(Effort.read(job.inputs["search"]))
    efforts = [before.plus(Effort.of(steps, schedule.batch, cost.exact, counted=known)) for cost in costs]
    trained = {
        name: Trained(net, family, about, steps, effort)
        for name, net, about, effort in zip(("found", f"found{REVERSE}"), nets, described, efforts, strict=True)
    }
    return {**trained, **train_rivals(job, costs, efforts[0])}
