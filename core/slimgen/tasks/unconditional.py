"""Task `unconditional`: images from noise, as in SN-GAN (Miyato et al. 2018) and AlphaGAN.

A generator takes noise (N, latent). It is trained with the hinge loss, or another that the recipe sets, against a
discriminator that takes several steps for each generator update, with new images and new noise each time.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from slimgen.data.batches import Pair, whole
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_images
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepared import Manifest, Prepared
from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import noise_length
from slimgen.recipe import Channels, Recipe, Schedule
from slimgen.tasks import noise
from slimgen.tasks.channels import RGB, following
from slimgen.tasks.gan import GanTraining, Original, teach_pair, train_gan
from slimgen.tasks.noise import SHOWN, latents
from slimgen.tasks.stopping import check_stopping
from slimgen.tasks.task import Job, setting_of, single_metrics
from slimgen.tasks.traits import NOISE, OF_LABEL_MAPS, Embedded, Shapes, Traits
from slimgen.tasks.translation import CHANNELS, adam
from slimgen.training.fit import Phase, Stateful
from slimgen.training.losses import adversarial
from slimgen.training.optimizers import constant_then_linear

NOISY = "choose a family with an option latent, such as alphagan or sngan"
SETTLED = 50
"""Number of noise batches over which an averaged generator's BatchNorm statistics are measured."""


class Unconditional(Original):
    """Task of a generator from noise and a discriminator of single images.

    Attributes:
        latent: length of the noise.
    """

    traits: ClassVar[Traits] = Traits(
        NOISE,
        pairs=False,
        # A set without inputs needs many pictures; the pairs that may lie in `data` are no such set.
        embedded=Embedded("images", times=5, tracked=False),
        refused={
            "data": ("direction", "load", "partners", *OF_LABEL_MAPS["data"]),
            "losses": (
                *("recon", "cycle", "identity", "perceptual", "perceptual_network", "before_activation"),
                *OF_LABEL_MAPS["losses"],
            ),
            "teach": ("reverse_generator_checkpoint", "reverse_discriminator_checkpoint"),
            "finetune": ("generator_steps",),
        },
        reads="float32, drawn from a standard normal distribution",
    )
    discriminator_inputs = CHANNELS

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        super().__init__(recipe, compute)
        self.latent = latent_of(recipe)

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError for metrics of single images, a generator that takes images, or no adversarial loss."""
        if not recipe.losses.adversarial:
            rule = "losses.adversarial must be above 0 for images from noise, which have no other loss"
            raise RecipeError(rule, "0", "give it a weight")
        if single := single_metrics(recipe):
            rule = "images from noise need metrics of whole sets, since they have no targets"
            hint = "set evaluate.metrics to [fid, is], or [fd:NAME] with a user-defined feature network"
            raise RecipeError(rule, f"evaluate.metrics with {', '.join(single)}", hint)
        latent_of(recipe)
        check_stopping(recipe)

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe as `Task.suited` does; only the outputs are pictures."""
        return following(recipe, Channels(RGB, channels.wanted), given=False, judged=(channels.wanted,))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write images as arrays."""
        return prepare_images(folder, out, setting_of(recipe), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of the images, and those that cannot be used."""
        return look_at_images(folder, look)

    def shapes(self, data: Prepared) -> Shapes:
        """Return the shapes of the noise and of the output images."""
        height, width, channels = data.split("test").target.shape[1:]
        return Shapes((self.latent,), (channels, height, width))

    def teach(self, job: Job) -> Mapping[str, float]:
        """Train or import the original generator and discriminator; see `teach_pair`.

        Raises:
            RecipeError: the generator's outputs have another size than the recipe's.
        """
        generator, size = self.generator().eval(), self.recipe.size
        with torch.no_grad():
            made = generator(self.compute.place(torch.zeros(1, self.latent))).shape
        channels = self.recipe.channels.wanted
        if tuple(made) != (1, channels, *size):
            rule = f"teach.generator must make images of {size} with {channels} channels, as the recipe's size says"
            got = f"{made[-2]} x {made[-1]} with {made[1]} channels" if len(made) == 4 else f"a shape of {tuple(made)}"
            raise RecipeError(rule, got, "set size and the generator's options to fit each other")
        options = self.recipe.teach
        splits = ("train", "val") if options.patience is None else ("train",)

        def ready(net: nn.Module) -> nn.Module:
            return net if options.ema is None else self.settled(copy.deepcopy(net), options.batch)

        images = sum(len(job.data.split(split)) for split in splits)
        return teach_pair(job, images, partial(self._held_out, job), ready)

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Train a generator and discriminator in place; return the generator in evaluation mode.

        Without early stopping, train and val are used together (AlphaGAN, supplement 1.1.2). If there is a moving
        average, it is returned, with its BatchNorm statistics measured anew.
        """
        data = job.data.with_validation() if training.stopping is None else job.data
        trained = train_gan(replace(job, data=data), training)
        return trained if training.ema is None else self.settled(trained, training.schedule.batch)

    @torch.no_grad()
    def settled(self, net: nn.Module, batch: int) -> nn.Module:
        """Return the generator with BatchNorm statistics measured on its own features.

        An average of weights fits the statistics of none of the averaged networks. They are measured over `SETTLED`
        noise batches of the training's batch size, the same each time. A network without BatchNorms stays unchanged.
        """
        seed, use = self.recipe.seed, noise.SETTLING
        draws = (latents(batch, self.latent, seed, use=use, step=step) for step in range(SETTLED))
        with self.compute.autocast():
            update_bn(map(self.compute.place, draws), net)
        return net

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Return functions from step to this process's share of noise and real images.

        Under the name of each split: noise (batch, latent) for the generator, and the real images of the
        discriminator's first step. Under that name plus `SHOWN`: noise (steps x shown, latent) and real images
        (steps x shown, 3, H, W) of all discriminator steps, one after the other. `hold` consecutive steps get the same
        batch.

        Raises:
            DataError: the images have inputs, or a batch cannot be divided evenly among the processes.
        """
        if not data.split("train").inputless:
            rule = "the images must be prepared for the task unconditional"
            raise DataError(rule, "pairs or sets", "prepare them with this recipe")
        found: dict[str, Callable[[int], Pair]] = {}
        for number, split in enumerate(("train", "val")):
            source = noise.NoiseBatches(data.split(split), schedule, self.recipe, self.latent, number, self.compute)
            found |= {split: partial(_held, source.made, hold), f"{split}{SHOWN}": partial(_held, source.seen, hold)}
        return found

    def validation(self, job: Job) -> Pair:
        """Return fixed noise for candidates, and as many real validation images.

        Raises:
            RecipeError: the objective is a metric of single images.
        """
        metric = self.recipe.objective.metric
        if isinstance(find(metric), PerImage):
            hint = "choose fid, kid, is, or fd:NAME with a user-defined feature network"
            raise RecipeError("objective.metric must be a metric of whole sets for images from noise", metric, hint)
        return self._held_out(job)

    def _held_out(self, job: Job) -> Pair:
        real = whole(job.data.split("val"), self.recipe.objective.images).target
        return Pair(latents(len(real), self.latent, self.recipe.seed, use=noise.VALIDATION), real)

    def test(self, data: Prepared) -> Pair:
        """Return fixed noise (N, latent) for finished generators, and the real images to compare with.

        N is `evaluate.images`, or the number of real images if the recipe does not set it. The real images are all of
        `evaluate.against`, where train includes val: uint8 (M, 3, H, W) in channels_last.
        """
        options = self.recipe.evaluate
        split = data.with_validation().split("train") if options.against == "train" else data.split("test")
        # In the arrays' own type and layout, to save memory: there may be more than fifty thousand images.
        real = torch.from_numpy(np.array(split.target)).permute(0, 3, 1, 2)
        return Pair(latents(options.images or len(real), self.latent, self.recipe.seed, use=noise.TEST), real)

    def columns(self, test: Pair, count: int, paired: bool) -> dict[str, Tensor]:
        """Return no pictures: noise is not shown."""
        return {}

    def protocol(self) -> str:
        """Return the facts on which measured values depend, besides those that every evaluation records."""
        real = "all that were to train on" if self.recipe.evaluate.against == "train" else "the test images"
        return f"made of normal noise of seed {self.recipe.seed}; real images: {real}"

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """Return the phases of the discriminator steps, then of the generator update; a step is one generator update.

        The discriminator's phases have one name and share one optimizer, so a log line gives the mean of their losses,
        and a checkpoint contains the optimizer once.

        Raises:
            RecipeError: `generator_steps` is not 1.
        """
        if (steps := training.generator_steps) != 1:
            rule = "generator_steps must be 1 for images from noise"
            raise RecipeError(rule, steps, "set discriminator_steps for more steps of the discriminator")
        losses, schedule, turns = self.recipe.losses, training.schedule, training.schedule.discriminator_steps
        generator, discriminator = training.generator, training.discriminator
        gan, rate = adversarial(losses.gan), constant_then_linear(training.steps, schedule.decay)
        rates, split, after = (
            schedule.discriminator_rate or schedule.rate,
            f"train{SHOWN}",
            training.after_discriminator,
        )
        adversary = adam([{"params": list(discriminator.parameters())}], rates, schedule)
        apart = [noise.telling_apart(generator, discriminator, gan, turn, turns) for turn in range(turns)]
        after = training.after_discriminator
        phases = [Phase("discriminator", loss, adversary, rate, split, after=after) for loss in apart]
        passing = noise.passing_for_real(generator, discriminator, gan, losses.adversarial, training.guidance)
        mover = adam(training.moved, schedule.rate, schedule)
        return [*phases, Phase("generator", passing, mover, rate, after=training.after_generator)], {}


def latent_of(recipe: Recipe) -> int:
    """Return the length of the noise; raise RecipeError for a generator that takes images."""
    length = noise_length(**recipe.teach.generator)
    if length is None:
        family = recipe.teach.generator["family"]
        rule = "the task unconditional needs a generator that takes noise"
        raise RecipeError(rule, f"{family!r}, which takes images", NOISY)
    return length


def _held(batch: Callable[[int], Pair], hold: int, step: int) -> Pair:
    return batch(step // hold)
