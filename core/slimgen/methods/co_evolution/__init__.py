"""Co-Evolutionary Compression: masks over the filters of both generators of a CycleGAN (Shu et al., ICCV 2019).

`supernet` is the original itself, asked once what it makes of the validation images; `search` is Algorithm 1, and
`finetune` its last line.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from slimgen.errors import RunError
from slimgen.methods.candidates import ROUNDS
from slimgen.methods.co_evolution.fitness import FITNESS, OUTPUTS, Fitness, Side, outputs, sides
from slimgen.methods.co_evolution.options import SearchOptions, SupernetOptions, Tuning, check
from slimgen.methods.co_evolution.roulette import TURN, TURNS, CoEvolution, Population
from slimgen.methods.method import Found, Trained
from slimgen.methods.rivals import train_uniform_cycle
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.weights import save_weights
from slimgen.recipe import section
from slimgen.search import Budget, Exhaustive, Genotype, Objective, Trial, explore, require_reachable
from slimgen.tasks.cycle import Gan, train_cycle
from slimgen.tasks.job import Job
from slimgen.training.distributed import world

__all__ = ["SearchOptions", "SupernetOptions", "Tuning", "check", "finetune", "search", "supernet"]

WAYS = dict(zip(TURNS, ("forth", "back"), strict=True))
"""What the trials of each direction are called."""
FOUND_BACK = "found_back"
"""The generator of the other direction, found with the recipe's."""
_PARTS = 1000  # pruning by magnitude comes so close to the budget


def supernet(job: Job) -> Mapping[str, float]:
    """Keeps what the originals and their discriminators make of the validation images; nothing is trained.

    Returns:
        No updates, and how many bits stand for how many filters.
    """
    originals = sides(job)
    save_weights(job.out / OUTPUTS, outputs(job, originals))
    filters = originals[TURNS[0]].filters
    return {"updates": 0, "bits": float(filters.bits), "filters": float(filters.filters)}


def search(job: Job) -> Found:
    """Algorithm 1; or what its Table 2 and Figure 3 compare with."""
    options = section(SearchOptions, job.recipe.search, "search")
    originals = sides(job)
    judge = Fitness(job, originals, options)
    limits = _limits(job)
    budget = Budget(**limits)
    populations = [_population(judge, name, side, budget, options) for name, side in originals.items()]
    searcher = CoEvolution(populations, Objective(FITNESS, "max"), options.iterations, apart=not options.together)
    trials: list[Trial] = []
    if options.kind == "evolution":
        trials = _explored(job, judge, searcher, options)
        a, b = searcher.champions
        if a is None or b is None:
            raise RunError("a search needs a candidate of finite fitness in each direction", "none")
    else:
        a, b = (_strongest(judge, name, side, budget) for name, side in originals.items())
    # Both as they will be used: beside each other.
    last = _judged(job, judge, searcher, [searcher.pair(turn, a, b) for turn in TURNS])
    end = 1 + max((trial.round for trial in trials), default=-1)
    last = [replace(trial, round=end) for trial in last]
    every = [replace(trial, step=WAYS[str(trial.genotype[TURN])]) for trial in (*trials, *last)]
    found, back = every[-2:]
    facts = {
        "evaluations": float(len(every)),
        "bits": float(originals[TURNS[0]].filters.bits),
        "seconds.pairs": sum(trial.seconds for trial in every),
        **{f"back_{name}": value for name, value in back.costs.items()},
        f"back_{FITNESS}": back.quality[FITNESS],
    }
    return Found(found, every, limits, facts, Objective(FITNESS, "max"))


def _population(judge: Fitness, name: str, side: Side, budget: Budget, options: SearchOptions) -> Population:
    """Individuals of one direction, within the budget.

    Raises:
        BudgetError: not even one filter in every layer is.
    """

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return judge.costs_of(name, genotype)

    require_reachable(side.filters.space, costs, budget)
    # The strongest filter of every layer costs what any single one does.
    anchor = side.filters.strongest(0.0)
    return Population(
        side.filters.space, lambda genotype: budget.allows(costs(genotype)), anchor, options.population, options.odds
    )


def _explored(job: Job, judge: Fitness, searcher: CoEvolution, options: SearchOptions) -> list[Trial]:
    total = 2 * options.population * (options.iterations + 1)
    done = 0

    def on_round(number: int, trials: Sequence[Trial]) -> None:
        nonlocal done
        done += len(trials)
        if world()[0] == 0:
            best = max(trial.quality[FITNESS] for trial in trials)
            job.tell("pairs", done, total, {f"{WAYS[str(trials[0].genotype[TURN])]}_{FITNESS}": best})

    return explore(searcher, judge.trials, log=job.out / ROUNDS, seed=job.recipe.seed, step="pairs", on_round=on_round)


def _judged(job: Job, judge: Fitness, searcher: CoEvolution, pairs: Sequence[Genotype]) -> list[Trial]:
    """These pairs alone, in a step of their own."""
    these = Exhaustive(searcher.space, Objective(FITNESS, "max"), lambda pair: True, len(pairs), genotypes=pairs)
    return explore(these, judge.trials, log=job.out / ROUNDS, seed=job.recipe.seed, step="found", rounds=1)


def _strongest(judge: Fitness, name: str, side: Side, budget: Budget) -> Genotype:
    """Pruning by magnitude at the size of the budget: the same part of every layer, as much of it as is allowed."""
    low, high = 0, _PARTS + 1
    while high - low > 1:
        middle = (low + high) // 2
        allowed = budget.allows(judge.costs_of(name, side.filters.strongest(middle / _PARTS)))
        low, high = (middle, high) if allowed else (low, middle)
    return side.filters.strongest(low / _PARTS)


def _limits(job: Job) -> dict[str, float]:
    """The budget of each generator, as numbers."""
    recipe = job.recipe
    original = job.task.original_cost().as_dict(recipe.budget.convention)
    return recipe.budget.resolve({name: float(value) for name, value in original.items()})


def finetune(job: Job) -> Mapping[str, Trained]:
    """Both found generators, trained together on inherited weights and with the originals' discriminators.

    Returns:
        `found` of the recipe's direction and `found_back` of the other, with `updates: 0` as they were cut; and
        `uniform` and `uniform_back` where the recipe asks for them.
    """
    recipe, schedule = job.recipe, job.recipe.finetune
    outcome = json.loads((job.inputs["search"] / "genotype.json").read_text())
    pair = Genotype.from_json(outcome["genotype"])
    family, gans, described = recipe.teach.generator["family"], [], []
    for place, (name, side) in enumerate(sides(job).items()):
        described.append(side.filters.described(pair.under(name)))
        if schedule.inherit:
            net = side.filters.cut(pair.under(name))
        else:
            net = build_generator(family, seed=recipe.seed + 2 * place, **described[place])
        gans.append(Gan(job.compute.place(net), side.gan.discriminator))
    nets = gans[0].generator.eval(), gans[1].generator.eval()
    steps = schedule.steps(len(job.data.split("train")))
    if steps:
        for gan in gans:
            for part in gan:
                part.train().requires_grad_(True)
        nets = train_cycle(job, "found", gans[0], gans[1], schedule, steps, ema=schedule.ema)
    trained = {
        name: Trained(net, family, about, steps)
        for name, net, about in zip(("found", FOUND_BACK), nets, described, strict=True)
    }
    if schedule.uniform:
        # The original is the supernet here, so its training counts.
        before = json.loads((job.inputs["teach"] / "stage.json").read_text())["metrics"]["updates"]
        size, convention = recipe.size, recipe.budget.convention
        forth, back = (generator_cost(family, size, size, **about).macs(convention) for about in described)
        trained |= train_uniform_cycle(job, (forth, back), int(before) + steps)
    return trained
