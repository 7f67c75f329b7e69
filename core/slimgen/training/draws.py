"""Draws: pure functions of a step that say which architectures are trained at it."""

import random
from collections.abc import Callable, Sequence

from slimgen.nets.gates import Arch
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

Draw = Callable[[int], Sequence[Arch]]
"""The gradients of the architectures of one step are accumulated, then the optimizer steps once."""


def fixed(arch: Arch) -> Draw:
    """The same architecture at every step."""
    return lambda step: (arch,)


def uniform(space: Space, seed: int, count: int = 1) -> Draw:
    """`count` independent uniform samples a step: once-for-all training with count 1."""

    def draw(step: int) -> list[Arch]:
        rng = random.Random(f"{seed}/uniform/{step}")
        return [space.sample(rng) for _ in range(count)]

    return draw


def sandwich(space: Space, seed: int, count: int = 2) -> Draw:
    """The largest, the smallest, and `count` uniform samples a step (universally slimmable networks)."""
    inner = uniform(space, seed, count)
    return lambda step: [space.largest(), space.smallest(), *inner(step)]


def fair(space: Space, at: Genotype, seed: int, path: str = "path", layers: str = "operator.") -> Draw:
    """CF-GAN's fair sampling (Algorithm 3, lines 4 to 8; Definition 3.1).

    Each cycle of N_p steps visits every path once, in random order without replacement. A step's M architectures
    between them use each of a layer's M operators exactly once. Everything else is as in `at`.

    Args:
        space: holds the choice named `path` and, for each layer, a choice whose name starts with `layers`.
        at: the other options, such as the full widths.
        seed: of the orders.
        path: name of the choice of path.
        layers: prefix of the choices of operators; all of them have the same number of options.
    """
    names = [name for name in space if name.startswith(layers)]
    operators = len(_choice(space, names[0]).options)

    def draw(step: int) -> list[Arch]:
        way, rng = _cycle(space, path, seed, step)
        columns = {name: rng.sample(_choice(space, name).options, operators) for name in names}
        return [
            at.replace({path: way, **{name: column[m] for name, column in columns.items()}}) for m in range(operators)
        ]

    return draw


def unfair(space: Space, at: Genotype, seed: int, path: str = "path", layers: str = "operator.") -> Draw:
    """What fair sampling is compared with (CF-GAN, A.1): the same paths, but operators drawn independently."""
    names = [name for name in space if name.startswith(layers)]
    operators = len(_choice(space, names[0]).options)

    def draw(step: int) -> list[Arch]:
        way, rng = _cycle(space, path, seed, step)
        return [
            at.replace({path: way, **{name: rng.choice(_choice(space, name).options) for name in names}})
            for _ in range(operators)
        ]

    return draw


def _cycle(space: Space, path: str, seed: int, step: int) -> tuple[Value, random.Random]:
    """The path of a step, each once a cycle in an order of the cycle's own; and a generator of the step's own."""
    ways = _choice(space, path).options
    cycle, place = divmod(step, len(ways))
    order = random.Random(f"{seed}/fair/{cycle}").sample(ways, len(ways))
    return order[place], random.Random(f"{seed}/fair/{cycle}/{place}")


def _choice(space: Space, name: str) -> Choice:
    """A dimension that must be a choice."""
    dimension = space[name]
    if not isinstance(dimension, Choice):
        raise TypeError(f"{name} is no choice")
    return dimension
