"""Training one generator, or one supernet, against one discriminator."""

from pathlib import Path
from typing import Any

from torch import nn

from slimgen.errors import CheckpointError
from slimgen.nets.weights import import_generator, load_weights
from slimgen.recipe import Schedule
from slimgen.search import Genotype
from slimgen.tasks.guidance import Generate, Guidance, Judge, plain
from slimgen.tasks.job import Job
from slimgen.tasks.translation import Translation
from slimgen.training.draws import Draw, fixed
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
    generate: Generate | None = None,
    judge: Judge | None = None,
    guidance: Guidance | None = None,
    draw: Draw | None = None,
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
        generate: how the generator is asked; None calls it with the images alone.
        judge: how the discriminator is asked; None asks it as the task does.
        guidance: further terms of the generator's loss.
        draw: the architectures of each step, where the generator is a supernet.
        generator_steps: generator updates for each of the discriminator.
        ema: decay of an average of the generator's weights.

    Returns:
        The trained generator, or its average if there is one, in evaluation mode.
    """
    average = Ema(generator, ema) if ema is not None else None

    def after(phase: Phase, archs: object) -> None:
        if average is not None:
            average.update()

    rival, besides = job.task.rivalry(discriminator)
    guidance, pool = (guidance or Guidance()).plus(besides), job.task.pool()
    state: dict[str, Any] = {
        "generator": generator,
        "discriminator": discriminator,
        "pool": pool,
        **guidance.modules,
    }
    if average is not None:
        state["ema"] = average
    generator.train()
    phases = job.task.phases(
        generate or plain(generator),
        judge or rival,
        [{"params": list(generator.parameters())}],
        [{"params": list(discriminator.parameters())}],
        schedule,
        steps,
        pool=pool,
        guidance=guidance,
        generator_steps=generator_steps,
        after_generator=after,
    )
    # Algorithm 4 of CF-GAN takes one batch for its k generator steps and the discriminator step after them.
    batches = job.task.batches(job.data, schedule, hold=generator_steps)
    fit(
        phases,
        draw or fixed(Genotype({})),
        batches,
        steps,
        seed=job.recipe.seed,
        compute=job.compute,
        state=state,
        journal=job.journal(name),
    )
    return (generator if average is None else average.module).eval()


def original_guidance(job: Job, *, truth: bool = True) -> Guidance:
    """What the task makes of the original: the truth where there are no pairs, and its further terms.

    Their features are of the original's discriminator unless the recipe names others.

    Args:
        job: of the stage.
        truth: False where the caller has a truth of its own, so that the original is not loaded for one.
    """
    losses, teach = job.recipe.losses, job.inputs["teach"]
    shown = Guidance(truth=job.task.truth(teach)) if truth else Guidance()
    if not losses.perceptual or losses.perceptual_network != "discriminator":
        return job.task.guidance(None).plus(shown)
    discriminator = job.task.discriminator()
    discriminator.load_state_dict(load_weights(teach / "discriminator.safetensors"))
    return job.task.guidance(discriminator).plus(shown)


def originals(task: Translation) -> tuple[nn.Module, nn.Module]:
    """The original generator and discriminator, with the weights of the checkpoints that the recipe names."""
    generator, discriminator, options = task.generator(), task.discriminator(), task.recipe.teach
    if options.discriminator_checkpoint is not None:
        imported(discriminator, options.discriminator_checkpoint)
    if options.generator_checkpoint is not None:
        imported(generator, options.generator_checkpoint)
    return generator, discriminator


def imported(net: nn.Module, path: str) -> None:
    """Loads the weights of a network trained elsewhere, junyanz's naming included.

    Raises:
        CheckpointError: no such file, or the weights do not fit.
    """
    if not Path(path).is_file():
        raise CheckpointError("teach names a checkpoint that exists", path)
    import_generator(net, load_weights(path))
