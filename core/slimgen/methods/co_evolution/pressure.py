"""How strongly a generation's fitnesses decide which individuals become parents (Co-Evolutionary Compression, Eq. 12).

Where fitnesses lie within a few percent of each other, as masks of one size do, a roulette wheel on them is nearly a
uniform choice. Sigma scaling and linear ranking depend on neither the mean nor the unit of the fitness.
"""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Literal

Pressure = Literal["roulette", "sigma", "rank"]


def probabilities(fitness: Sequence[float], pressure: Pressure = "roulette") -> list[float]:
    """Return the probability of each individual as a parent; they sum to 1.

    One whose fitness is not finite or not above 0 is drawn only if there are no others: all are then equally likely.

    Args:
        fitness: the fitness of each individual.
        pressure: `roulette` is in proportion to the fitness F (Eq. 12); `sigma` to max(0, F - mean + 2 deviations)
            (sigma truncation); `rank` to the rank, 1 for the least fit, where equals share the mean of their ranks.
    """
    sound = [value for value in fitness if math.isfinite(value) and value > 0]
    if not sound:
        return [1 / len(fitness)] * len(fitness)
    weigh = _SCALES[pressure](sound)
    weights = [weigh(value) if math.isfinite(value) and value > 0 else 0.0 for value in fitness]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _roulette(sound: Sequence[float]) -> Callable[[float], float]:
    return lambda value: value


def _sigma(sound: Sequence[float]) -> Callable[[float], float]:
    mean, deviation = fmean(sound), pstdev(sound)
    if deviation <= 1e-12 * mean:
        return lambda value: 1.0
    return lambda value: max(0.0, (value - mean) / deviation + 2)


def _rank(sound: Sequence[float]) -> Callable[[float], float]:
    def rank(value: float) -> float:
        below, equal = sum(other < value for other in sound), sum(other == value for other in sound)
        return below + (equal + 1) / 2

    return rank


_SCALES = {"roulette": _roulette, "sigma": _sigma, "rank": _rank}
