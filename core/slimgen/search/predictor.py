"""A linear predictor of quality, fitted to measured genotypes, to choose which others are worth measuring.

This is predictor-based search (Wen et al. 2020) with a linear model, since only tens of genotypes are measured.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space

_PENALTIES = tuple(10.0**power for power in range(-1, 5))


def coordinates(space: Space, genotype: Genotype) -> list[float]:
    """Return a genotype as numbers: text one-hot, numbers as shares of the largest, inactive dimensions as 0."""
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
    """Ridge regression of fitness on standardised coordinates and logarithms of costs.

    The penalty is chosen by leave-one-out error, in closed form.

    Args:
        costs: the costs of a genotype, by kind; all positive.
        fitness: the measured fitness of at least two genotypes.
    """

    def __init__(
        self, space: Space, costs: Callable[[Genotype], Mapping[str, float]], fitness: Mapping[Genotype, float]
    ) -> None:
        self.space, self.costs = space, costs
        points = np.array([self._point(genotype) for genotype in fitness])
        values = np.array(list(fitness.values()), dtype=float)
        finite = np.isfinite(values)  # a diverged genotype counts as the worst finite one
        values[~finite] = values[finite].min() if finite.any() else 0.0
        self._centre, self._scale = points.mean(0), points.std(0)
        self._scale[self._scale < 1e-9] = np.inf  # a coordinate that all share carries no information
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
        """Return the predicted fitness of each genotype."""
        points = (np.array([self._point(genotype) for genotype in genotypes]) - self._centre) / self._scale
        found: list[float] = (points @ self._weights + self._mean).tolist()
        return found
