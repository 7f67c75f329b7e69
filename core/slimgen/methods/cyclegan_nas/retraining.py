"""Training a pair of generators anew, as often as asked, and keeping the best pair (CycleGANAS, section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from slimgen.data.batches import Pair, whole
from slimgen.methods.method import Trained
from slimgen.metrics.evaluator import Evaluator, goal
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.cyclegan_nas.networks import CellsGenerator
from slimgen.recipe import Goal
from slimgen.tasks import open_task
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.task import Job
from slimgen.training.distributed import first

SEEDS = 10
"""Seeds between two repeats: more than the networks of one training take."""


class Plan(NamedTuple):
    """How to build the networks of one direction.

    Attributes:
        generator: family and options.
        discriminator: likewise.
    """

    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any]


@dataclass
class Comparison:
    """What repeats are compared by: the recipe's objective, on the validation images of both directions.

    A metric of sets (fid, kid, fd:NAME) compares what a generator makes with the other set. A metric of single images
    has nothing to compare with, as there are no pairs, and the original is no truth for a network of another kind: it
    compares every image with what comes back of it after both generators. That says nothing of what lies between, so
    a metric of sets is the better choice wherever there is a feature network.

    Args:
        job: of the stage.
        objective: the metric, and how many images.
        features: feature networks by name.
    """

    job: Job
    objective: Goal
    features: Mapping[str, Mapping[str, object]]

    def __post_init__(self) -> None:
        val = whole(self.job.data.split("val"), self.objective.images)
        metric = self.objective.metric
        self.cyclic = isinstance(find(metric), PerImage)
        sides = (val.input, val.target), (val.target, val.input)
        compute, features = self.job.compute, dict(self.features)
        self.evaluators = [
            Evaluator(Pair(own, own if self.cyclic else other), [metric], compute=compute, features=features)
            for own, other in sides
        ]

    @torch.no_grad()
    def measure(self, forth: nn.Module, back: nn.Module) -> dict[str, float]:
        """The metric of a pair of generators in evaluation mode: its mean, `forth` and `back`."""
        metric, values = self.objective.metric, []
        for evaluator, one, other in zip(self.evaluators, (forth, back), (back, forth), strict=True):
            net = nn.Sequential(one, other) if self.cyclic else one
            values.append(evaluator.measure(net)[metric])
        return {metric: sum(values) / 2, "forth": values[0], "back": values[1]}

    def better(self, one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        """Whether one measurement is better than another."""
        a, b = one[self.objective.metric], other[self.objective.metric]
        return a < b if goal(self.objective.metric) == "min" else a > b


def train_anew(
    job: Job, name: str, plans: tuple[Plan, Plan], comparison: Comparison | None, repeats: int
) -> dict[str, Trained]:
    """Trains both directions from scratch, `repeats` times from different seeds.

    Args:
        job: of the stage.
        name: of the trainings, for their checkpoints and logs.
        plans: of the recipe's direction, and of the other.
        comparison: chooses among several; not asked where there is one.
        repeats: how many.

    Returns:
        The best, forth under this name and back under `NAME_back`. The facts of the first hold the quality of every
        training, whichever was kept: `repeat0_psnr` of both directions together, `repeat0_forth`, `repeat0_back`.
    """
    steps = job.recipe.finetune.steps(len(job.data.split("train")))
    best: tuple[Trained, Trained] | None = None
    qualities: list[dict[str, float]] = []
    top: dict[str, float] = {}
    for number in range(repeats):
        pair = _trained(_reseeded(job, number), f"{name}{number}" if repeats > 1 else name, plans, steps)
        if comparison is not None:
            qualities.append(first(partial(comparison.measure, *(job.compute.place(part.net) for part in pair))))
        if best is None or (comparison is not None and comparison.better(qualities[-1], top)):
            best, top = pair, qualities[-1] if qualities else {}
        job.tell("trainings", number + 1, repeats, qualities[-1] if qualities else {})
    assert best is not None
    facts = {f"repeat{number}_{key}": value for number, each in enumerate(qualities) for key, value in each.items()}
    return {name: replace(best[0], facts=facts), f"{name}_back": best[1]}


def _reseeded(job: Job, number: int) -> Job:
    """The same work from another seed: other weights, another order of images."""
    if number == 0:
        return job
    recipe = job.recipe.model_copy(update={"seed": job.recipe.seed + SEEDS * number})
    return replace(job, recipe=recipe, task=open_task(recipe, job.compute))


def _trained(job: Job, name: str, plans: tuple[Plan, Plan], steps: int) -> tuple[Trained, Trained]:
    schedule, seed, place = job.recipe.finetune, job.recipe.seed, job.compute.place
    forth, back = (
        Gan(
            place(build_generator(seed=seed + 2 * number, **plan.generator)),
            place(build_discriminator(seed=seed + 2 * number + 1, **plan.discriminator)),
        )
        for number, plan in enumerate(plans)
    )
    nets = train_cycle(job, CycleTraining(name, forth, back, schedule, steps, ema=schedule.ema))
    one, other = (_finished(net, plan.generator, steps) for net, plan in zip(nets, plans, strict=True))
    return one, other


def _finished(net: nn.Module, plan: Mapping[str, Any], steps: int) -> Trained:
    """A trained generator as it is used: without spectral norms, which training needs."""
    options = {name: value for name, value in plan.items() if name != "family"}
    if isinstance(net, CellsGenerator):
        net, options = net.folded(), {**options, "spectral": False}
    return Trained(net.eval(), plan["family"], options, steps)
