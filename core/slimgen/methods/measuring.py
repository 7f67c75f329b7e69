"""Measuring the sub-networks of a trained supernet: each once, to the end or as long as it keeps up with a rival."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from slimgen.errors import RecipeError
from slimgen.metrics.cache import Cache
from slimgen.metrics.evaluator import Evaluator, Network
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.gates import Arch
from slimgen.nets.supernet import Supernet
from slimgen.nets.weights import digest
from slimgen.search import Genotype, Trial
from slimgen.tasks.job import Job
from slimgen.training.distributed import spread, world

CACHE = "cache.jsonl"
ArchOf = Callable[[Genotype], Arch]


def check_racing(metric: str) -> None:
    """Whether candidates can race by a metric: its value must be a mean over images, to be foretold from some of them.

    Raises:
        RecipeError: it is a metric of sets of images, or unknown.
    """
    if not isinstance(find(metric), PerImage):
        hint = "switch search.racing off, or choose an objective such as psnr, ssim or lpips"
        raise RecipeError("racing needs a metric of single images", repr(metric), hint)


class Way(NamedTuple):
    """How the candidates of a round are run.

    Attributes:
        step: of the search.
        arch_of: the architecture that stands for a genotype inside the supernet; None extracts the genotype itself.
        rival: a complete trial of the same step; a candidate hopelessly behind it is left early.
    """

    step: str
    arch_of: ArchOf | None = None
    rival: Trial | None = None


class Measured(NamedTuple):
    """What an evaluation gave: values by metric, whether of all images, and the seconds it took."""

    quality: dict[str, float]
    complete: bool
    seconds: float


class Measuring:
    """Runs candidates on the validation images, and keeps what it measured in `cache.jsonl`.

    A candidate is extracted, so that a small one is really cheap to run. The cache is keyed by genotype, weights and
    protocol. Several processes share the candidates of a round.

    Args:
        job: of the search stage.
        supernet: with its trained weights, in evaluation mode.
    """

    def __init__(self, job: Job, supernet: Supernet) -> None:
        recipe = job.recipe
        self.supernet, self.compute, self.metric = supernet, job.compute, recipe.objective.metric
        self.condition = job.task.condition
        self.evaluator = Evaluator(
            job.task.validation(job),
            [self.metric],
            compute=job.compute,
            features=recipe.evaluate.features,
            reference=job.out / "reference",
        )
        self.cache = Cache(job.out / CACHE)
        self.digest = digest(supernet.state_dict())
        self._rank, _ = world()
        self._rival: tuple[str, Tensor] | None = None

    def measure(self, genotypes: Sequence[Genotype], way: Way) -> list[Measured]:
        """What is known of genotypes, in their order, after all processes together measured what was missing."""
        kept = {genotype: self._kept(genotype, way) for genotype in genotypes}
        known = {genotype: measured for genotype, measured in kept.items() if measured is not None}
        missing = [genotype for genotype in kept if genotype not in known]

        def measured_here(genotype: Genotype) -> Measured:
            measured = self._measured(genotype, way)
            if self._rank == 0:  # at once, so that a search killed amid a round loses little
                self._keep(genotype, way, measured)
            return measured

        for genotype, measured in zip(missing, spread(missing, measured_here), strict=True):
            known[genotype] = measured
            if self._kept(genotype, way) is None:
                self._keep(genotype, way, measured)
        return [known[genotype] for genotype in genotypes]

    def _measured(self, genotype: Genotype, way: Way) -> Measured:
        started = time.monotonic()
        net = self._network(genotype, way)
        if way.rival is None:
            return Measured(self.evaluator.measure(net), True, time.monotonic() - started)
        raced = self.evaluator.race(net, self._rival_values(way.rival.genotype, way), metric=self.metric)
        return Measured(dict(raced.values), raced.complete, time.monotonic() - started)

    def _rival_values(self, rival: Genotype, way: Way) -> Tensor:
        """The rival's value of every image: (N,). Always computed here, since a resumed search knows only its mean."""
        key = _key(rival, way)
        if self._rival is None or self._rival[0] != key:
            self._rival = key, self.evaluator.per_image(self._network(rival, way), self.metric)
        return self._rival[1]

    def _network(self, genotype: Genotype, way: Way) -> Network:
        if way.arch_of is None:
            return partial(self._run, self.compute.ready(self.supernet.extract(genotype)))
        return partial(self._run, self.supernet, arch=way.arch_of(genotype))

    def _run(self, net: nn.Module, images: Tensor, **arch: Arch) -> Tensor:
        out: Tensor = net(self.condition(images), **arch)
        return out

    def _kept(self, genotype: Genotype, way: Way) -> Measured | None:
        """What the cache has: of all images, or of as many as it took to fall behind this very rival."""
        for protocol, complete in ((self.evaluator.protocol, True), (self._raced(way), False)):
            quality = self.cache.get(_key(genotype, way), self.digest, protocol) if protocol else None
            if quality is not None:
                return Measured(quality, complete, 0.0)
        return None

    def _keep(self, genotype: Genotype, way: Way, measured: Measured) -> None:
        protocol = self.evaluator.protocol if measured.complete else self._raced(way)
        self.cache.put(_key(genotype, way), self.digest, protocol, measured.quality)

    def _raced(self, way: Way) -> str:
        """The protocol of an estimate: it is of one rival. Empty without one."""
        return "" if way.rival is None else f"{self.evaluator.protocol}, left behind {_key(way.rival.genotype, way)}"


def _key(genotype: Genotype, way: Way) -> str:
    # A mixture is another network than its genotype, so it has a key of its own.
    return genotype.key if way.arch_of is None else f"{way.step}:{genotype.key}"
