"""Repeated training of a pair of generators from scratch; the best pair is kept (CycleGANAS, section 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from slimgen.data.batches import Pair, whole
from slimgen.methods.method import REVERSE, Trained
from slimgen.methods.repeats import best_of
from slimgen.methods.rivals import Plan, train_anew
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.cyclegan_nas.networks import CellsGenerator
from slimgen.search import Objective
from slimgen.tasks.task import Job
from slimgen.training.distributed import first


class Comparison:
    """A comparison of repeats by the recipe's objective, on the validation images of both directions.

    A metric of sets (fid, kid, fd:NAME) compares a generator's outputs with the other set. A metric of single images
    has no target, since there are no pairs, and the original's outputs are no target for a network of another kind. It
    therefore compares each image with its reconstruction by both generators, which says nothing about the image in
    between, so a metric of sets is the better choice wherever there is a feature network.
    """

    def __init__(self, job: Job) -> None:
        metric, compute, features = job.recipe.objective.metric, job.compute, job.recipe.evaluate.features
        val = whole(job.data.split("val"), job.recipe.objective.images)
        self.objective = Objective(metric, find(metric).goal)
        self.cyclic = isinstance(find(metric), PerImage)
        self.evaluators = [
            Evaluator(Pair(given, given if self.cyclic else other), [metric], compute=compute, features=features)
            for given, other in ((val.input, val.target), (val.target, val.input))
        ]

    @torch.no_grad()
    def measure(self, forward: nn.Module, reverse: nn.Module) -> dict[str, float]:
        """Return the metric of a pair of generators in evaluation mode: the mean, `forward` and `reverse`."""
        metric, values = self.objective.metric, []
        for evaluator, one, other in zip(self.evaluators, (forward, reverse), (reverse, forward), strict=True):
            net = nn.Sequential(one, other) if self.cyclic else one
            values.append(evaluator.measure(net)[metric])
        return {metric: sum(values) / 2, "forward": values[0], "reverse": values[1]}


def train_repeatedly(
    job: Job,
    name: str,
    plans: Sequence[Plan],
    comparison: Comparison | None,
    repeats: int,
    known: Sequence[nn.Module] | None = None,
) -> dict[str, Trained]:
    """Train both directions from scratch, `repeats` times from different seeds; the comparison chooses the best.

    `known` are the generators of the first training, if they are trained already.

    Returns:
        The best pair: the forward direction as `NAME`, the reverse one as `NAME_reverse`. The facts of the first hold
        the quality of every training: `repeat0_psnr` of both directions together, `repeat0_forward`, `repeat0_reverse`.
    """
    steps = job.recipe.finetune.steps(len(job.data.split("train")))

    def train(within: Job, called: str, number: int) -> list[Trained]:
        nets = known if known is not None and not number else train_anew(within, called, plans, steps)
        return [finished(net, plan.generator, steps) for net, plan in zip(nets, plans, strict=True)]

    def measure(pair: list[Trained]) -> dict[str, float]:
        assert comparison is not None
        return first(partial(comparison.measure, *(job.compute.place(part.net) for part in pair)))

    chosen_by = (None, None) if comparison is None else (comparison.objective, measure)
    best, facts = best_of(job, name, repeats, train, *chosen_by)
    return {name: replace(best[0], facts=facts), f"{name}{REVERSE}": best[1]}


def finished(net: nn.Module, plan: Mapping[str, Any], steps: int) -> Trained:
    """Return a trained generator ready for use: without spectral norms, which only training needs."""
    if isinstance(net, CellsGenerator):
        net, plan = net.folded(), {**plan, "spectral": False}
    return Trained.of(net, plan, steps)
