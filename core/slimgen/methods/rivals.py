"""The generators that a search must beat: of equal cost, trained from scratch with as much effort."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from slimgen.cost.formula import Cost
from slimgen.methods.checks import NARROWED
from slimgen.methods.method import REVERSE, Trained
from slimgen.nets import build_generator, narrowed
from slimgen.recipe import FinetuneSection, Recipe
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job


def narrowed_original(recipe: Recipe, kind: str, amount: float) -> dict[str, Any]:
    """The original's family, and its options at the smallest width that costs so much: rounding favours the rival.

    Args:
        recipe: names the original, the image's size and how MACs are counted.
        kind: of cost: `macs` or `params`.
        amount: of it, at least.
    """
    options, size = dict(recipe.teach.generator), recipe.size
    family = options.pop("family")

    def amount_of(cost: Cost) -> int:
        return cost.as_dict(recipe.budget.convention)[kind]

    return {"family": family, **narrowed(family, options, size, size, amount_of, amount)}


def finetuned(
    job: Job, name: str, gan: Gan, steps: int, schedule: FinetuneSection | None = None, **how: Any
) -> nn.Module:
    """Trains a generator as the section `finetune` says: `found`, or a rival with a schedule of its own.

    Args:
        job: of the stage.
        name: of the training.
        gan: trained in place.
        steps: updates of the generator.
        schedule: where it is not the recipe's.
        how: what else a `GanTraining` is given.
    """
    schedule = schedule or job.recipe.finetune
    every, ema = schedule.generator_steps, schedule.ema
    return train_gan(job, GanTraining(name, *gan, schedule, steps, generator_steps=every, ema=ema, **how))


def train_rivals(job: Job, costs: Sequence[Cost], updates: int) -> dict[str, Trained]:
    """Trains the original's family, narrowed to equal MACs, with the task's losses, where the recipe asks for it.

    Args:
        job: of the stage that fine-tunes.
        costs: of the found generator; of two sets of images, whose directions are trained together as a CycleGAN, of
            the generators of either direction.
        updates: generator updates: as many as all trainings that led to the found generator.

    Returns:
        `narrowed`, and `narrowed_reverse` of the other direction; or nothing.
    """
    recipe, task, tuning = job.recipe, job.task, job.recipe.finetune
    if NARROWED not in tuning.rivals:
        return {}
    plans = [narrowed_original(recipe, "macs", cost.macs(recipe.budget.convention)) for cost in costs]
    gans = [
        Gan(
            job.compute.place(build_generator(seed=recipe.seed + 2 * number, **plan)),
            task.discriminator(2 * number + 1),
        )
        for number, plan in enumerate(plans)
    ]
    # Stretched: the same batch, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    nets: list[nn.Module] = []
    if len(gans) == 1:
        nets.append(finetuned(job, NARROWED, gans[0], updates, schedule, guidance=original_guidance(job)))
    else:
        nets.extend(train_cycle(job, CycleTraining(NARROWED, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    sides = zip(("", REVERSE), nets, plans, strict=False)
    return {f"{NARROWED}{side}": Trained.of(net, plan, updates) for side, net, plan in sides}
