"""Co-Evolutionary Compression: masks over the filters of both generators of a CycleGAN (Shu et al., ICCV 2019).

`supernet` is the original itself, whose outputs for the validation images are computed once; `search` is Algorithm 1,
and `finetune` its last line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from slimgen.errors import RunError
from slimgen.files import FILTERS
from slimgen.methods.checks import HALVING, NARROWED, priced
from slimgen.methods.co_evolution.drawing import picture_filters, strips
from slimgen.methods.co_evolution.fitness import OUTPUTS, SUM, Fitness, Side, filters_of, outputs, sides
from slimgen.methods.co_evolution.halved import halved, pruned, train_pair
from slimgen.methods.co_evolution.options import (
    EVOLUTION,
    GREEDY,
    SearchOptions,
    SupernetOptions,
    check,
    search_reads,
    without_effect,
)
from slimgen.methods.co_evolution.ranked import first_within, ranking, rival_pairs
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
from slimgen.search import Exhaustive, Genotype, Trial, require_reachable
from slimgen.tasks.task import Job
from slimgen.training.distributed import first

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}

DIRECTIONS = dict(zip(TURNS, ("forward", "reverse"), strict=True))
"""The steps of the trials of each direction."""
PIECES = 300  # the most pieces measured in advance; a search that needs others measures them when they occur


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the filters of one original, and the number of individuals."""
    options = section(SearchOptions, recipe.search, "search")
    filters = filters_of(recipe, build_generator(**recipe.teach.generator).eval())

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(filters.cost(genotype, *recipe.size), recipe)

    def learned(images: int) -> int:
        if options.kind == HALVING:
            tuning = recipe.finetune
            return pictures(counts, tuning.steps(images), tuning.batch)
        if (tuned := options.tuning) is None:
            return 0
        champions = 2 * options.iterations if options.kind == EVOLUTION and options.together else 0
        networks = looked + champions + 4  # the last pair, each with its partner
        return tuned.steps(images) * tuned.batch * networks // 2  # one of the two directions learns

    counts = options.candidates, options.proposed
    looked = {EVOLUTION: options.evaluations, HALVING: 2 * measurements(*counts)}.get(options.kind, 0)
    # Rivals that are cut from the original are trained as long as the found one, without what led to the original.
    anew = NARROWED in recipe.finetune.rivals and recipe.teach.generator_checkpoint is None
    taught = recipe.teach.steps if anew else (lambda images: 0)
    return Preview(filters.space, costs, 2 + looked, learned=learned, before=taught)


def supernet(job: Job) -> Mapping[str, float]:
    """Store the originals' and their discriminators' outputs for the validation images; train nothing."""
    originals = sides(job)
    save_weights(job.out / OUTPUTS, outputs(job, originals))
    filters = originals[TURNS[0]].filters
    return {"updates": 0, "bits": float(filters.bits), "filters": float(filters.filters)}


def search(job: Job) -> Found:
    """Run Algorithm 1, or a search that Table 2 and Figure 3 compare it with."""
    options = section(SearchOptions, job.recipe.search, "search")
    originals, limit = sides(job), job.recipe.budget.latency_ms
    clock = table_of(job, originals[TURNS[0]].filters, options)
    fitness = Fitness(job, originals, options, clock)
    populations = [_population(fitness, name, side, options) for name, side in originals.items()]
    searcher = CoEvolution(populations, fitness.objective, options.iterations, apart=not options.together)
    if options.kind == HALVING:
        return halved(fitness, searcher.space.narrow({TURN: [TURNS[0]]}), options)
    trials: list[Trial] = []
    if options.kind == EVOLUTION:
        trials = fitness.explore("pairs", searcher, options.evaluations)
        if None in searcher.champions:
            raise RunError("the search found no candidate of finite fitness in one of the directions")
        a, b = (keeping(limit, searcher.ranked(turn), clock.measured) for turn in TURNS)
    else:
        ranked = {
            name: first_within(
                side.filters,
                ranking(job, name, side, options.kind),
                clock.lowered(job),
                partial(fitness.costs_of, name),
            )
            for name, side in originals.items()
        }
        a, b = (keeping(limit, ranked[turn], clock.measured) for turn in TURNS)
    # Measure both as they will be used: each with the other as its partner.
    earlier = searcher.both_ways if options.outcome == "sum" else []
    pairs = [searcher.pair(turn, *pair) for pair in dict.fromkeys([*earlier, (a, b)]) for turn in TURNS]
    both = Exhaustive(searcher.space, fitness.objective, lambda pair: True, len(pairs), genotypes=pairs)
    measured = fitness.explore("found", both, len(pairs))
    end = 1 + max((trial.round for trial in trials), default=-1)
    last = [replace(trial, round=end) for trial in fitness.least(measured)]
    every = [replace(trial, step=DIRECTIONS[str(trial.genotype[TURN])]) for trial in (*trials, *last)]
    found, reverse = every[-2:]
    facts = {
        "evaluations": float(len(every)),
        "seconds.pairs": sum(trial.seconds for trial in every),
        SUM: fitness.joint(found, reverse),
        **(fitness.effort([*trials, *measured]).facts() if options.tuning is not None else {}),
        **fitness.facts(reverse),
    }
    if limit is not None:
        facts |= {"latency_measured_ms": clock.measured(a), "reverse_latency_measured_ms": clock.measured(b)}
    return Found(found, every, facts, fitness.objective)


def _population(fitness: Fitness, name: str, side: Side, options: SearchOptions) -> Population:
    """Return the population of one direction; BudgetError if even one filter per layer exceeds the budget."""
    space = side.filters.space
    require_reachable(space, partial(fitness.costs_of, name), fitness.budget)
    # With one filter per layer, the strongest cost the same as any others.
    anchor, allows = side.filters.strongest(0.0), partial(fitness.allows_of, name)
    return Population(space, allows, anchor, options.population, options.odds, options.pressure, options.start)


def table_of(job: Job, filters: FilterSpace, options: SearchOptions) -> Timed:
    """Return the latency table, which serves both directions, since both originals have the same layers."""
    generators = Generators(filters.space, str(filters.family), filters.described, filters.alike)
    return timed(job, generators, options.latency_networks, filters.sample, PIECES)


def finetune(job: Job) -> Mapping[str, Trained]:
    """Train both found generators together, with the originals' discriminators, and the recipe's rivals.

    Returns:
        `found` of the forward and `found_reverse` of the reverse direction, with `updates: 0` as they were pruned; and
        the recipe's rivals in the same way: `magnitude`, `greedy` and `random1` ... are cut from the same originals at
        the found generators' size and fine-tuned alike, `narrowed` is trained from scratch.
    """
    recipe, schedule, originals = job.recipe, job.recipe.finetune, sides(job)
    family, pair = recipe.teach.generator["family"], found_genotype(job)
    gans = pruned(job, originals, pair)
    nets: Sequence[nn.Module] = [gan.generator.eval() for gan in gans]
    steps = schedule.steps(len(job.data.split("train")))
    if not (known := handed_over(job, nets)) and steps:
        nets = train_pair(job, "found", gans, steps)
    # The original takes the place of the supernet here, so its training counts.
    taught = Effort.of(updates_of(job.inputs["teach"]), recipe.teach.batch, job.task.original_cost().exact)

    def trained(
        name: str, masks: Genotype, nets: Sequence[nn.Module], before: Effort, known: bool
    ) -> dict[str, Trained]:
        found = {}
        for way, net, (turn, side) in zip(("", REVERSE), nets, originals.items(), strict=True):
            about = side.filters.described(masks.under(turn))
            own = Effort.of(steps, schedule.batch, generator_cost(family, *recipe.size, **about).exact, counted=known)
            found[f"{name}{way}"] = Trained(net, family, about, steps, before.plus(own))
        return found

    found, chosen = trained("found", pair, nets, taught.plus(Effort.read(job.inputs["search"])), known), {"kept": pair}
    for name, masks in rival_pairs(job, originals, pair):
        if name == GREEDY:
            chosen["kept by ThiNet"] = masks
        gans = pruned(job, originals, masks)
        nets = train_pair(job, name, gans, steps) if steps else [gan.generator.eval() for gan in gans]
        found |= trained(name, masks, nets, taught, False)
    first(lambda: _picture(job, originals, chosen, [found[f"found{way}"].net for way in ("", REVERSE)]))
    costs = [generator_cost(family, *recipe.size, **found[f"found{way}"].options) for way in ("", REVERSE)]
    effort = found["found"].effort
    assert effort is not None
    return {**found, **train_rivals(job, costs, effort)}


def _picture(
    job: Job, originals: Mapping[str, Side], chosen: Mapping[str, Genotype], nets: Sequence[nn.Module]
) -> None:
    """Draw which filters of the first layer stay, in both directions, and what fine-tuning makes of them."""
    rows = [
        row
        for (turn, side), title, net in zip(originals.items(), DIRECTIONS.values(), nets, strict=True)
        for row in strips(title, side.filters, {way: masks.under(turn) for way, masks in chosen.items()}, net)
    ]
    picture_filters(rows, job.out / FILTERS)
