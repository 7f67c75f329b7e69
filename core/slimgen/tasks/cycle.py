"""Training of both directions between two sets of images: CycleGAN (Zhu et al. 2017)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.errors import RecipeError
from slimgen.nets.supernet import Arch
from slimgen.recipe import LossesSection, Schedule
from slimgen.search import Genotype
from slimgen.tasks.guidance import REVERSE, After, Gan, Groups
from slimgen.tasks.task import Job, both_ways
from slimgen.tasks.translation import adam
from slimgen.training.draws import fixed
from slimgen.training.early_stopping import EarlyStopping
from slimgen.training.fit import Memo, Phase, fit
from slimgen.training.losses import adversarial, reconstruction
from slimgen.training.optimizers import Ema, constant_then_linear
from slimgen.training.pool import ImagePool

DIRECTIONS = ("", REVERSE)

__all__ = ["REVERSE", "CycleTraining", "Direction", "Gan", "cycle_phases", "train_cycle"]


@dataclass(frozen=True)
class CycleTraining:
    """One training of both directions in place, from inputs to targets and in reverse; fields as in `GanTraining`."""

    name: str
    forward: Gan
    reverse: Gan
    schedule: Schedule
    steps: int
    ema: float | None = None
    stopping: EarlyStopping | None = None
    until: int | None = None


class Direction(NamedTuple):
    """One direction in training.

    Attributes:
        generator: called with images and, in a supernet of both directions, with its part of the architecture.
        discriminator: tells the generator's images from real ones; called likewise.
        pool: earlier generated images for the discriminator.
        held: whether its generator is frozen; it then has no losses of its own, but cycles still pass through it.
        parts: function from an architecture to the parts for generator and discriminator.
    """

    generator: Callable[..., Tensor]
    discriminator: Callable[..., Tensor]
    pool: ImagePool
    held: bool = False
    parts: Callable[[Arch], tuple[Sequence[Arch], Sequence[Arch]]] = lambda arch: ((), ())


def train_cycle(job: Job, training: CycleTraining) -> tuple[nn.Module, nn.Module]:
    """Train both directions in place.

    Returns:
        The generators, or their averages if there are any, in evaluation mode.

    Raises:
        RecipeError: the adversarial loss is switched off.
    """
    recipe, both, schedule = job.recipe, (training.forward, training.reverse), training.schedule
    if not recipe.losses.adversarial:
        rule = "losses.adversarial must be above 0 for CycleGAN, which learns its targets only from discriminators"
        raise RecipeError(rule, "0", "give it a weight, or import the original")
    pools = [both_ways(job.task).pool(number) for number in range(2)]  # independent of each other
    averages = [Ema(gan.generator, training.ema) for gan in both] if training.ema is not None else []

    def after(phase: Phase, archs: object) -> None:
        for average in averages:
            average.update()

    state: dict[str, Any] = {f"{name}ema": average for name, average in zip(DIRECTIONS, averages, strict=False)}
    for name, gan, history in zip(DIRECTIONS, both, pools, strict=True):
        gan.generator.train()
        state |= {f"{name}generator": gan.generator, f"{name}discriminator": gan.discriminator, f"{name}pool": history}
    forward, reverse = (Direction(*gan, history) for gan, history in zip(both, pools, strict=True))
    phases = cycle_phases(
        (forward, reverse),
        [{"params": [weight for gan in both for weight in gan.generator.parameters()]}],
        [{"params": [weight for gan in both for weight in gan.discriminator.parameters()]}],
        recipe.losses,
        schedule,
        training.steps,
        after_generators=after,
    )
    trained = [average.module for average in averages] or [gan.generator for gan in both]
    if (stopping := training.stopping) is not None:
        judges = {f"{name}discriminator": gan.discriminator for name, gan in zip(DIRECTIONS, both, strict=True)}
        stopping.watch({**judges, **{f"{name}generator": net for name, net in zip(DIRECTIONS, trained, strict=True)}})
    batches, journal = job.task.batches(job.data, schedule), job.journal(training.name)
    how: dict[str, Any] = {"seed": recipe.seed, "compute": job.compute, "stopping": stopping, "until": training.until}
    fit(phases, fixed(Genotype({})), batches, training.steps, state=state, journal=journal, **how)
    return trained[0].eval(), trained[1].eval()


def cycle_phases(
    directions: tuple[Direction, Direction],
    generator_groups: Groups,
    discriminator_groups: Groups,
    losses: LossesSection,
    schedule: Schedule,
    steps: int,
    *,
    after_generators: After | None = None,
) -> list[Phase]:
    """Return CycleGAN's phases: one update of both generators, then one of both discriminators.

    The directions are forward (inputs to targets) and reverse. Each optimizer has the parameter groups of both networks
    of its kind; its learning rate decays over the steps of the training.
    """
    gan, identity = adversarial(losses.gan), losses.identity * losses.cycle
    forward, reverse = directions

    def generators(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        parts = [direction.parts(arch) for direction in directions]
        made = [one.generator(batch[number], *parts[number][0]).float() for number, one in enumerate(directions)]
        memo.fakes = [images.detach() for images in made]
        terms: dict[str, Tensor] = {}
        # For each direction: its real inputs, its outputs, and real images of its target set.
        for number, (name, this, other) in enumerate((("", forward, reverse), (REVERSE, reverse, forward))):
            real, like, fake, back = batch[number], batch[1 - number], made[number], parts[1 - number][0]
            own, judging = parts[number]
            if not this.held:
                scores = this.discriminator(fake, *judging).float()
                passed = gan.passing(scores, partial(this.discriminator, like, *judging))
                terms[f"{name}adversarial"] = losses.adversarial * passed
            again = other.generator(fake, *back).float()
            terms[f"{name}cycle"] = losses.cycle * reconstruction(again, real)
            if identity and not this.held:
                same = this.generator(like, *own).float()
                terms[f"{name}identity"] = identity * reconstruction(same, like)
        return terms

    def discriminators(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, this, real, fake in zip(DIRECTIONS, directions, reversed(batch), memo.fakes, strict=True):
            shown = torch.cat([real, this.pool.query(fake, memo.step)])
            scores = this.discriminator(shown, *this.parts(arch)[1]).float()
            terms[f"{name}loss"] = gan.discriminator(scores[: len(real)], scores[len(real) :])
        return terms

    rate = constant_then_linear(steps, schedule.decay)
    generator_adam = adam(generator_groups, schedule.rate, schedule)
    adversary_adam = adam(discriminator_groups, schedule.discriminator_rate or schedule.rate, schedule)
    return [
        Phase("generator", generators, generator_adam, rate, after=after_generators),
        Phase("discriminator", discriminators, adversary_adam, rate),
    ]
