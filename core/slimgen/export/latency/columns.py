"""Predictions from measured pieces: a line over their sum, and tables for millions of genotypes at once."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimgen.errors import SlimgenError
from slimgen.search import Choice, Space
from slimgen.search.genotype import Genotype

# Weight of a prior that draws the intercept to zero, like one more measurement of a network without pieces: the
# expected noise of measurements (1 %) over the usual share of an intercept (5 %). If all networks have almost equal
# sums, it keeps the predictions of smaller ones proportional to their sums.
_DRAWN = 0.2
_ROUNDS = 20
_TUNING = 1.345  # of Huber's weights: 95 % of the efficiency of least squares for normal errors
_MAD = 1.4826  # from the median absolute deviation to the standard deviation of normal errors


@dataclass(frozen=True)
class Line:
    """latency = intercept + slope * sum of pieces, in milliseconds."""

    intercept: float
    slope: float

    def at(self, total: float) -> float:
        """Return the latency at a sum of pieces, never negative."""
        return max(0.0, self.intercept + self.slope * total)


def fit_line(totals: Sequence[float], latencies: Sequence[float]) -> Line:
    """Fit the line to sums of pieces and latencies of networks, both in ms.

    The fit is a least-squares fit of relative errors, because a budget also limits the smaller networks, whose absolute
    errors are small. Huber's weights reduce the effect of disturbed measurements.
    """
    total, latency = np.asarray(totals, float), np.asarray(latencies, float)
    rows = np.stack([np.ones_like(total), total], axis=1) / latency[:, None]
    prior = np.array([[_DRAWN / latency.mean(), 0.0]])
    weights = np.ones(len(total))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        left = np.concatenate([rows * root[:, None], prior])
        found = np.linalg.lstsq(left, np.append(root, 0.0), rcond=None)[0]
        errors = rows @ found - 1
        spread = max(_MAD * float(np.median(np.abs(errors))), 1e-9)
        weights = np.minimum(1.0, _TUNING * spread / np.maximum(np.abs(errors), 1e-12))
    return Line(float(found[0]), float(found[1]))


Numbers = NDArray[np.integer] | NDArray[np.floating]
Columns = Mapping[str, Numbers]
"""An array of values for each dimension of a space, all of one shape."""
Times = NDArray[np.float64]


def predictor(
    space: Space,
    keys: Callable[[Genotype], Sequence[str]],
    times: Callable[[Genotype], Sequence[float]],
    line: Line,
) -> Callable[[Columns], Times]:
    """Return a function that predicts the latencies of many genotypes of a space.

    A piece depends on few dimensions (its own width and the one before). They are found by changing one dimension at a
    time, from both ends of the space; the milliseconds of all their settings form a table.

    Args:
        space: choices of numbers, without conditions.
        keys: the pieces of a genotype, in order.
        times: milliseconds of each piece.
        line: latency as a function of their sum.

    Raises:
        SlimgenError: the space has other dimensions, or its sub-networks are not chains of pieces like these.
    """
    choices = {name: choice for name, choice in space.items() if isinstance(choice, Choice)}
    options = {name: np.array(choice.options) for name, choice in choices.items()}
    numbers = all(values.dtype.kind in "iuf" for values in options.values())
    if space.conditions or len(options) < len(space) or not numbers:
        raise SlimgenError("many latencies at once need a space of numeric choices without conditions", space)
    tables = {}
    for names, pieces in _depends(space, choices, keys).items():
        table = np.empty([choices[name].size for name in names])
        for index in np.ndindex(table.shape):
            setting = {name: choices[name].options[at] for name, at in zip(names, index, strict=True)}
            measured = times(space.settle({**space.smallest(), **setting}))
            table[index] = sum(measured[piece] for piece in pieces)
        tables[names] = table

    def predict(columns: Columns) -> Times:
        """Return milliseconds in the shape of the columns."""
        indices = {name: _indices(name, options[name], columns[name]) for name in space}
        parts = (table[tuple(indices[name] for name in names)] for names, table in tables.items())
        return np.asarray(np.maximum(0.0, line.intercept + line.slope * sum(parts, np.float64(0))))

    rng = random.Random(0)
    for genotype in (space.sample(rng) for _ in range(32)):
        predicted = float(predict({name: np.array(value) for name, value in genotype.items()}))
        if not np.isclose(predicted, line.at(sum(times(genotype))), rtol=1e-9):
            rule = "each piece of a sub-network must depend on the same dimensions throughout the space"
            raise SlimgenError(rule, f"others at {genotype.to_json()}")
    return predict


def _depends(
    space: Space, choices: Mapping[str, Choice], keys: Callable[[Genotype], Sequence[str]]
) -> dict[tuple[str, ...], list[int]]:
    """Return, for each set of dimensions, the positions of the pieces that depend on exactly these."""
    depends: list[set[str]] = [set() for _ in keys(space.largest())]
    for start in (space.largest(), space.smallest()):
        before = keys(start)
        for name, choice in choices.items():
            for option in choice.options:
                after = keys(space.settle({**start, name: option}))
                if len(after) != len(depends):
                    rule = "all sub-networks must have the same number of pieces"
                    raise SlimgenError(rule, f"{len(depends)} and {len(after)}")
                for names, one, other in zip(depends, before, after, strict=True):
                    if one != other:
                        names.add(name)
    pieces: dict[tuple[str, ...], list[int]] = {}
    for number, changed in enumerate(depends):
        pieces.setdefault(tuple(name for name in space if name in changed), []).append(number)
    return pieces


def _indices(name: str, options: NDArray[np.generic], values: Numbers) -> NDArray[np.intp]:
    """Return the position of each value among the options."""
    indices = np.minimum(np.searchsorted(options, values), len(options) - 1)
    strange = options[indices] != values
    if np.any(strange):
        raise SlimgenError(f"{name} must be one of {options.tolist()}", np.asarray(values)[strange].flat[0])
    return indices
