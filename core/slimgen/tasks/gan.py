"""Training one generator of a fixed architecture against one discriminator."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.nets.gates import Arch
from slimgen.nets.weights import load_weights
from slimgen.recipe import Schedule
from slimgen.search import Genotype
from slimgen.tasks.job import Job
from slimgen.tasks.paired import plain
from slimgen.training.draws import fixed
from slimgen.training.ema import Ema
from slimgen.training.fit import Phase, fit


def train_gan(
    job: Job,
    name: str,
    generator: nn.Module,
    discriminator: nn.Module,
    schedule: Schedule,
    steps: int,
    *,
    judge: Callable[[Tensor, Arch], Tensor] | None = None,
    perceptual: Callable[[Pair, Tensor], Tensor] | None = None,
    generator_steps: int = 1,
    ema: float | None = None,
) -> nn.Module:
    """Trains a generator in place with the losses of the job's task.

    Args:
        job: data, device and journal.
        name: of this training, for its checkpoints and log.
        generator: trained in place.
        discriminator: likewise.
        schedule: batch, rates and decay.
        steps: generator updates.
        judge: how the discriminator is asked; None calls it with the images alone.
        perceptual: the perceptual term.
        generator_steps: generator updates for each of the discriminator.
        ema: decay of an average of the generator's weights.

    Returns:
        The trained generator, or its average if there is one, in evaluation mode.
    """
    average = Ema(generator, ema) if ema is not None else None

    def after(phase: Phase, archs: object) -> None:
        if average is not None:
            average.update()

    state: dict[str, Any] = {"generator": generator, "discriminator": discriminator}
    if average is not None:
        state["ema"] = average
    generator.train()
    phases = job.task.phases(
        plain(generator),
        judge or plain(discriminator),
        [{"params": list(generator.parameters())}],
        [{"params": list(discriminator.parameters())}],
        schedule,
        steps,
        perceptual=perceptual,
        generator_steps=generator_steps,
        after_generator=after,
    )
    # Algorithm 4 of CF-GAN takes one batch for its k generator steps and the discriminator step after them.
    batches = job.task.batches(job.data, schedule, hold=generator_steps)
    fit(
        phases,
        fixed(Genotype({})),
        batches,
        steps,
        seed=job.recipe.seed,
        compute=job.compute,
        state=state,
        journal=job.journal(name),
    )
    return (generator if average is None else average.module).eval()


def perceptual_term(job: Job) -> Callable[[Pair, Tensor], Tensor] | None:
    """The recipe's perceptual term, in the features of the original's discriminator unless it names others."""
    losses = job.recipe.losses
    if not losses.perceptual or losses.perceptual_network != "discriminator":
        return job.task.perceptual(None)
    discriminator = job.task.discriminator()
    discriminator.load_state_dict(load_weights(job.inputs["teach"] / "discriminator.safetensors"))
    return job.task.perceptual(discriminator)
