"""Draws, pure functions from a step to the architectures trained at it, and counters that check their fairness."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from slimgen.nets.supernet import Arch, pinned
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Feasible
from slimgen.search.space import Space

Draw = Callable[[int], Sequence[Arch]]
"""A step to its architectures; their gradients are accumulated, then the optimizer steps once."""


def fixed(arch: Arch) -> Draw:
    """Draw the same architecture at every step."""
    return lambda step: (arch,)


def uniform(space: Space, seed: int, count: int = 1) -> Draw:
    """Draw `count` independent uniform samples at each step; `count` 1 is once-for-all training."""

    def draw(step: int) -> list[Arch]:
        rng = random.Random(f"{seed}/uniform/{step}")
        return [space.sample(rng) for _ in range(count)]

    return draw


def sandwich(space: Space, seed: int, count: int = 2) -> Draw:
    """Draw the largest, the smallest and `count` uniform samples at each step (universally slimmable networks)."""
    inner = uniform(space, seed, count)
    return lambda step: [space.largest(), space.smallest(), *inner(step)]


def fair(space: Space, at: Genotype, seed: int, *, apart: bool = False) -> Draw:
    """Draw by CF-GAN's fair sampling (Algorithm 3, lines 4 to 8; Definition 3.1).

    Each cycle of N_p steps visits every path once, in random order without replacement. The M architectures of a step
    together use each of a layer's M operators exactly once; with `apart`, operators are drawn independently.

    The space must have the choice `path` and, for each layer, a choice `operator.*`, all with M options. Everything
    else, such as the full widths, is as in `at`.
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
    """Draw the baseline of fair sampling (CF-GAN, A.1): the same paths, but operators drawn independently."""
    return fair(space, at, seed, apart=True)


def narrowing(
    draw: Draw, space: Space, allows: Callable[[Genotype], bool], seed: int, free: str | tuple[str, ...] = "channel."
) -> Draw:
    """Draw another draw's architectures at random widths within a budget, or at the smallest widths if none fits.

    Widths are the choices of the space whose names start with `free`: `channel.*`, or also how often each block is
    applied. Architectures above the budget take random steps towards the smallest widths until they fit, so most are
    just below the budget.
    """

    def slim(arch: Arch, rng: random.Random) -> Genotype:
        widths = space.pin(pinned(arch), free)
        genotype, smallest = widths.sample(rng), widths.smallest()
        if allows(genotype):
            return genotype
        return Feasible(widths, allows, smallest).repair(genotype, rng) or smallest

    def narrow(step: int) -> list[Arch]:
        return [
            slim(arch, random.Random(f"{seed}/narrowing/{step}/{number}")) for number, arch in enumerate(draw(step))
        ]

    return narrow


def _choice(space: Space, name: str) -> Choice:
    """Return a dimension after checking that it is a choice."""
    dimension = space[name]
    if not isinstance(dimension, Choice):
        raise TypeError(f"{name} must be a choice")
    return dimension


class UpdateCounts:
    """Counts of updates of each path and operator of the super-generator, and of each path of the discriminator.

    Attributes:
        generator: U_p, by path.
        discriminator: V_p, by path.
        operators: U_{p,l,m}, by path, layer and operator.
    """

    def __init__(self) -> None:
        self.generator: Counter[str] = Counter()
        self.discriminator: Counter[str] = Counter()
        self.operators: Counter[tuple[str, str, str]] = Counter()

    def generator_step(self, archs: Iterable[Arch]) -> None:
        """Count one generator step with the accumulated gradients of these architectures."""
        genotypes = [pinned(arch) for arch in archs]
        self.generator.update({str(genotype["path"]) for genotype in genotypes})
        for genotype in genotypes:
            for name, value in genotype.items():
                if name.startswith("operator."):
                    self.operators[str(genotype["path"]), name, str(value)] += 1

    def discriminator_step(self, path: str) -> None:
        """Count one step of a discriminator's path."""
        self.discriminator[path] += 1

    def violations(self, space: Mapping[str, Any], discriminator: bool = True) -> list[str]:
        """Return the violations of Definition 3.1, one line each; none if the training was fair.

        The supernet's space lists the operators of each layer; without a discriminator, path counts are not compared.
        """
        found = []
        for path in space["path"].options:
            if discriminator and self.generator[path] != self.discriminator[path]:
                found.append(f"path {path}: U = {self.generator[path]}, V = {self.discriminator[path]}")
            for layer in (name for name in space if name.startswith("operator.")):
                counts = {option: self.operators[path, layer, option] for option in space[layer].options}
                if len(set(counts.values())) > 1:
                    found.append(f"path {path}, {layer}: {counts}")
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the counts as plain data, for checkpoints."""
        return {
            "generator": dict(self.generator),
            "discriminator": dict(self.discriminator),
            "operators": {"/".join(key): count for key, count in self.operators.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.generator, self.discriminator = Counter(state["generator"]), Counter(state["discriminator"])
        self.operators = Counter()
        for key, count in state["operators"].items():
            path, layer, option = key.split("/")
            self.operators[path, layer, option] = count
