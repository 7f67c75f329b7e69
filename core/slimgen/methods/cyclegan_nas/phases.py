"""Phases of CycleGANAS: weights and logits in one step (Algorithm 1), or in turns on separate data (section 4.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from slimgen.data.batches import Pair
from slimgen.data.prepared import Prepared, Split
from slimgen.errors import DataError
from slimgen.methods.cyclegan_nas.options import SupernetOptions
from slimgen.nets.cyclegan_nas.networks import Supercells
from slimgen.nets.cyclegan_nas.space import Shape, space_of
from slimgen.nets.initial import initialise
from slimgen.nets.relaxation import Relaxation, Temperature
from slimgen.nets.supernet import Arch, Gates, Supernet
from slimgen.search import Genotype, Space
from slimgen.tasks.cycle import Direction, cycle_phases
from slimgen.tasks.task import Job, both_ways
from slimgen.training.fit import Phase
from slimgen.training.pool import ImagePool

GENERATORS = ("generator", "back_generator")
DISCRIMINATORS = ("discriminator", "back_discriminator")
FIRST, SECOND = "first", "second"  # splits for the weights and for the logits, where they are updated in turns


class Networks(NamedTuple):
    """The four supernets by role, and the logits of all four; a choice's name begins with its network's role."""

    nets: Mapping[str, Supernet]
    relaxation: Relaxation

    def weights(self, roles: tuple[str, str]) -> list[nn.Parameter]:
        """Return the weights of two networks."""
        return [weight for role in roles for weight in self.nets[role].parameters()]

    def logits(self, roles: tuple[str, str]) -> list[nn.Parameter]:
        """Return the logits of two networks."""
        names = self.relaxation.options
        return [self.relaxation.logits(name) for name in names if name.partition(".")[0] in roles]


def shapes_of(options: SupernetOptions) -> dict[str, Shape]:
    """Return the shapes of the networks, by role."""
    generators: dict[str, Shape] = dict.fromkeys(GENERATORS, options.generator())
    return generators | dict.fromkeys(DISCRIMINATORS, options.discriminator())


def joined(options: SupernetOptions) -> Space:
    """Return the space of all four networks."""
    whole = Space({})
    for role, shape in shapes_of(options).items():
        whole = whole | space_of(shape).prefixed(role)
    return whole


def networks(job: Job, options: SupernetOptions, steps: int) -> Networks:
    """Build four supernets and their relaxation, initialised from the recipe's seed."""
    seed, place = job.recipe.seed, job.compute.place
    nets: dict[str, Supernet] = {}
    for role, shape in shapes_of(options).items():
        nets[role] = place(initialise(Supercells(shape, options.spectral), seed + len(nets)))
    temperature = Temperature(*options.temperature, max(1, steps)) if options.relaxation == "gumbel" else None
    kind, spread = options.relaxation, options.spread
    relaxation = Relaxation(joined(options), seed=seed, spread=spread, kind=kind, temperature=temperature)
    return Networks(nets, place(relaxation))


def part(arch: Arch, role: str) -> Arch:
    """Return one network's share of an architecture of all four."""
    if isinstance(arch, Genotype):
        return arch.under(role)
    start = f"{role}."

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name[len(start) :]: value for name, value in values.items() if name.startswith(start)}

    return Gates(arch.at.under(role), own(arch.options), own(arch.probabilities), own(arch.only))


def phases(
    job: Job, options: SupernetOptions, networks: Networks, pools: Mapping[str, ImagePool], steps: int
) -> list[Phase]:
    """Return the phases of the recipe's optimisation.

    Every phase draws new gates from the relaxation, so that their graph lasts for one backward pass. Where weights and
    logits are updated in turns, the phases of the one hold the other fixed.
    """
    rate = {} if options.architecture_rate is None else {"lr": options.architecture_rate}

    def cycle(name: str, split: str, weights: bool, logits: bool) -> list[Phase]:
        """Return CycleGAN's two phases on a split (Algorithm 1, lines 10 and 11)."""
        groups: list[list[dict[str, Any]]] = [[], []]
        for group, roles in zip(groups, (GENERATORS, DISCRIMINATORS), strict=True):
            group += [{"params": networks.weights(roles)}] if weights else []
            group += [{"params": networks.logits(roles), **rate}] if logits else []
        forward, reverse = (
            Direction(networks.nets[one], networks.nets[two], pools[f"{name}{two}"], parts=_parting(one, two))
            for one, two in zip(GENERATORS, DISCRIMINATORS, strict=True)
        )
        found = cycle_phases((forward, reverse), groups[0], groups[1], job.recipe.losses, options, steps)
        draw = networks.relaxation.draw
        return [replace(phase, name=f"{name}{phase.name}", split=split, draw=draw) for phase in found]

    if options.optimisation == "OF":
        return cycle("", "train", weights=True, logits=True)
    first = cycle("", FIRST, weights=True, logits=False)
    return [*first, *cycle("architecture_", SECOND, weights=False, logits=True)]


def _parting(generator: str, discriminator: str) -> Callable[[Arch], tuple[Sequence[Arch], Sequence[Arch]]]:
    """Return a function from an architecture of all four networks to the parts of a direction's two."""
    return lambda arch: ([part(arch, generator)], [part(arch, discriminator)])


def pools_of(job: Job, options: SupernetOptions) -> dict[str, ImagePool]:
    """Return the discriminators' image pools; phases of the logits have their own where there are any."""
    names = list(DISCRIMINATORS)
    if options.optimisation != "OF":
        names += [f"architecture_{role}" for role in DISCRIMINATORS]
    task = both_ways(job.task)
    return {name: task.pool(number) for number, name in enumerate(names)}


@dataclass(frozen=True)
class Half(Prepared):
    """Prepared images whose split `train` is one of two random halves, 0 or 1, of each set (section 4.1, TH)."""

    half: int = 0
    seed: int = 0

    @classmethod
    def of(cls, data: Prepared, half: int, seed: int) -> Self:
        """Return one half of these images."""
        same = {field.name: getattr(data, field.name) for field in fields(data)}
        return cls(**same, half=half, seed=seed)

    def split(self, name: str) -> Split:
        """Return the half of `train`, in memory, or any other split as a whole."""
        found = super().split(name)
        if name != "train":
            return found
        inputs, targets = self._rows(len(found.input), 1), self._rows(len(found.target), 2)
        target_names = found.target_names or found.names
        names = tuple(found.names[row] for row in inputs), tuple(target_names[row] for row in targets)
        return Split(name, found.input[inputs], found.target[targets], *names, paired=False)

    def _rows(self, count: int, side: int) -> NDArray[np.int64]:
        order = np.random.default_rng([self.seed, side]).permutation(count)
        return np.sort(order[self.half :: 2])  # of an odd number, the first half has one more


def batches(job: Job, options: SupernetOptions, steps: int) -> dict[str, Callable[[int], Pair]]:
    """Return each split's batches as a function of the step: `train` for joint steps, `first` and `second` for turns.

    The paper describes TF as "w using A and alpha using B", without dividing the sets. A CycleGAN loss needs both sets,
    so here weights and logits both get all images of both sets, the logits in the order of later epochs.
    """

    def of(data: Prepared) -> Callable[[int], Pair]:
        return job.task.batches(data, options)["train"]

    if options.optimisation == "OF":
        return {"train": of(job.data)}
    if options.optimisation == "TF":
        later = of(job.data)
        return {FIRST: of(job.data), SECOND: lambda step: later(step + steps)}
    train = job.data.split("train")
    if min(len(train.input), len(train.target)) < 2:
        rule = f"supernet.optimisation {options.optimisation} needs at least two training images in each set"
        raise DataError(rule, f"{len(train.input)} and {len(train.target)}", "choose OF or TF")
    halves = [of(Half.of(job.data, half, job.recipe.seed)) for half in (0, 1)]
    swap = steps // 2 if options.optimisation == "THS" else steps

    def role(number: int) -> Callable[[int], Pair]:
        return lambda step: halves[number if step < swap else 1 - number](step)

    return {FIRST: role(0), SECOND: role(1)}
