"""What networks, searches and caches promise, over masks and over two spaces of masks joined."""

import gc
import random
import weakref
from pathlib import Path

import pytest
import torch

from slimgen import stages
from slimgen.cost.count import count
from slimgen.cost.formula import CONVENTIONS
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import BudgetError
from slimgen.methods.co_evolution.fitness import Fitness, sides
from slimgen.methods.co_evolution.options import SearchOptions
from slimgen.methods.co_evolution.roulette import TURN, TURNS, CoEvolution, Population
from slimgen.nets import build_generator
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.recipe import Recipe, section
from slimgen.search import (
    Budget,
    Choice,
    DirectionalMutation,
    Evolution,
    Genotype,
    Objective,
    RandomSearch,
    Searcher,
    Space,
    Trial,
    explore,
    require_reachable,
)
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_co_evolution.yaml").read_text())
TUNING = "search.tuning={share: 0.5, batch: 1}"
CPU = Compute(torch.device("cpu"))
FIT = Objective("fitness", "max")
SIZE = 16


def generator(seed: int) -> FilterSpace:
    options = {"ngf": 4, "blocks": 2}
    net = build_generator("resnet", seed=seed, **options).eval()
    return FilterSpace(net, torch.zeros(1, 3, SIZE, SIZE), family="resnet", options=options)


FILTERS = {turn: generator(seed) for seed, turn in enumerate(TURNS)}
JOINED = Space({TURN: Choice(TURNS)}) | FILTERS["a"].space.prefixed("a") | FILTERS["b"].space.prefixed("b")
SPACES = {"masks": FILTERS["a"].space, "joined": JOINED}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def parts(genotype: Genotype) -> dict[str, Genotype]:
    """The masks of each generator that a genotype is about."""
    return {turn: genotype.under(turn) for turn in TURNS} if TURN in genotype else {"a": genotype}


def costs(genotype: Genotype) -> dict[str, float]:
    """Of both generators together, if there are two."""
    each = [FILTERS[turn].cost(masks, SIZE, SIZE).as_dict("exact") for turn, masks in parts(genotype).items()]
    return {name: float(sum(one[name] for one in each)) for name in each[0]}


def test_a_joined_genotype_cuts_two_generators_that_outlive_the_whole_ones() -> None:
    shown = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small, expected, originals = {}, {}, []
    for seed, (turn, masks) in enumerate(parts(JOINED.sample(random.Random(0))).items()):
        whole = generator(seed)
        originals.append(weakref.ref(whole.net))
        small[turn] = whole.cut(masks).eval()
        with torch.no_grad():
            expected[turn] = whole.masked(masks)(shown)
    del whole
    gc.collect()
    assert [original() for original in originals] == [None, None]
    with torch.no_grad():
        for turn, net in small.items():
            torch.testing.assert_close(net(shown), expected[turn], rtol=0, atol=1e-5)
    assert not torch.allclose(expected["a"], expected["b"], atol=1e-3)


def searchers(space: Space, budget: Budget) -> dict[str, Searcher]:
    def allows(genotype: Genotype) -> bool:
        return budget.allows(costs(genotype))

    anchor = require_reachable(space, costs, budget)
    return {
        "random": RandomSearch(space, FIT, allows, 8, anchor),
        "evolution": Evolution(space, FIT, allows, 8, 3, 0.2, anchor=anchor),
        "directional": Evolution(space, FIT, allows, 8, 3, 0.2, direction=DirectionalMutation(), anchor=anchor),
    }


def third(space: Space) -> Budget:
    return Budget(macs=costs(space.largest())["macs"] / 3)


def measured(genotype: Genotype) -> Trial:
    # Without meaning, but with something to be found: the first filters are the good ones.
    good = sum(str(mask).startswith("11") for mask in genotype.values())
    return Trial(genotype, costs(genotype), {"fitness": good + random.Random(genotype.key).random()})


def search(searcher: Searcher, log: Path, evaluations: int, dies_after: int | None = None) -> list[Trial]:
    seen = 0

    def evaluate(genotypes):
        nonlocal seen
        seen += len(genotypes)
        if dies_after is not None and seen > dies_after:
            raise KeyboardInterrupt
        return [measured(genotype) for genotype in genotypes]

    return explore(searcher, evaluate, log=log, seed=3, step="all", evaluations=evaluations)


@every_space
@pytest.mark.parametrize("kind", ["random", "evolution", "directional"])
def test_every_searcher_keeps_the_budget_asks_nothing_twice_and_resumes_after_a_kill(space, kind, tmp_path) -> None:
    budget = third(space)
    whole = searchers(space, budget)[kind]
    trials = search(whole, tmp_path / "whole", 40)
    genotypes = [trial.genotype for trial in trials]
    assert len(set(genotypes)) == len(genotypes) == 40
    for genotype in genotypes:
        space.check(genotype)
        assert costs(genotype)["macs"] <= budget.macs
    if isinstance(whole, Evolution):
        best = sorted(trials, key=lambda trial: -trial.quality["fitness"])[:3]
        assert [trial.genotype for trial in whole.elite] == [trial.genotype for trial in best]
    for kill in (0, 9, 30):
        log = tmp_path / str(kill)
        with pytest.raises(KeyboardInterrupt):
            search(searchers(space, budget)[kind], log, 40, dies_after=kill)
        assert search(searchers(space, budget)[kind], log, 40) == trials
        assert log.read_bytes() == (tmp_path / "whole").read_bytes()


@every_space
def test_an_unreachable_budget_names_the_smallest_network_or_both(space) -> None:
    least = costs(space.smallest())["macs"]
    if TURN in space:
        assert least == sum(filters.cost(filters.space.smallest(), SIZE, SIZE).exact for filters in FILTERS.values())
    with pytest.raises(BudgetError, match=f"{least:,.0f}"):
        require_reachable(space, costs, Budget(macs=least - 1))
    assert costs(require_reachable(space, costs, Budget(macs=least)))["macs"] == least


def test_co_evolution_of_real_filters_within_a_tight_budget_keeps_it_and_ends() -> None:
    limits = {
        turn: Budget(macs=1.1 * costs(filters.strongest(0.0))["macs"] if turn == "a" else third(filters.space).macs)
        for turn, filters in FILTERS.items()
    }

    def population(turn: str) -> Population:
        filters, budget = FILTERS[turn], limits[turn]

        def allows(genotype: Genotype) -> bool:
            return budget.allows(filters.cost(genotype, SIZE, SIZE).as_dict("exact"))

        return Population(filters.space, allows, filters.strongest(0.0), 6)

    searcher, seen = CoEvolution([population(turn) for turn in TURNS], FIT, 8), []
    for number in range(2 * 9):
        asked = searcher.ask(random.Random(number))
        seen += asked
        searcher.tell([measured(pair) for pair in asked])
    assert searcher.ask(random.Random(0)) == []
    assert len(set(seen)) == len(seen) > 40
    for pair in seen:
        JOINED.check(pair)
        turn = str(pair[TURN])
        limit = limits[turn].macs
        assert FILTERS[turn].cost(pair.under(turn), SIZE, SIZE).exact <= limit


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    images, run = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("run")
    write(images, seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    stages.run(TINY, data=images, out=run, until="supernet", progress=quiet)
    return run


def fitness(begun: Path, out: Path, *settings: str, change: str | None = None) -> Fitness:
    """What judges pairs, after one weight of one of the originals was moved a little."""
    recipe = TINY.override(list(settings))
    inputs = {name: begun / name for name in ("prepare", "teach", "supernet")}
    data = Prepared.open(begun / "prepare")
    job = Job(recipe, CPU, open_task(recipe, CPU), data, inputs, out, lambda name: None, quiet)
    originals = sides(job)
    if change is not None:
        turn, part = change.split(".")
        with torch.no_grad():
            weight = next(getattr(originals[turn].gan, part).parameters())
            weight[(0,) * weight.dim()] += 1e-6
    return Fitness(job, originals, section(SearchOptions, recipe.search, "search"))


def pair(judge: Fitness, turn: str) -> Genotype:
    rng = random.Random(0)
    masks = [side.filters.space.sample(rng).prefixed(name) for name, side in judge.sides.items()]
    return Genotype({TURN: turn}) | masks[0] | masks[1]


def judged_anew(judge: Fitness, asked: Genotype) -> bool:
    return judge.trials([asked])[0].seconds > 0


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_costs_of_a_pair_equal_those_counted_on_the_pruned_networks(begun, tmp_path, convention) -> None:
    judge = fitness(begun, tmp_path, f"budget.convention={convention}")
    for turn, side in judge.sides.items():
        asked = pair(judge, turn)
        counted = count(side.filters.cut(asked.under(turn)), torch.zeros(1, 3, SIZE, SIZE))
        assert judge.costs(asked) == counted.as_dict(convention)


def test_a_cached_fitness_is_of_the_same_turn_and_of_the_same_four_networks(begun, tmp_path) -> None:
    judge = fitness(begun, tmp_path)
    forth, back = pair(judge, "a"), pair(judge, "b")
    assert forth.under("a") == back.under("a")
    assert judged_anew(judge, forth)
    assert judged_anew(judge, back)
    for change in ("a.generator", "a.discriminator", "b.generator", "b.discriminator"):
        assert judged_anew(fitness(begun, tmp_path, change=change), forth)
    again = fitness(begun, tmp_path)
    assert not judged_anew(again, forth)
    assert not judged_anew(again, back)


def test_a_cached_fitness_after_tuning_is_of_the_same_training(begun, tmp_path) -> None:
    first = fitness(begun, tmp_path, TUNING)
    asked = pair(first, "a")
    assert judged_anew(first, asked)
    for other in (
        "losses.cycle=3",
        "losses.identity=0",
        "losses.gan=hinge",
        "data.flip=false",
        "seed=1",
        "search.tuning.rate=1e-3",
    ):
        judge = fitness(begun, tmp_path, TUNING, other)
        assert judged_anew(judge, asked)
        assert not judged_anew(judge, asked)
    assert not judged_anew(fitness(begun, tmp_path, TUNING), asked)
    # Without tuning, nothing of it matters.
    assert judged_anew(fitness(begun, tmp_path), asked)
    assert not judged_anew(fitness(begun, tmp_path, "losses.cycle=3"), asked)
