"""Sub-networks with statistics of their own: BatchNorms of a once-for-all network hold those of all its widths.

Without BatchNorms there is nothing to do. With them, what a sub-network is worth shows only after its means and
variances were measured anew, here over some of the images to train on.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Batches
from slimgen.metrics.evaluator import digest
from slimgen.nets.gates import Arch
from slimgen.nets.supernet import Supernet
from slimgen.search import Genotype
from slimgen.tasks.task import Job


def recalibrated(job: Job, net: Supernet, images: int, batch: int) -> Supernet:
    """The supernet, or one whose extractions are recalibrated where it has BatchNorms.

    Args:
        job: of the stage.
        net: the trained supernet.
        images: how many images to measure the statistics over; rounded up to whole batches.
        batch: images at once, as many as in training, since they are the mean of those of batches.
    """
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()):
        return net
    # Every process measures over the same images, so that a search does not depend on how many there are.
    source = Batches(
        job.data.split("train"),
        batch=batch,
        seed=job.recipe.seed,
        crop=job.recipe.size,
        flip=job.recipe.data.flip,
    )
    inputs = torch.cat([source(step).input for step in range(-(-images // batch))])
    return Recalibrated(job, net, inputs, batch)


class Recalibrated(Supernet):
    """A supernet whose extractions have the means and variances that their own features have.

    Args:
        job: of the stage.
        net: the trained supernet; its statistics are left alone.
        inputs: prepared inputs to measure over.
        batch: how many at once.
    """

    def __init__(self, job: Job, net: Supernet, inputs: Tensor, batch: int) -> None:
        super().__init__()
        self.job, self.net, self.inputs, self.batch = job, net, inputs, batch
        self.space = net.space
        # In the state, so that what was measured over other images is not taken for the same network.
        self.over: Tensor
        self.register_buffer("over", torch.frombuffer(bytearray.fromhex(digest(inputs)), dtype=torch.uint8))

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """As the supernet itself: with the statistics of all widths."""
        out: Tensor = self.net(images, arch)
        return out

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """As the supernet itself."""
        return self.net.cost(genotype, height, width)

    def extract(self, genotype: Genotype) -> nn.Module:
        """The sub-network alone, placed, its statistics the means of those of all batches."""
        net = self.job.compute.place(self.net.extract(genotype))
        with self.job.compute.autocast():
            update_bn(self._batches(), net)
        return net

    def _batches(self) -> Iterator[Tensor]:
        for part in torch.split(self.inputs, self.batch):
            yield self.job.task.condition(self.job.compute.place(part))
