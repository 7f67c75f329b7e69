"""Draws: pure functions of a step that say which architectures are trained at it."""

import random
from collections.abc import Callable, Sequence

from slimgen.nets.gates import Arch
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype
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


def fair(space: Space, at: Genotype, seed: int, *, apart: bool = False) -> Draw:
    """CF-GAN's fair sampling (Algorithm 3, lines 4 to 8; Definition 3.1).

    Each cycle of N_p steps visits every path once, in random order without replacement. A step's M architectures
    between them use each of a layer's M operators exactly once. Everything else is as in `at`.

    Args:
        space: holds the choice `path` and, for each layer, a choice `operator.` of as many options.
        at: the other options, such as the full widths.
        seed: of the orders.
        apart: operators are drawn independently instead: what fair sampling is compared with (A.1).
    """
    paths = _choice(space, "path").options
    layers = {name: _choice(space, name).options for name in space if name.startswith("operator.")}
    operators = range(len(next(iter(layers.values()))))

    def draw(step: int) -> list[Arch]:
        cycle, turn = divmod(step, len(paths))
        path = random.Random(f"{seed}/fair/{cycle}").sample(paths, len(paths))[turn]
        rng = random.Random(f"{seed}/fair/{cycle}/{turn}")
        if apart:
            rows = [{name: rng.choice(options) for name, options in layers.items()} for _ in operators]
        else:
            columns = {name: rng.sample(options, len(operators)) for name, options in layers.items()}
            rows = [{name: column[number] for name, column in columns.items()} for number in operators]
        return [at.replace({"path": path, **row}) for row in rows]

    return draw


def unfair(space: Space, at: Genotype, seed: int) -> Draw:
    """What fair sampling is compared with (CF-GAN, A.1): the same paths, but operators drawn independently."""
    return fair(space, at, seed, apart=True)


def _choice(space: Space, name: str) -> Choice:
    """A dimension that must be a choice."""
    dimension = space[name]
    if not isinstance(dimension, Choice):
        raise TypeError(f"{name} is no choice")
    return dimension
