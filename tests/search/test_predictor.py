import random

import numpy as np
import pytest

from slimgen.search import Choice, Genotype, Mask, Space
from slimgen.search.predictor import Predictor, coordinates

SPACE = Space(
    {"path": Choice(("a", "b", "c")), "width": Choice((1, 2, 4)), "inner": Choice((2, 4)), "filters": Mask(4)},
    {"inner": ("path", frozenset(("b", "c")))},
)


def costs(genotype: Genotype) -> dict[str, float]:
    return {"macs": float(genotype["width"]) ** 2 + 1}


def test_coordinates_are_one_hot_shares_of_the_largest_or_zero_for_inactive_dimensions() -> None:
    genotype = SPACE.canonical({"path": "b", "width": 2, "inner": 2, "filters": "1101"})
    assert coordinates(SPACE, genotype) == [0, 1, 0, 0.5, 0.5, 0.75]
    without = SPACE.canonical({"path": "a", "width": 4, "filters": "1111"})
    assert coordinates(SPACE, without) == [1, 0, 0, 1, 0, 1]


def test_a_linear_truth_is_found_among_noise() -> None:
    space = Space({f"w{number}": Choice(tuple(range(1, 9))) for number in range(10)})
    slopes = random.Random(3)
    truth = {name: slopes.gauss(0, 1) for name in space}
    rng = random.Random(1)

    def quality(genotype: Genotype) -> float:
        return sum(truth[name] * float(genotype[name]) / 8 for name in space)

    seen = {space.sample(rng): 0.0 for _ in range(30)}
    seen = {genotype: quality(genotype) + rng.gauss(0, 0.2) for genotype in seen}
    other = [space.sample(rng) for _ in range(200)]
    predicted = Predictor(space, lambda genotype: {}, seen).predict(other)
    assert np.corrcoef(predicted, [quality(genotype) for genotype in other])[0, 1] > 0.9


def test_noise_alone_predicts_little() -> None:
    rng = random.Random(2)
    seen = {SPACE.sample(rng): 0.0 for _ in range(40)}
    seen = {genotype: rng.gauss(5, 1) for genotype in seen}
    predicted = Predictor(SPACE, costs, seen).predict(list(seen))
    assert np.mean(predicted) == pytest.approx(np.mean(list(seen.values())))
    assert np.std(predicted) < 0.7 * np.std(list(seen.values()))


def test_a_diverged_genotype_counts_as_the_worst_finite_one() -> None:
    rng = random.Random(4)
    seen = {SPACE.sample(rng): float(number) for number in range(12)}
    first, *rest = seen
    diverged = Predictor(SPACE, costs, {first: -np.inf, **{one: seen[one] for one in rest}})
    worst = Predictor(SPACE, costs, {first: min(seen[one] for one in rest), **{one: seen[one] for one in rest}})
    assert diverged.predict(list(seen)) == worst.predict(list(seen))
    assert np.isfinite(Predictor(SPACE, costs, dict.fromkeys(seen, -np.inf)).predict(list(seen))).all()
