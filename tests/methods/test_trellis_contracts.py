"""What a search promises, over CF-GAN's own space: resuming, budgets, and values that are never stale."""

import random
from pathlib import Path

import pytest
import torch

from slimgen.device import Compute
from slimgen.errors import BudgetError
from slimgen.metrics.cache import Cache
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets.cf_gan.space import Shape, trellis_cost, trellis_space
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.nets.weights import digest
from slimgen.search import (
    Budget,
    DirectionalMutation,
    Evolution,
    Genotype,
    Objective,
    RandomSearch,
    Searcher,
    Trial,
    explore,
    require_reachable,
)

SHAPE = Shape(ngf=8, groups=3, blocks=2)
SPACE = trellis_space(SHAPE)
QUALITY = Objective("quality", "max")


def costs(genotype: Genotype) -> dict[str, int]:
    return trellis_cost(SHAPE, genotype, 32, 32).as_dict("exact")


BUDGET = Budget(macs=costs(SPACE.largest())["macs"] / 4)


def allows(genotype: Genotype) -> bool:
    return BUDGET.allows(costs(genotype))


def measured(genotype: Genotype) -> Trial:
    # A landscape without meaning, but with structure: wide is good, and so are residual blocks.
    wide = sum(value for name, value in genotype.items() if name.startswith("channel."))
    blocks = sum(value == "resblock" for value in genotype.values())
    return Trial(genotype, {name: float(cost) for name, cost in costs(genotype).items()}, {"quality": wide + blocks})


def searchers() -> dict[str, Searcher]:
    anchor = require_reachable(SPACE, costs, BUDGET)
    return {
        "random": RandomSearch(SPACE, QUALITY, allows, 10, anchor),
        "evolution": Evolution(SPACE, QUALITY, allows, 10, 4, 0.2, anchor=anchor),
        "directional": Evolution(SPACE, QUALITY, allows, 10, 4, 0.2, direction=DirectionalMutation(), anchor=anchor),
    }


def search(name: str, log: Path, evaluations: int, killed_after: int | None = None) -> list[Trial]:
    seen = 0

    def evaluate(genotypes):
        nonlocal seen
        seen += len(genotypes)
        if killed_after is not None and seen > killed_after:
            raise KeyboardInterrupt
        return [measured(genotype) for genotype in genotypes]

    return explore(searchers()[name], evaluate, log=log, seed=3, step="all", evaluations=evaluations)


@pytest.mark.parametrize("name", ["random", "evolution", "directional"])
def test_a_killed_search_ends_with_the_trials_of_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    alone = search(name, tmp_path / "alone", 60)
    assert len(alone) == 60
    for kill in range(0, 60, 7):
        log = tmp_path / f"{kill}"
        with pytest.raises(KeyboardInterrupt):
            search(name, log, 60, killed_after=kill)
        assert search(name, log, 60) == alone


@pytest.mark.parametrize("name", ["random", "evolution", "directional"])
def test_every_genotype_asked_for_is_new_canonical_and_within_the_budget(name: str, tmp_path: Path) -> None:
    trials = search(name, tmp_path / "log", 120)
    genotypes = [trial.genotype for trial in trials]
    assert len(set(genotypes)) == len(genotypes) == 120
    assert all(allows(genotype) for genotype in genotypes)
    for genotype in genotypes:
        SPACE.check(genotype)
        assert SPACE.canonical(genotype) == genotype


def test_an_unreachable_budget_names_the_smallest_generator_there_is() -> None:
    shape = Shape(ngf=8, groups=2, blocks=1, ratios=(0.5, 1.0))
    space = trellis_space(shape)

    def small(genotype: Genotype) -> dict[str, int]:
        return trellis_cost(shape, genotype, 32, 32).as_dict("exact")

    least = min(small(genotype)["macs"] for genotype in space.enumerate())
    with pytest.raises(BudgetError, match=f"{least:,}"):
        require_reachable(space, small, Budget(macs=least - 1))
    assert small(require_reachable(space, small, Budget(macs=least)))["macs"] == least


def test_cached_values_are_of_the_same_genotype_weights_and_protocol(tmp_path: Path) -> None:
    net = initialise(Trellis(SHAPE), 0).eval()
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    compute = Compute(torch.device("cpu"))
    evaluator = Evaluator((images, images.flip(0)), ["psnr"], compute=compute)
    cache, rng = Cache(tmp_path / "cache.jsonl"), random.Random(0)
    genotypes = list({SPACE.sample(rng) for _ in range(50)})
    before = digest(net.state_dict())
    for genotype in genotypes:
        cache.put(genotype.key, before, evaluator.protocol, evaluator.measure(net.extract(genotype)))
    again = Cache(tmp_path / "cache.jsonl")
    for genotype in genotypes:
        assert again.get(genotype.key, before, evaluator.protocol) == evaluator.measure(net.extract(genotype))
    with torch.no_grad():
        net.output.bias += 1e-6
    fewer = Evaluator((images[:2], images[:2]), ["psnr"], compute=compute)
    other = Evaluator((images, images.flip(0)), ["ssim"], compute=compute)
    for genotype in genotypes:
        assert again.get(genotype.key, digest(net.state_dict()), evaluator.protocol) is None
        assert again.get(genotype.key, before, fewer.protocol) is None
        assert again.get(genotype.key, before, other.protocol) is None
