"""Training both directions of two sets of images together: CycleGAN (Zhu et al. 2017)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.errors import RecipeError
from slimgen.nets.gates import Arch
from slimgen.recipe import Losses, Schedule
from slimgen.search import Genotype
from slimgen.tasks.guidance import After, Generate, Judge, judging, plain
from slimgen.tasks.job import Job
from slimgen.tasks.translation import adam
from slimgen.training.draws import fixed
from slimgen.training.ema import Ema
from slimgen.training.fit import Memo, Phase, fit
from slimgen.training.losses import adversarial, reconstruction
from slimgen.training.pool import ImagePool
from slimgen.training.schedules import constant_then_linear

BACK = "back_"
"""Begins the names of what belongs to the other direction, from targets to inputs."""
WAYS = ("", BACK)


class Gan(NamedTuple):
    """A generator, and the discriminator of its images."""

    generator: nn.Module
    discriminator: nn.Module


class Way(NamedTuple):
    """One direction in training.

    Attributes:
        generate: its generator.
        judge: tells that generator's images from real ones.
        pool: what the judge was shown before.
        held: its generator does not learn, so it has no losses of its own; cycles go through it all the same.
    """

    generate: Generate
    judge: Judge
    pool: ImagePool
    held: bool = False


def train_cycle(
    job: Job, name: str, forth: Gan, back: Gan, schedule: Schedule, steps: int, *, ema: float | None = None
) -> tuple[nn.Module, nn.Module]:
    """Trains both directions in place.

    Args:
        job: data, device and journal.
        name: of this training, for its checkpoints and log.
        forth: from inputs to targets.
        back: from targets to inputs.
        schedule: batch, rates and decay.
        steps: updates of the generators.
        ema: decay of averages of the generators' weights.

    Returns:
        The generators, or their averages if there are any, in evaluation mode.

    Raises:
        RecipeError: the adversarial loss is switched off.
    """
    recipe, both = job.recipe, (forth, back)
    if not recipe.losses.adversarial:
        rule = "CycleGAN learns from its discriminators alone what a target looks like"
        raise RecipeError(rule, "losses.adversarial 0", "give it a weight, or import the original")
    pool = job.task.pool()
    pools = pool, ImagePool(pool.size, recipe.seed + 1)  # swapped independently
    averages = [Ema(gan.generator, ema) for gan in both] if ema is not None else []

    def after(phase: Phase, archs: object) -> None:
        for average in averages:
            average.update()

    state: dict[str, Any] = {f"{way}ema": average for way, average in zip(WAYS, averages, strict=False)}
    for way, gan, history in zip(WAYS, both, pools, strict=True):
        gan.generator.train()
        state |= {f"{way}generator": gan.generator, f"{way}discriminator": gan.discriminator, f"{way}pool": history}
    ways = [Way(plain(one), judging(two), history) for (one, two), history in zip(both, pools, strict=True)]
    phases = cycle_phases(
        ways[0],
        ways[1],
        [{"params": [weight for gan in both for weight in gan.generator.parameters()]}],
        [{"params": [weight for gan in both for weight in gan.discriminator.parameters()]}],
        recipe.losses,
        schedule,
        steps,
        after_generators=after,
    )
    batches, journal = job.task.batches(job.data, schedule), job.journal(name)
    draw = fixed(Genotype({}))
    fit(phases, draw, batches, steps, seed=recipe.seed, compute=job.compute, state=state, journal=journal)
    trained = [average.module for average in averages] or [gan.generator for gan in both]
    return trained[0].eval(), trained[1].eval()


def cycle_phases(
    forth: Way,
    back: Way,
    generator_groups: Sequence[Mapping[str, Any]],
    discriminator_groups: Sequence[Mapping[str, Any]],
    losses: Losses,
    schedule: Schedule,
    steps: int,
    *,
    after_generators: After | None = None,
) -> list[Phase]:
    """CycleGAN's phases: both generators in one step, then both discriminators in another.

    Args:
        forth: from inputs to targets.
        back: from targets to inputs.
        generator_groups: parameter groups of the optimizer of both generators.
        discriminator_groups: those of both discriminators.
        losses: which adversarial loss, and the weights.
        schedule: rates and betas.
        steps: length of the training, for the decay.
        after_generators: runs after each step of the generators.
    """
    gan, identity = adversarial(losses.gan), losses.identity * losses.cycle

    def generators(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        made = forth.generate(batch.input, arch, memo).float(), back.generate(batch.target, arch, memo).float()
        memo["made"] = [images.detach() for images in made]
        terms: dict[str, Tensor] = {}
        # Of each direction: what it translates, what comes of it, and what its outcome should look like.
        for name, way, other, real, fake, like in (
            ("", forth, back, batch.input, made[0], batch.target),
            (BACK, back, forth, batch.target, made[1], batch.input),
        ):
            if not way.held:
                terms[f"{name}adversarial"] = losses.adversarial * gan.generator(way.judge(fake, arch).float())
            again = other.generate(fake, arch, memo).float()
            terms[f"{name}cycle"] = losses.cycle * reconstruction(again, real)
            if identity and not way.held:
                same = way.generate(like, arch, memo).float()
                terms[f"{name}identity"] = identity * reconstruction(same, like)
        return terms

    def discriminators(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, way, real, fake in zip(WAYS, (forth, back), (batch.target, batch.input), memo["made"], strict=True):
            scores = way.judge(torch.cat([real, way.pool.query(fake, memo["step"])]), arch).float()
            terms[f"{name}loss"] = gan.discriminator(scores[: len(real)], scores[len(real) :])
        return terms

    rate = constant_then_linear(steps, schedule.decay)
    movers = adam(generator_groups, schedule.rate, schedule)
    judges = adam(discriminator_groups, schedule.discriminator_rate or schedule.rate, schedule)
    return [
        Phase("generator", generators, movers, rate, after=after_generators),
        Phase("discriminator", discriminators, judges, rate),
    ]
