"""Distillation of an original into generators that were cut from it, whose channels are some of its own."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.methods.pruning.options import SupernetOptions
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.supernet import Arch
from slimgen.recipe import section
from slimgen.search import Genotype
from slimgen.tasks.gan import original_guidance
from slimgen.tasks.guidance import Guidance
from slimgen.tasks.task import Job
from slimgen.training.distillation import Teacher
from slimgen.training.fit import Memo

_LEAST = 1e-6  # of a feature's mean square, by which differences are divided


class Watched(nn.Module):
    """A network, with a method `features` that returns the outputs of some of its modules, too.

    Args:
        net: the network; it keeps no trace of being watched.
        names: the names of the modules, each of which must run; of a module that runs again, the last output counts. An
            activation in place after it has changed what is returned, in both networks alike.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return its images for images (N, C, H, W), and the outputs of its modules, (N, c, h, w) or (N, c)."""
        seen: dict[str, Tensor] = {}

        def keep(name: str, module: nn.Module, given: Any, made: Tensor) -> None:
            seen[name] = made

        handles = [self.net.get_submodule(name).register_forward_hook(partial(keep, name)) for name in self.names]
        try:
            made: Tensor = self.net(images)
        finally:
            for handle in handles:
                handle.remove()
        return made, [seen[name] for name in self.names]


def distilling(job: Job) -> Guidance:
    """Return the guidance of a generator's training: its targets, and the perceptual term if there is one."""
    return _to_targets(job, Teacher(_original(job)))


def imitating(job: Job, filters: FilterSpace, genotype: Genotype, net: nn.Module) -> Mapping[str, Any]:
    """Return how a generator cut from the original is trained: its guidance, and how it is called.

    With `supernet.distill`, each layer that lost channels imitates the same channels of the original's layer. GAN
    Compression needs learned adaptors for that (Li et al. 2020, Eq. 3), since its students' channels are not known to
    be any of the teacher's; here they are.
    """
    weight = section(SupernetOptions, job.recipe.supernet, "supernet").distill
    if not weight:
        return {"guidance": distilling(job)}
    places = {name: kept.outputs for name, kept in filters.kept(genotype).items() if kept.outputs is not None}
    student = Watched(net, list(places))
    teacher = Teacher(Watched(_original(job), list(places)))

    def generate(images: Tensor, arch: Arch, memo: Memo) -> Tensor:
        made, memo.features = student.features(images)
        return made

    def imitate(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
        whole = teacher(batch.input)[1]
        wanted = [one.index_select(1, at.to(one.device)) for one, at in zip(whole, places.values(), strict=True)]
        return {"distill": weight * distance(memo.features, wanted)}

    return {"guidance": _to_targets(job, teacher).plus(Guidance((imitate,))), "generate": generate}


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the mean squared difference of features, relative to the mean square of the wanted: the layers' mean."""
    pairs = ((one.float(), other.float()) for one, other in zip(found, wanted, strict=True))
    terms = [(one - other).square().mean() / other.square().mean().clamp_min(_LEAST) for one, other in pairs]
    return torch.stack(terms).mean()


def _original(job: Job) -> nn.Module:
    return job.compute.ready(job.task.original(job.inputs["teach"]))


def _to_targets(job: Job, teacher: Teacher) -> Guidance:
    guidance = original_guidance(job, truth=False)
    if section(SupernetOptions, job.recipe.supernet, "supernet").targets == "original":
        guidance = guidance.plus(Guidance(truth=lambda batch: teacher(batch.input)[0].float()))
    return guidance
