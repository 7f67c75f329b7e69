"""Comparison in one direction: images, generators, and the pictures that the report shows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.data.pictures import PicturePair, batches_of
from slimgen.device import Compute
from slimgen.methods.method import REVERSE
from slimgen.metrics.evaluator import WORST, Evaluator, Measured, Network, fitting_batch
from slimgen.metrics.kinds import Goal, OfSegmentations, PerImage
from slimgen.metrics.registry import find
from slimgen.report.gallery import Gallery
from slimgen.report.words import arrow, title
from slimgen.stages.generators import finished
from slimgen.stages.work import Work
from slimgen.tasks.task import Task


@dataclass(frozen=True)
class Comparison:
    """Generators of one direction, their inputs, and the real images that they are compared with.

    Attributes:
        names: names of the inputs.
        paired: whether each input has its own target.
        columns: pictures of the first inputs by name: the inputs, their targets, and the generated ones.
        groups: number of inputs in each named set of test images, one set after the other; empty for a single set.
        networks: the measured generators, by name without the direction's suffix.
        scores: values, float64 (N,), by generator and metric of single images.
    """

    images: Pair | PicturePair
    names: tuple[str, ...]
    paired: bool
    evaluator: Evaluator
    columns: dict[str, Tensor]
    groups: Mapping[str, int] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    scores: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def measure(self, name: str, task: Task, net: nn.Module, count: int) -> dict[str, float]:
        """Measure a generator, and keep its first `count` pictures and the scores of each."""
        kept: list[Tensor] = []
        measured = self.evaluator.measured(keeping(task, net, count, kept))
        if kept:
            self.columns[name] = task.gathered(kept)
        self.networks[name] = keeping(task, net, 0, [])
        self.scores[name] = measured.per_image
        return self.values(measured)

    def values(self, measured: Measured) -> dict[str, float]:
        """Return what was measured, with the mean over each named set of every metric of single images."""
        return by_group(measured, self.groups)

    @property
    def goals(self) -> dict[str, Goal]:
        """Which values are better, for each metric and each metric of a named set."""
        goals, single = self.evaluator.goals, [m for m in self.evaluator.metrics if isinstance(find(m), PerImage)]
        return goals | {in_group(metric, group): goals[metric] for group in self.groups for metric in single}


def by_group(measured: Measured, groups: Mapping[str, int]) -> dict[str, float]:
    """Return what was measured, with the mean over each named set of every metric of single images."""
    values, first = dict(measured.values), 0
    for group, count in groups.items():
        for metric, rows in measured.per_image.items():
            finite = math.isfinite(measured.values[metric])
            values[in_group(metric, group)] = (
                float(rows[first : first + count].mean()) if finite else measured.values[metric]
            )
        first += count
    return values


def in_group(metric: str, group: str) -> str:
    """Return the name of a metric's mean over a named set of test images."""
    return f"{metric}/{group}"


def comparison(work: Work, suffix: str = "", reference: Path | None = None) -> Comparison:
    """Return the comparison of the recipe's direction, or, with `REVERSE`, of the other one.

    The inputs of the other direction are not label maps, so it has no segmentation metrics. `reference` is the folder
    in which statistics of the real images are cached; by default they are kept in memory only.
    """
    task, data, options = work.job.task, work.job.data, work.recipe.evaluate
    split = data.split("test")
    images, names = task.targets(task.test(data), work.inputs["teach"], split.paired), split.names
    if suffix and isinstance(images, Pair):
        images, names = Pair(images.target, images.input), split.target_names or split.names
    columns = task.columns(images, options.pictures, split.paired)
    metrics = [metric for metric in options.metrics if not suffix or not isinstance(find(metric), OfSegmentations)]
    evaluator = Evaluator(
        images,
        metrics,
        compute=work.compute,
        batch=fitting_batch(images.target.shape[-2:], work.compute.device) if isinstance(images, Pair) else None,
        features=options.features,
        reference=reference,
    )
    return Comparison(images, names, split.paired, evaluator, columns, groups_within(split.groups, len(images.input)))


def groups_within(groups: Mapping[str, int], count: int) -> dict[str, int]:
    """Return the number of images in each named set, if only the first `count` of all are measured."""
    found = {}
    for name, size in groups.items():
        if count > 0:
            found[name] = min(size, count)
        count -= size
    return found


def keeping(task: Task, net: nn.Module, count: int, kept: list[Tensor]) -> Network:
    """Return a generator as a function of prepared inputs, which adds its first images to a list.

    They are float32 (n, C, H, W) on the CPU, at most `count` images in total.
    """

    def generate(inputs: Tensor) -> Tensor:
        images = task.generate(net, inputs)
        missing = count - sum(map(len, kept))
        if missing > 0:
            kept.append(images[:missing].float().cpu())
        return images

    return generate


def galleries(task: Task, compared: Comparison, compute: Compute, metric: str, suffix: str = "") -> list[Gallery]:
    """Return the pictures of the report: the first test images, and the ones with the found generator's worst values.

    The worst are chosen by `metric`, or, if that was not measured, by the first metric of single images. Without one,
    or if there are no further images, or no found generator in this direction, only the first are shown.
    """
    direction = ", in the reverse direction" if suffix == REVERSE else ""
    count = len(next(iter(compared.columns.values())))
    measured = next(iter(compared.scores.values()))
    metric = metric if metric in measured else next(iter(measured), "")
    goal = compared.evaluator.goals.get(metric)
    words = f"{title(metric)} {arrow(goal)}" if metric else ""

    def gallery(about: str, columns: Mapping[str, Tensor], chosen: list[int]) -> Gallery:
        scores = {name: each[metric][chosen].tolist() for name, each in compared.scores.items()} if metric else {}
        return Gallery(f"{about}{direction}", columns, [compared.names[index] for index in chosen], words, scores)

    shown = [gallery("The first test images", compared.columns, list(range(count)))]
    found = finished(compared.scores)
    if goal is None or found is None or len(compared.images.input) <= count:
        return shown
    values = compared.scores[found][metric].nan_to_num(nan=WORST[goal])
    worst = values.argsort(descending=goal == "min", stable=True)[: max(1, count // 2)]
    images = compared.images.chosen(worst)
    columns = task.columns(images, len(worst), compared.paired)
    for name, net in compared.networks.items():
        with torch.inference_mode(), compute.autocast():
            made = [net(compute.place(inputs)).float().cpu() for inputs in batches_of(images.input, len(worst))]
        columns[name] = task.gathered(made)
    return [*shown, gallery(f"The test images with the worst {title(metric)} of {found}", columns, worst.tolist())]
