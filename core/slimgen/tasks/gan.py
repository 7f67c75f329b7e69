"""Training one generator, or one supernet, against one discriminator."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from slimgen.files import DISCRIMINATOR
from slimgen.nets.supernet import Arch
from slimgen.nets.weights import load_weights
from slimgen.search import Genotype
from slimgen.tasks.guidance import GanTraining, Guidance
from slimgen.tasks.task import Job, from_images
from slimgen.training.draws import fixed
from slimgen.training.fit import Phase, Stateful, fit
from slimgen.training.optimizers import Ema

__all__ = ["GanTraining", "original_guidance", "train_gan"]


def train_gan(job: Job, training: GanTraining) -> nn.Module:
    """Trains a generator in place with the losses of the job's task.

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
    phases, histories = job.task.phases(replace(training, after_generator=after))
    state: dict[str, Stateful] = {"generator": generator, "discriminator": training.discriminator}
    state |= {**histories, **training.guidance.modules, **training.state}
    if average is not None:
        state["ema"] = average
    hold = training.generator_steps if training.hold is None else training.hold
    draw, journal = training.draw or fixed(Genotype({})), job.journal(training.name)
    batches, steps = job.task.batches(job.data, training.schedule, hold=hold), training.steps
    fit(phases, draw, batches, steps, seed=job.recipe.seed, compute=job.compute, state=state, journal=journal)
    return (generator if average is None else average.module).eval()


def original_guidance(job: Job, *, truth: bool = True) -> Guidance:
    """What the task makes of the original: the truth where there are no pairs, and its further terms.

    Their features are of the original's discriminator unless the recipe names others. Without `truth` the
    original is not loaded for one: the caller has its own.
    """
    losses, teach, task = job.recipe.losses, job.inputs["teach"], from_images(job.task)
    shown = Guidance(truth=task.truth(teach)) if truth else Guidance()
    if not losses.perceptual or losses.perceptual_network != "discriminator":
        return task.guidance(None).plus(shown)
    discriminator = task.discriminator()
    discriminator.load_state_dict(load_weights(teach / DISCRIMINATOR))
    return task.guidance(discriminator).plus(shown)
