"""Original of a recipe, trained or imported, and the training of one generator or supernet against a discriminator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Pair
from slimgen.data.pictures import Images
from slimgen.device import Compute
from slimgen.files import DISCRIMINATOR, GENERATOR
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.supernet import Arch
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Channels, Recipe
from slimgen.search import Genotype
from slimgen.tasks.channels import following
from slimgen.tasks.guidance import Gan, GanTraining, Guidance
from slimgen.tasks.importing import import_pair, imported
from slimgen.tasks.stopping import early_stopping
from slimgen.tasks.task import Job, from_images
from slimgen.training.draws import fixed
from slimgen.training.fit import Phase, Stateful, fit
from slimgen.training.optimizers import Ema

__all__ = ["GanTraining", "Original", "imported", "original_guidance", "teach_pair", "train_gan"]


class Original:
    """Part of a task that builds the networks to compress.

    Attributes:
        discriminator_inputs: input channels of the discriminator, unless the recipe sets them.
    """

    discriminator_inputs: int

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.recipe, self.compute = recipe, compute

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Accept every recipe; the task's traits are checked elsewhere."""

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe for prepared pictures of these channels; raise RecipeError if it sets others."""
        return following(recipe, channels, given=True, judged=(channels.wanted,))

    @property
    def discriminator_options(self) -> Mapping[str, Any]:
        """Family and options of the discriminator."""
        return self.recipe.teach.discriminator

    def generator(self, seed: int = 0) -> nn.Module:
        """Return the original generator, initialised from the sum of the recipe's seed and this one."""
        return self.compute.place(build_generator(seed=self.recipe.seed + seed, **self.recipe.teach.generator))

    def discriminator(self, seed: int = 1) -> nn.Module:
        """Return the original discriminator, initialised likewise."""
        return self.compute.place(build_discriminator(seed=self.recipe.seed + seed, **self.discriminator_options))

    def original_cost(self) -> Cost:
        """Return the cost of the original generator for one image of the recipe's size, in closed form."""
        return generator_cost(**self.recipe.size._asdict(), **self.recipe.teach.generator)

    def original(self, teach: Path) -> nn.Module:
        """Return the original generator of the recipe's direction from `teach`'s folder, in evaluation mode."""
        net = self.generator()
        net.load_state_dict(load_weights(teach / GENERATOR))
        return net.eval()

    @property
    def answers(self) -> bool:
        """Whether test images without partners are compared with the original's outputs."""
        return False

    def targets(self, images: Any, teach: Path, paired: bool) -> Any:
        """Return test images with the targets that outputs are compared with, given the original's folder."""
        return images

    def condition(self, inputs: Tensor) -> Tensor:
        """Return the prepared inputs, which are the generator's input."""
        return inputs

    def generate(self, net: nn.Module, inputs: Tensor) -> Tensor:
        """Return a generator's images for prepared inputs, on their device."""
        images: Tensor = net(self.condition(inputs))
        return images

    def samples(self, test: Any, count: int) -> Tensor:
        """Return a generator's inputs for the first test images, all of one size."""
        return self.condition(test.input[:count])

    def gathered(self, images: Sequence[Tensor]) -> Tensor:
        """Return batches of images as one, for the report."""
        return torch.cat(list(images))

    def references(self, test: Any) -> Mapping[str, Images]:
        """Return no references besides the real images of every evaluation."""
        return {}

    def protocol(self) -> str:
        """Return no facts besides those that every evaluation records."""
        return ""


def teach_pair(
    job: Job,
    images: int,
    validation: Callable[[], Pair] | None = None,
    ready: Callable[[nn.Module], nn.Module] | None = None,
) -> Mapping[str, float]:
    """Train or import one generator and its discriminator, and write `generator` and `discriminator.safetensors`.

    Args:
        job: the job of the stage teach.
        images: number of training images, for the length of the training.
        validation: function that returns the images for early stopping; None uses the task's `validation`.
        ready: see `early_stopping`.

    Returns:
        Updates and parameters, and the facts of early stopping if there is any.

    Raises:
        CheckpointError: an imported file is missing, or its weights do not fit.
    """
    options, facts = job.recipe.teach, {"updates": 0.0}
    generator, discriminator = import_pair(job, Gan(job.task.generator(), job.task.discriminator()))
    if options.generator_checkpoint is None:
        updates = options.steps(images)
        given = validation or partial(job.task.validation, job)
        stopping = early_stopping(job, updates, lambda: {"generator": given()}, ready)
        training = GanTraining(
            "teacher", generator, discriminator, options, updates, ema=options.ema, stopping=stopping
        )
        generator = job.task.train_original(job, training)
        facts = {"updates": updates} if stopping is None else stopping.facts()
    save_weights(job.out / GENERATOR, generator.state_dict())
    save_weights(job.out / DISCRIMINATOR, discriminator.state_dict())
    return {**facts, "params": job.task.original_cost().params}


def train_gan(job: Job, training: GanTraining) -> nn.Module:
    """Train a generator in place with the losses of the job's task.

    Returns:
        The trained generator, or its average if there is one, in evaluation mode.
    """
    generator, follow = training.generator, training.after_generator
    average = Ema(generator, training.ema) if training.ema is not None else None

    def after(phase: Phase, archs: Sequence[Arch]) -> None:
        if follow is not None:
            follow(phase, archs)
        if average is not None:
            average.update()

    generator.train()
    trained = generator if average is None else average.module
    if training.stopping is not None:
        training.stopping.watch({"generator": trained, "discriminator": training.discriminator})
    phases, histories = job.task.phases(replace(training, after_generator=after))
    state: dict[str, Stateful] = {"generator": generator, "discriminator": training.discriminator}
    state |= {**histories, **training.guidance.modules, **training.state}
    if average is not None:
        state["ema"] = average
    hold = training.generator_steps if training.hold is None else training.hold
    draw, journal = training.draw or fixed(Genotype({})), job.journal(training.name)
    batches, steps = job.task.batches(job.data, training.schedule, hold=hold), training.steps
    how: dict[str, Any] = {"until": training.until, "stopping": training.stopping}
    fit(phases, draw, batches, steps, seed=job.recipe.seed, compute=job.compute, state=state, journal=journal, **how)
    return trained.eval()


def original_guidance(job: Job, *, truth: bool = True) -> Guidance:
    """Return the original's guidance in a task: its outputs as targets where there are no pairs, and further losses.

    The perceptual term compares features of the original's discriminator unless the recipe names another network.
    `truth=False` leaves the targets to the caller, and the original generator is not loaded.
    """
    losses, teach, task = job.recipe.losses, job.inputs["teach"], from_images(job.task)
    shown = Guidance(truth=task.truth(teach)) if truth else Guidance()
    if not losses.perceptual or losses.perceptual_network != "discriminator":
        return task.guidance(None).plus(shown)
    discriminator = task.discriminator()
    discriminator.load_state_dict(load_weights(teach / DISCRIMINATOR))
    return task.guidance(discriminator).plus(shown)
