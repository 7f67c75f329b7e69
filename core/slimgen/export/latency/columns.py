"""Latencies of millions of genotypes at once: sums of small tables, looked up by arrays of choices."""

import random
from collections.abc import Callable, Mapping, Sequence

import numpy
from numpy.typing import NDArray

from slimgen.errors import SlimgenError
from slimgen.export.latency.fit import Line
from slimgen.search import Choice, Space
from slimgen.search.genotype import Genotype

Columns = Mapping[str, NDArray[numpy.integer] | NDArray[numpy.floating]]
"""For each dimension of a space an array of its values, all of one shape."""
Times = NDArray[numpy.float64]

_PROBES = 32


def predictor(
    space: Space,
    keys: Callable[[Genotype], Sequence[str]],
    times: Callable[[Genotype], Sequence[float]],
    line: Line,
) -> Callable[[Columns], Times]:
    """What predicts the latencies of many genotypes of a space.

    A piece depends on a few dimensions only (its own width and the one before). Which they are is found by changing
    one dimension at a time, from both ends of the space; the milliseconds of all their settings make a table.

    Args:
        space: choices of numbers, without conditions.
        keys: the pieces of a genotype, in order.
        times: the milliseconds of each.
        line: from their sum to the latency.

    Raises:
        SlimgenError: the space is of another kind, or its sub-networks are no such chains.
    """
    options = {name: numpy.array(choice.options) for name, choice in space.items() if isinstance(choice, Choice)}
    if (
        space.conditions
        or len(options) < len(space)
        or any(values.dtype.kind not in "iuf" for values in options.values())
    ):
        raise SlimgenError("latencies by columns need a space of choices of numbers, without conditions", space)
    tables = {names: _table(space, names, places, times) for names, places in _depends(space, keys).items()}

    def predict(columns: Columns) -> Times:
        """Milliseconds, in the shape of the columns."""
        places = {name: _places(name, options[name], columns[name]) for name in space}
        total = sum((table[tuple(places[name] for name in names)] for names, table in tables.items()), numpy.float64(0))
        return numpy.asarray(numpy.maximum(0.0, line.intercept + line.slope * total))

    rng = random.Random(0)
    for genotype in (space.sample(rng) for _ in range(_PROBES)):
        found = float(predict({name: numpy.array(value) for name, value in genotype.items()}))
        if not numpy.isclose(found, line.at(sum(times(genotype))), rtol=1e-9):
            raise SlimgenError(
                "each piece of a sub-network depends on few dimensions", f"another at {genotype.to_json()}"
            )
    return predict


def _depends(space: Space, keys: Callable[[Genotype], Sequence[str]]) -> dict[tuple[str, ...], list[int]]:
    """For each set of dimensions the places in the chain whose pieces depend on exactly these."""
    found: list[set[str]] = [set() for _ in keys(space.largest())]
    for start in (space.largest(), space.smallest()):
        before = keys(start)
        for name, choice in space.items():
            assert isinstance(choice, Choice)
            for option in choice.options:
                after = keys(space.settle({**start, name: option}))
                if len(after) != len(found):
                    raise SlimgenError("all sub-networks have equally many pieces", f"{len(found)} and {len(after)}")
                for place, names in enumerate(found):
                    if after[place] != before[place]:
                        names.add(name)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, changed in enumerate(found):
        places.setdefault(tuple(name for name in space if name in changed), []).append(place)
    return places


def _table(
    space: Space, names: Sequence[str], places: Sequence[int], times: Callable[[Genotype], Sequence[float]]
) -> Times:
    """The milliseconds of the pieces at these places together, under every setting of the dimensions."""
    choices = [choice for name in names if isinstance(choice := space[name], Choice)]
    table = numpy.empty([choice.size for choice in choices])
    base = space.smallest()
    for index in numpy.ndindex(table.shape):
        setting = {name: choice.options[at] for name, choice, at in zip(names, choices, index, strict=True)}
        found = times(space.settle({**base, **setting}))
        table[index] = sum(found[place] for place in places)
    return table


def _places(
    name: str, options: NDArray[numpy.generic], values: NDArray[numpy.integer] | NDArray[numpy.floating]
) -> NDArray[numpy.intp]:
    """The position of each value among the options."""
    found = numpy.minimum(numpy.searchsorted(options, values), len(options) - 1)
    strange = options[found] != values
    if numpy.any(strange):
        raise SlimgenError(f"{name} is one of {options.tolist()}", numpy.asarray(values)[strange].flat[0])
    return found
