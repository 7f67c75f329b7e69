"""How one genotype becomes another: mutation, crossover, single replacements."""

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value

if TYPE_CHECKING:
    from slimgen.search.space import Space


def mutate(
    space: "Space",
    genotype: Genotype,
    rng: random.Random,
    rate: float,
    weights: Callable[[str, Genotype], Sequence[float]] | None = None,
) -> Genotype:
    """Changes each existing dimension with probability `rate`, and at least one where there is another genotype.

    A choice becomes another of its options, uniformly or in proportion to `weights(name, genotype)` (one number per
    option); in a mask a random segment is flipped. A dimension that a change calls into existence is drawn anew.
    """
    before = space.active(genotype)
    movable = [name for name in space if name in before and space[name].size > 1]
    if not movable:
        return genotype
    chosen = {name for name in movable if rng.random() < rate} or {rng.choice(movable)}
    values = genotype.to_json()
    inactive: set[str] = set()
    for name in space.order:
        dimension = space[name]
        if name in space.conditions:
            parent, under = space.conditions[name]
            if parent in inactive or values[parent] not in under:
                inactive.add(name)
                continue
        if name not in before:
            values[name] = dimension.sample(rng)
        elif name in chosen:
            directed = weights(name, genotype) if weights is not None and isinstance(dimension, Choice) else None
            values[name] = dimension.change(values[name], rng, directed)
    return space.settle(values)


def cross(space: "Space", a: Genotype, b: Genotype, rng: random.Random) -> Genotype:
    """A child that has each dimension from a parent in which it exists: see `Choice.cross` and `Mask.cross`."""
    in_a, in_b = space.active(a), space.active(b)
    values: dict[str, Value] = {}
    for name in space:
        if name in in_a and name in in_b:
            values[name] = space[name].cross(a[name], b[name], rng)
        else:
            values[name] = b[name] if name in in_b else a[name]
    return space.settle(values)


def neighbours(space: "Space", genotype: Genotype) -> list[Genotype]:
    """Every genotype that differs in one existing choice, in the order of the space and of its options.

    A dimension that the replacement calls into existence takes its smallest value. Masks are left as they are.
    """
    active = space.active(genotype)
    idle = {name: space[name].smallest for name in space if name not in active}
    found = []
    for name in space:
        dimension = space[name]
        if name not in active or not isinstance(dimension, Choice):
            continue
        for option in dimension.options:
            if option != genotype[name]:
                found.append(space.settle({**genotype, **idle, name: option}))
    return found
