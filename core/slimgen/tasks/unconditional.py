"""Images of noise: SN-GAN (Miyato et al. 2018), and what AlphaGAN searches; no pairs, no conditions.

A generator takes noise (N, latent) and is trained by the hinge loss (or whatever the recipe says) against a
discriminator that takes several steps for each of its own, with new images and new noise each time.
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
"""Batches of noise over which the statistics of an averaged generator are measured."""


class Unconditional(Original):
    """A generator of images from noise, a discriminator that judges an image alone, and how they are trained.

    Attributes:
        latent: the length of the noise.
    """

    traits: ClassVar[Traits] = Traits(
        NOISE,
        pairs=False,
        # Only many pictures describe a set that has no inputs, and pairs that may lie in `data` are none of them.
        embedded=Embedded("images", times=5, tracked=False),
        refused={
            "data": ("direction", "load", "partners", *OF_LABEL_MAPS["data"]),
            "losses": ("recon", "cycle", "identity", "perceptual", "perceptual_network", *OF_LABEL_MAPS["losses"]),
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
        """Raises RecipeError for metrics of single images, a generator that takes images, or nothing to learn from."""
        if not recipe.losses.adversarial:
            raise RecipeError("images are made of noise by the adversarial loss alone, but its weight is 0")
        if single := single_metrics(recipe):
            rule = "images made of noise have no partner to compare with, so their metrics are of whole sets"
            hint = "set evaluate.metrics to [fid, is], or [fd:NAME] with a user-defined feature network"
            raise RecipeError(rule, f"evaluate.metrics with {', '.join(single)}", hint)
        latent_of(recipe)
        check_stopping(recipe)

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """As every task's, of images alone."""
        return following(recipe, Channels(RGB, channels.wanted), given=False, judged=(channels.wanted,))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Writes images as arrays."""
        return prepare_images(folder, out, setting_of(recipe), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How images are laid out, and which cannot be used."""
        return look_at_images(folder, look)

    def shapes(self, data: Prepared) -> Shapes:
        """Of the noise, and of the images that are made of it."""
        height, width, channels = data.split("test").target.shape[1:]
        return Shapes((self.latent,), (channels, height, width))

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original pair; see `teach_pair`.

        Raises:
            RecipeError: the generator makes images of another size.
        """
        generator, size = self.generator().eval(), self.recipe.size
        with torch.no_grad():
            made = generator(self.compute.place(torch.zeros(1, self.latent))).shape
        channels = self.recipe.channels.wanted
        if tuple(made) != (1, channels, *size):
            rule = f"teach.generator makes images of {size} with {channels} channels"
            raise RecipeError(rule, "x".join(map(str, made[1:])), "set size in both places")
        options = self.recipe.teach
        splits = ("train", "val") if options.patience is None else ("train",)

        def ready(net: nn.Module) -> nn.Module:
            return net if options.ema is None else self.settled(copy.deepcopy(net), options.batch)

        images = sum(len(job.data.split(split)) for split in splits)
        return teach_pair(job, images, partial(self._held_out, job), ready)

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a pair in place, on train and val together (AlphaGAN, supplement 1.1.2), if nothing is chosen by val.

        Returns:
            The generator, or its settled average if there is one, in evaluation mode.
        """
        data = job.data.with_validation() if training.stopping is None else job.data
        trained = train_gan(replace(job, data=data), training)
        return trained if training.ema is None else self.settled(trained, training.schedule.batch)

    @torch.no_grad()
    def settled(self, net: nn.Module, batch: int) -> nn.Module:
        """The generator, whose BatchNorms now have the means and variances that its own features have.

        An average of weights has the statistics of none of the networks that it averages: they are measured over
        batches of noise as large as in training, the same each time. Without BatchNorms, nothing is changed.
        """
        seed, use = self.recipe.seed, noise.SETTLING
        draws = (latents(batch, self.latent, seed, use=use, step=step) for step in range(SETTLED))
        with self.compute.autocast():
            update_bn(map(self.compute.place, draws), net)
        return net

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Noise and real images as functions from step to batch, this process's share of it.

        For each split, by its name, noise (batch, latent) for the generator, beside the real images of the
        discriminator's first step; and by its name and `SHOWN` the noise and the real images of all steps of the
        discriminator, one after the other: (steps x shown, latent) and (steps x shown, 3, H, W). `hold` steps in
        a row see the same.

        Raises:
            DataError: images of another kind, or batches that cannot be divided among the processes.
        """
        if not data.split("train").inputless:
            raise DataError("images are prepared for the task unconditional", "pairs or sets", "prepare them with it")
        found: dict[str, Callable[[int], Pair]] = {}
        for number, split in enumerate(("train", "val")):
            source = noise.NoiseBatches(data.split(split), schedule, self.recipe, self.latent, number, self.compute)
            found |= {split: partial(_held, source.made, hold), f"{split}{SHOWN}": partial(_held, source.seen, hold)}
        return found

    def validation(self, job: Job) -> Pair:
        """Noise for candidates, always the same, and the real images held out, as many.

        Raises:
            RecipeError: the objective is a metric of single images.
        """
        metric = self.recipe.objective.metric
        if isinstance(find(metric), PerImage):
            hint = "choose fid, kid, is, or fd:NAME with a feature network of your own"
            raise RecipeError("candidates that make images of noise are measured on whole sets", repr(metric), hint)
        return self._held_out(job)

    def _held_out(self, job: Job) -> Pair:
        real = whole(job.data.split("val"), self.recipe.objective.images).target
        return Pair(latents(len(real), self.latent, self.recipe.seed, use=noise.VALIDATION), real)

    def test(self, data: Prepared) -> Pair:
        """Noise (N, latent) for finished generators, always the same, and the real images to compare with.

        There are `evaluate.images` rows of noise, as many as real images if the recipe does not say; the real images
        are all of `evaluate.against`, uint8 (M, 3, H, W) in channels_last. Train is with val.
        """
        options = self.recipe.evaluate
        split = data.with_validation().split("train") if options.against == "train" else data.split("test")
        # As the arrays are, in type and layout: fifty thousand and more are looked at, one batch after the other.
        real = torch.from_numpy(np.array(split.target)).permute(0, 3, 1, 2)
        return Pair(latents(options.images or len(real), self.latent, self.recipe.seed, use=noise.TEST), real)

    def columns(self, test: Pair, count: int, paired: bool) -> dict[str, Tensor]:
        """None: noise is not for looking at."""
        return {}

    def protocol(self) -> str:
        """What the figures of finished generators depend on besides what every evaluation says of itself."""
        real = "all that were to train on" if self.recipe.evaluate.against == "train" else "the test images"
        return f"made of normal noise of seed {self.recipe.seed}; real images: {real}"

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """The steps of the discriminator, then the generator's.

        The discriminator's phases are of one name and share one optimizer: it is one training, a line of its log says
        the mean of their losses, and a checkpoint holds it once. A step is an update of the generator.

        Raises:
            RecipeError: several generator steps for each of the discriminator's.
        """
        if (steps := training.generator_steps) != 1:
            raise RecipeError("from noise to images, the discriminator takes more steps", f"generator_steps={steps}")
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
    """The length of the noise; raises RecipeError for a generator that takes images."""
    length = noise_length(**recipe.teach.generator)
    if length is None:
        family = recipe.teach.generator["family"]
        raise RecipeError("the task unconditional makes images of noise", f"{family!r}, which takes images", NOISY)
    return length


def _held(batch: Callable[[int], Pair], hold: int, step: int) -> Pair:
    return batch(step // hold)
