"""The original and its filters, and the distance of pruned generators from their targets."""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.files import DISCRIMINATOR
from slimgen.methods.checks import priced
from slimgen.methods.latency import UNTIMED, Timed
from slimgen.methods.pruning.distilling import imitating
from slimgen.methods.pruning.options import SearchOptions, SupernetOptions
from slimgen.methods.trials import Measured, Setup, Trials
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.metrics.evaluator import Evaluator, fitting_batch
from slimgen.nets.co_evolution.contributions import Grams, compensated, orders
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.weights import digest, load_weights
from slimgen.recipe import section
from slimgen.search import Genotype, Objective
from slimgen.tasks.task import Job
from slimgen.training.losses import feature_network

GRAMS = "contributions.safetensors"
DISTANCE = "distance"


@dataclass(frozen=True)
class Pruned:
    """An original, its filters, and what each filter contributes to the layers that read it.

    Attributes:
        net: the original in evaluation mode, with frozen weights.
        filters: its filters.
        grams: see `slimgen.nets.co_evolution.contributions.grams`; empty before they are measured.
        compensate: whether cut generators are compensated.
    """

    net: nn.Module
    filters: FilterSpace
    grams: Grams
    compensate: bool

    def cut(self, genotype: Genotype) -> nn.Module:
        """Return the pruned generator with inherited weights."""
        return compensated(self.filters, self.grams, genotype) if self.compensate else self.filters.cut(genotype)

    @cached_property
    def by_magnitude(self) -> dict[str, list[int]]:
        """The filters of each dimension, strongest first."""
        return self.filters.ranked()

    @cached_property
    def greedily(self) -> dict[str, list[int]]:
        """The filters of each dimension, those that are removed first last (ThiNet)."""
        return orders(self.filters, self.grams)


def opened(job: Job) -> Pruned:
    """Read the original from `teach`, and its filters' contributions from `supernet` where that is finished."""
    recipe = job.recipe
    net = job.task.original(job.inputs["teach"]).eval().requires_grad_(False)
    options = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    example = torch.zeros(1, recipe.channels.given, *recipe.size)
    filters = FilterSpace(net, example, family=recipe.teach.generator["family"], options=options)
    known = load_weights(job.inputs["supernet"] / GRAMS) if "supernet" in job.inputs else {}
    return Pruned(net, filters, known, section(SupernetOptions, recipe.supernet, "supernet").compensate)


def inputs(job: Job, count: int) -> list[Tensor]:
    """Return about `count` training inputs of the generator, batch by batch, as they are trained on."""
    batch = min(count, fitting_batch(job.recipe.size, job.compute.device))
    schedule = job.recipe.finetune.model_copy(update={"batch": batch, "updates": 1, "epochs": None})
    source = job.task.batches(job.data, schedule)["train"]
    return [source(step).input for step in range(-(-count // batch))]


def opponent(job: Job) -> nn.Module:
    """Return a copy of the original's discriminator where the recipe has an adversarial loss, or an empty module."""
    if not job.recipe.losses.adversarial:
        return nn.Module()
    discriminator = job.task.discriminator()
    discriminator.load_state_dict(load_weights(job.inputs["teach"] / DISCRIMINATOR))
    return discriminator


class Judged(Trials):
    """Trials of pruned generators: their distance from the targets on the validation images, and the recipe's metric.

    Args:
        job: the job of the search.
        pruned: the original.
        options: the criterion, and how candidates are trained before they are measured.
        clock: the latency table, where the budget limits milliseconds.
    """

    def __init__(self, job: Job, pruned: Pruned, options: SearchOptions, clock: Timed = UNTIMED) -> None:
        weights = digest(
            {**pruned.net.state_dict(), **{f"{GRAMS}/{name}": each for name, each in pruned.grams.items()}}
        )
        super().__init__(job, Objective(DISTANCE, "min"), weights, clock.margin)
        self.pruned, self.options, self.clock = pruned, options, clock
        found, compute = job.task.validation(job), job.compute
        self._batch = fitting_batch(found.input.shape[-2:], compute.device)
        self._inputs = compute.place(found.input)
        wanted = found.target
        if section(SupernetOptions, job.recipe.supernet, "supernet").targets == "original":
            wanted = self._outputs(compute.ready(copy.deepcopy(pruned.net))).cpu()
        self._seen = self._criterion(options.criterion)
        self._wanted = [self._seen(self._inputs[span], compute.place(wanted[span])) for span in self._spans()]
        metric, features = job.recipe.objective.metric, job.recipe.evaluate.features
        images = Pair(found.input, wanted.contiguous())
        self._evaluator = Evaluator(
            images, [metric], compute=compute, features=features, reference=job.out / "reference"
        )
        self._tuning = self._candidates_training() if options.tune else None

    def count(self, genotype: Genotype) -> Mapping[str, float]:
        """Return the costs of a pruned generator, with its predicted latency where that is limited."""
        recipe = self.job.recipe
        counted = priced(self.pruned.filters.cost(genotype, *recipe.size), recipe)
        return self.clock.priced(self.job, counted, genotype)

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Return the distance, the share of weights that is kept, and the recipe's metric."""
        started, net = time.monotonic(), self.pruned.cut(genotype)
        if self._tuning is not None:
            net = self._tuning.train(genotype, self.job.compute.place(net).requires_grad_(True)).requires_grad_(False)
        net = self.job.compute.ready(net)
        made, total, count = [], 0.0, 0
        with torch.inference_mode():
            for span, wanted in zip(self._spans(), self._wanted, strict=True):
                with self.job.compute.autocast():
                    fake = net(self.job.task.condition(self._inputs[span])).float()
                for one, two in zip(self._seen(self._inputs[span], fake), wanted, strict=True):
                    total += float((one - two).square().mean().double()) * len(fake) / len(wanted)
                made.append(fake)
                count += len(fake)
        distance = total / count if math.isfinite(total) else math.nan
        share = self.pruned.filters.share(genotype)
        quality = {DISTANCE: distance, "share": share, **self._evaluator.score(torch.cat(made))}
        return Measured(quality, seconds=time.monotonic() - started)

    def protocol(self, genotype: Genotype) -> str:
        """Return everything that a distance depends on besides the genotype and the original, as text."""
        losses = self.job.recipe.losses
        network = losses.perceptual_network if self.options.criterion == "features" else ""
        how = {"criterion": self.options.criterion, "network": network, **self.job.recipe.supernet}
        after = "" if self._tuning is None else f"; after {self._tuning.protocol}"
        return f"{self._evaluator.protocol}; {json.dumps(how, sort_keys=True)}{after}"

    def _spans(self) -> list[slice]:
        return [slice(start, start + self._batch) for start in range(0, len(self._inputs), self._batch)]

    @torch.no_grad()
    def _outputs(self, net: nn.Module) -> Tensor:
        made = []
        for span in self._spans():
            with self.job.compute.autocast():
                made.append(net(self.job.task.condition(self._inputs[span])).float())
        return torch.cat(made)

    def _criterion(self, name: str) -> Callable[[Tensor, Tensor], list[Tensor]]:
        """Return a function from inputs and images to what is compared: tensors of any shapes."""
        if name == "pixels":
            return lambda given, images: [images]
        job = self.job
        if name == "features":
            net: Any = job.compute.place(feature_network(job.recipe.losses.perceptual_network))

            def features(given: Tensor, images: Tensor) -> list[Tensor]:
                with torch.no_grad():
                    found = net(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images)
                return [found] if isinstance(found, Tensor) else list(found)

            return features
        discriminator = job.task.discriminator()
        discriminator.load_state_dict(load_weights(job.inputs["teach"] / DISCRIMINATOR))
        judge = job.compute.place(discriminator.eval().requires_grad_(False))

        def scores(given: Tensor, images: Tensor) -> list[Tensor]:
            with torch.no_grad():
                return [judge(job.task.shown(job.task.condition(given), images))]  # type: ignore[attr-defined]

        return scores

    def _candidates_training(self) -> Tuning:
        job = self.job.learning(self.job.recipe.losses.model_copy(update={"adversarial": 0.0}))
        schedule = job.recipe.finetune.model_copy(update={"updates": self.options.tune, "epochs": None, "decay": 1.0})

        def oppose(genotype: Genotype, net: nn.Module) -> Opponent:
            return Opponent(nn.Module(), imitating(job, self.pruned.filters, genotype, net))

        return Tuning(job, "tune", schedule, self.options.tune, oppose)
