"""Distillation in GAN Compression: the once-for-all network learns from the original, or from a mobile teacher."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Batches, Pair
from slimgen.files import weights_file
from slimgen.methods.gan_compression.options import SupernetOptions, shape_of, tap_channels, teacher_options
from slimgen.metrics.evaluator import digest
from slimgen.nets import build_generator
from slimgen.nets.gan_compression.families import searchable
from slimgen.nets.gan_compression.supernet import ChannelSupernet
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Arch, Supernet
from slimgen.nets.weights import folded, load_weights, save_weights
from slimgen.search import Genotype
from slimgen.tasks.gan import GanTraining, original_guidance
from slimgen.tasks.guidance import Generate, Guidance
from slimgen.tasks.task import Job
from slimgen.training.distillation import Adaptors, Teacher, distillation_loss, fsp_loss
from slimgen.training.fit import Memo


def once_for_all(job: Job, options: SupernetOptions) -> ChannelSupernet:
    """Return the once-for-all network, initialised from the recipe's seed."""
    net = searchable(options.family)(options.family, options.space, **shape_of(job.recipe, options))
    return job.compute.place(initialise(net, job.recipe.seed + 2))


def train_teacher(job: Job, options: SupernetOptions, discriminator: nn.Module) -> int:
    """Train the mobile teacher from scratch (6.1) and return the number of updates."""
    assert options.teacher is not None
    steps = options.teacher.steps(len(job.data.split("train")))
    teacher = job.compute.place(build_generator(seed=job.recipe.seed + 3, **teacher_options(job.recipe, options)))
    job.task.train_original(job, GanTraining("teacher", teacher, discriminator, options.teacher, steps))
    save_weights(job.out / weights_file("teacher_generator"), teacher.state_dict())
    save_weights(job.out / weights_file("teacher_discriminator"), discriminator.state_dict())
    return steps


def teacher_file(job: Job, options: SupernetOptions, name: str) -> Path:
    """Return the file of the teacher's `generator` or `discriminator`."""
    if options.pipeline == "fast":
        return job.inputs["teach"] / weights_file(name)
    return job.inputs.get("supernet", job.out) / weights_file(f"teacher_{name}")


def teacher_network(job: Job, options: SupernetOptions) -> nn.Module:
    """Return the teacher with its weights; spectral norms, which only training needs, are folded into them."""
    teacher = build_generator(seed=0, **teacher_options(job.recipe, options))
    teacher.load_state_dict(load_weights(teacher_file(job, options, "generator")))
    return folded(teacher)


def showing(net: nn.Module) -> Generate:
    """Return a function that runs a generator or supernet and stores its inner features in the step's memo."""

    def run(images: Tensor, arch: Arch, memo: Memo) -> Tensor:
        shown = net.features(images, arch) if isinstance(net, ChannelSupernet) else net.features(images)  # type: ignore[operator]
        image: Tensor
        image, memo.features = shown
        return image

    return run


def distilling(job: Job, options: SupernetOptions, net: nn.Module) -> Guidance:
    """Return the task's guidance together with the teacher's terms (Eqs. 1, 3 and 4).

    FSP matrices of student and teacher must have the same size, so those features go through Eq. 3's adaptors too.
    """
    teacher, weight = Teacher(job.compute.ready(net)), options.distill
    pseudo_pairs = options.pseudo_pairs(job.task.traits.pairs)
    guidance = original_guidance(job, truth=not pseudo_pairs)
    if pseudo_pairs:
        guidance = guidance.plus(Guidance(truth=lambda batch: teacher(batch.input)[0].float()))
    if options.distillation == "none" or not weight:
        return guidance
    if options.distillation == "output":

        def imitate(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
            return {"distill": weight * functional.mse_loss(fake, teacher(batch.input)[0].float())}

        return guidance.plus(Guidance((imitate,)))
    difference = {"intermediate": distillation_loss, "fsp": fsp_loss}[options.distillation]
    adaptors = job.compute.place(initialise(Adaptors(*tap_channels(job.recipe, options)), job.recipe.seed + 4))

    def match(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
        return {"distill": weight * difference(adaptors(memo.features), teacher(batch.input)[1])}

    return guidance.plus(Guidance((match,), modules={"adaptors": adaptors}))


def recalibrated(job: Job, net: Supernet, images: int, batch: int) -> Supernet:
    """Return the supernet, its BatchNorms, if any, recalibrated on `images` images, rounded up to whole batches."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()):
        return net
    # Every process uses the same images, so that a search does not depend on the number of processes.
    source = Batches(
        job.data.split("train"), batch=batch, seed=job.recipe.seed, crop=job.recipe.size, flip=job.recipe.data.flip
    )
    inputs = torch.cat([source(step).input for step in range(-(-images // batch))])
    return Recalibrated(job, net, inputs, batch)


class Recalibrated(Supernet):
    """A supernet whose extracted sub-networks get BatchNorm statistics of their own; the supernet is unchanged."""

    def __init__(self, job: Job, net: Supernet, inputs: Tensor, batch: int) -> None:
        super().__init__()
        self.job, self.net, self.inputs, self.batch = job, net, inputs, batch
        self.space = net.space
        # A part of the state, so that the digest differs where other images were used.
        self.over: Tensor
        self.register_buffer("over", torch.frombuffer(bytearray.fromhex(digest(inputs)), dtype=torch.uint8))

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Run the supernet itself, with the statistics of all widths."""
        out: Tensor = self.net(images, arch)
        return out

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return the cost in the supernet itself."""
        return self.net.cost(genotype, height, width)

    def extract(self, genotype: Genotype) -> nn.Module:
        """Return the sub-network on the device, its statistics averaged over all batches."""
        task, compute = self.job.task, self.job.compute
        net = compute.place(self.net.extract(genotype))
        with compute.autocast():
            update_bn((task.condition(compute.place(part)) for part in torch.split(self.inputs, self.batch)), net)
        return net
