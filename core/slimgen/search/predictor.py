"""A linear predictor of quality: what was measured of some genotypes says which others are worth measuring.

Predictor-based search (Wen et al. 2020) with the simplest predictor that there is, since only tens are measured.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space

_PENALTIES = tuple(10.0**power for power in range(-1, 5))


def coordinates(space: Space, genotype: Genotype) -> list[float]:
    """A genotype as numbers: text one-hot, numbers as parts of the largest; 0 for what does not exist in it."""
    found: list[float] = []
    active = space.active(genotype)
    for name, dimension in space.items():
        value = genotype[name] if name in active else None
        if isinstance(dimension, Choice) and any(isinstance(option, str) for option in dimension.options):
            found += [float(value == option) for option in dimension.options]
        elif isinstance(dimension, Choice):
            found.append(0.0 if value is None else float(value) / float(dimension.largest))
        else:
            found.append(0.0 if value is None else str(value).count("1") / len(str(value)))
    return found


class Predictor:
    """Ridge regression of fitness on coordinates and the logarithms of costs, each in units of its deviation.

    The penalty is the one whose predictions of each point from all others (leave one out, in closed form) are best.

    Args:
        costs: of a genotype, by kind; positive.
        fitness: what was measured of genotypes, at least two of them.
    """

    def __init__(
        self, space: Space, costs: Callable[[Genotype], Mapping[str, float]], fitness: Mapping[Genotype, float]
    ) -> None:
        self.space, self.costs = space, costs
        points = np.array([self._point(genotype) for genotype in fitness])
        values = np.array(list(fitness.values()), dtype=float)
        finite = np.isfinite(values)  # what diverged is as bad as the worst that did not
        values[~finite] = values[finite].min() if finite.any() else 0.0
        self._centre, self._scale = points.mean(0), points.std(0)
        self._scale[self._scale < 1e-9] = np.inf  # what all have in common says nothing
        points = (points - self._centre) / self._scale
        self._mean = float(values.mean())
        within = points @ points.T
        best = np.inf
        for penalty in _PENALTIES:
            inverse = np.linalg.inv(within + penalty * np.eye(len(values)))
            residual = values - self._mean
            left_out = inverse @ residual / np.diag(inverse)
            error = float((left_out**2).mean())
            if error < best:
                best, self._weights = error, points.T @ inverse @ residual

    def _point(self, genotype: Genotype) -> list[float]:
        logarithms = [float(np.log(cost)) for cost in self.costs(genotype).values()]
        return [*coordinates(self.space, genotype), *logarithms]

    def predict(self, genotypes: Sequence[Genotype]) -> list[float]:
        """The fitness of each genotype."""
        points = (np.array([self._point(genotype) for genotype in genotypes]) - self._centre) / self._scale
        found: list[float] = (points @ self._weights + self._mean).tolist()
        return found
