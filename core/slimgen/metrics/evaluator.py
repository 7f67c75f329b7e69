"""The evaluator, which measures generators by a fixed, written protocol: one number per metric."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from slimgen.data.pictures import Images, Pictures, batches_of, spoken
from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.kinds import Goal, Networks, PerImage
from slimgen.metrics.registry import find
from slimgen.metrics.scorers import Compared, ImageScorer, open_scorers

Network = Callable[[Tensor], Tensor]
WORST = {"min": math.inf, "max": -math.inf}


class Measured(NamedTuple):
    """What was measured of a generator.

    Attributes:
        values: one for each metric, in the order asked for.
        per_image: float64 (N,) on the CPU, for each metric of single images.
    """

    values: dict[str, float]
    per_image: dict[str, Tensor]


class Raced(NamedTuple):
    """The result of a race.

    Attributes:
        values: the metric's value. For a candidate that was dropped it is an estimate: the rival's mean plus the mean
            difference over the images that both have seen. The variation between images cancels in the difference,
            and the estimate stays worse than the rival's value.
        per_image: float64 (n,), the values of the first n images, which were evaluated.
        complete: whether all images were evaluated, so that the value equals that of `Evaluator.measure`.
    """

    values: dict[str, float]
    per_image: Tensor
    complete: bool


def hopeless(values: Tensor, rival: Tensor, goal: Goal, z: float) -> bool:
    """Return whether a candidate is worse than its rival by more than chance: mean(d) + z std(d) / sqrt(n) < 0.

    d are the paired differences image by image, float64 (n,) with n >= 2. Pairing is much sharper than comparing means,
    as most of the spread is between images. The test is repeated as images come in, so z, the number of standard
    errors, must be larger than for a single test.
    """
    gains = values - rival if goal == "max" else rival - values
    error = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() + z * error < 0)


class Evaluator:
    """An evaluation on fixed images, which measures one generator after the other.

    Per-image metrics are averaged over the images. A generator whose output is not finite gets the worst possible value
    (infinity in the wrong direction), so that a search can go on. The network's mode is not changed: put it in
    evaluation mode first.

    Args:
        images: inputs and targets, float32 (N, C, H, W) in [-1, 1], or pictures of unequal sizes, which are read and
            measured one at a time. The targets are the real side of every metric, but the truth of segmentation scores
            is the inputs, which are label maps. If all metrics are of sets of images, targets may be uint8, which takes
            a quarter of the memory.
        metrics: names; see `slimgen.metrics.registry`.
        compute: device and type of the generator's forward passes. Feature networks run in float32.
        batch: images per forward pass; None chooses by `fitting_batch`.
        features: feature networks by name, as in the recipe; see `slimgen.metrics.features.open_features`.
        reference: a folder in which to cache the real side's statistics; None keeps them in memory only.

    Raises:
        RecipeError: a metric is unknown, or its feature network is not named.
        DataError: there are no images, or per-image metrics have different numbers of inputs and targets.
        WeightsError: the file of a feature network is missing or damaged.
    """

    def __init__(
        self,
        images: tuple[Images, Images],
        metrics: Sequence[str],
        *,
        compute: Compute,
        batch: int | None = None,
        features: Networks | None = None,
        reference: Path | None = None,
    ) -> None:
        inputs, targets = images
        self.metrics = tuple(dict.fromkeys(metrics))
        kinds = {metric: find(metric) for metric in self.metrics}
        self.goals: dict[str, Goal] = {metric: kind.goal for metric, kind in kinds.items()}
        counts = f"{len(inputs)} inputs and {len(targets)} targets"
        if not len(inputs) or not len(targets):
            raise DataError("an evaluation needs at least one input and one target", counts)
        if len(inputs) != len(targets) and any(isinstance(kind, PerImage) for kind in kinds.values()):
            hint = "use fid, kid or is, or one of them with a user-defined network"
            raise DataError("per-image metrics need one target for every input", counts, hint)
        self.compute = compute
        if isinstance(inputs, Pictures):
            self.batch = 1
        else:
            self.batch = fitting_batch(inputs.shape[-2:], compute.device) if batch is None else batch
        self.inputs, self.targets = _placed(inputs, compute), _placed(targets, compute)
        contents = digest(inputs), digest(targets)
        compared = Compared(self.inputs, self.targets, self.batch, reference, contents[1])
        self._scorers = open_scorers(kinds, features or {}, compared)
        self.protocol = self._protocol(contents)

    def measure(self, net: Network) -> dict[str, float]:
        """Run the generator on all inputs and return one value per metric, in the order of `metrics`.

        Raises:
            DataError: the generator's images do not have the targets' shape, or there is not one for each input.
        """
        return self.measured(net).values

    def measured(self, net: Network) -> Measured:
        """Measure as `measure` does, and keep the values of every image."""
        seen: list[dict[str, list[Tensor]]] = [{} for _ in self._scorers]
        finite = []
        for fake, span in self._forward(net):
            with torch.inference_mode():
                for scorer, parts in zip(self._scorers, seen, strict=True):
                    for name, rows in scorer.see(fake, span).items():
                        parts.setdefault(name, []).append(rows)
                finite.append(fake.isfinite().all())
        values = {metric: WORST[goal] for metric, goal in self.goals.items()}
        whole = [{name: torch.cat(rows) for name, rows in parts.items()} for parts in seen]
        if bool(torch.stack(finite).all()):
            for scorer, tensors in zip(self._scorers, whole, strict=True):
                if all(bool(rows.isfinite().all()) for rows in tensors.values()):
                    values |= scorer.values(tensors)
        single = [each for scorer, each in zip(self._scorers, whole, strict=True) if isinstance(scorer, ImageScorer)]
        return Measured(values, {name: rows.cpu() for each in single for name, rows in each.items()})

    @property
    def notes(self) -> list[str]:
        """Warnings about values that are less reliable than their names suggest, one sentence each."""
        said = {metric: text for scorer in self._scorers for metric, text in scorer.notes.items()}
        return [said[metric] for metric in self.metrics if metric in said]

    def score(self, fake: Images) -> dict[str, float]:
        """Measure given images (N, C, H, W) in [-1, 1]; see `measure`."""
        return self.scored(fake).values

    def scored(self, fake: Images) -> Measured:
        """Measure given images as `score` does, and keep the values of every image."""
        if len(fake) != len(self.inputs):
            raise DataError("an evaluation scores one image per input", f"{len(fake)} for {len(self.inputs)} inputs")
        parts = batches_of(fake, self.batch)
        return self.measured(lambda inputs: self.compute.place(next(parts)))

    def outputs(self, net: Network) -> Tensor:
        """Return the generator's images for all inputs: float32 (N, C, H, W) on the CPU, contiguous."""
        return torch.cat([fake.cpu() for fake, _ in self._forward(net)]).contiguous()

    def per_image(self, net: Network, metric: str) -> Tensor:
        """Return the values of a per-image metric, float64 (N,) on the CPU; `race` takes them as the rival's.

        Raises:
            RecipeError: the metric is of sets of images, or not one of `metrics`.
        """
        return torch.cat([values for values, _ in self._each(net, self._scorer_of(metric))])

    def race(self, net: Network, rival: Tensor | None, *, metric: str, first: int = 8, z: float = 3.0) -> Raced:
        """Measure a generator batch by batch until it is hopeless against a rival or all images are evaluated.

        Images are taken in order, with a comparison after each batch. A generator that is not dropped gets exactly the
        value of `measure`. One whose output is not finite is dropped at once.

        Args:
            net: the generator.
            rival: the rival's values (N,) from `per_image`; None drops only generators that have diverged.
            metric: a per-image metric.
            first: the least number of images to evaluate; a spread needs at least two.
            z: see `hopeless`.

        Raises:
            RecipeError: as `per_image`.
            DataError: the rival has another number of images.
        """
        scorer, count = self._scorer_of(metric), len(self.inputs)
        if rival is not None and rival.shape != (count,):
            raise DataError("a rival must have one value for every image", f"{tuple(rival.shape)} for {count} images")
        rival = None if rival is None else rival.detach().double().cpu()
        direction = self.goals[metric]
        seen = torch.empty(0, dtype=torch.float64)
        for values, finite in self._each(net, scorer):
            seen = torch.cat([seen, values])
            images, complete = len(seen), len(seen) == count
            if not finite:
                return Raced({metric: WORST[direction]}, seen, complete)
            if rival is None or complete or images < max(first, 2):
                continue
            if hopeless(seen, rival[:images], direction, z):
                value = rival.mean() + (seen - rival[:images]).mean()
                return Raced({metric: float(value)}, seen, complete=False)
        return Raced(scorer.values({metric: seen}), seen, complete=True)

    def _each(self, net: Network, scorer: ImageScorer) -> Iterator[tuple[Tensor, bool]]:
        """Yield the values of each batch, on the CPU, and whether values and images are finite."""
        for fake, span in self._forward(net):
            with torch.inference_mode():
                rows = scorer.see(fake, span)[scorer.metric].cpu()
            yield rows.clone(), bool(fake.isfinite().all()) and bool(rows.isfinite().all())

    def _scorer_of(self, metric: str) -> ImageScorer:
        known = {scorer.metric: scorer for scorer in self._scorers if isinstance(scorer, ImageScorer)}
        if metric not in known:
            rule = "values per image need a per-image metric of this evaluation"
            raise RecipeError(rule, repr(metric), f"known: {', '.join(known) or 'none'}")
        return known[metric]

    def _forward(self, net: Network) -> Iterator[tuple[Tensor, slice]]:
        """Yield the generator's images for each batch, float32, and their span among all images."""
        start = 0
        for part in batches_of(self.inputs, self.batch):
            # Entered for each batch: a generator function would otherwise leave the mode on for its consumer.
            with torch.inference_mode(), self.compute.autocast():
                fake = net(part)
            if len(fake) != len(part):
                raise DataError("an evaluation scores one image per input", f"{len(fake)} for {len(part)} inputs")
            yield fake.float(), slice(start, start + len(fake))
            start += len(fake)

    def _protocol(self, contents: tuple[str, str]) -> str:
        """Return everything that a value depends on besides the generator, in one line."""
        digests = {metric: scorer.digest for scorer in self._scorers for metric in scorer.says}
        says = {metric: text for scorer in self._scorers for metric, text in scorer.says.items()}
        names = [f"{metric}@{digests[metric][:12]}" if digests[metric] else metric for metric in self.metrics]
        line = (
            f"{'+'.join(names) or 'nothing measured'} of {len(self.inputs)} images against {len(self.targets)} of "
            f"{spoken(self.targets)}, content {contents[0][:12]}-{contents[1][:12]}, "
            f"generator in {str(self.compute.dtype).removeprefix('torch.')}, images rounded to 8 bits"
        )
        return "; ".join([line, *(f"{metric}: {says[metric]}" for metric in self.metrics if says[metric])])


def fitting_batch(size: Sequence[int], device: torch.device) -> int:
    """Return the images per forward pass: on a CPU few enough to keep features in cache, on a GPU enough to fill it.

    Measured with mobile ResNets of 16 and 32 channels on two cores, in float32 and bfloat16: 16 images of 64 px, 4 of
    128 px and 2 of 256 px are within 5 % of the best batch; an image of 256 px takes twice as long in a batch of 8.
    """
    pixels = max(1, math.prod(size))
    return min(256, max(1, 2**20 // pixels)) if device.type == "cuda" else min(64, max(2, 2**16 // pixels))


def _placed(images: Images, compute: Compute) -> Images:
    return images.changed(compute.place) if isinstance(images, Pictures) else compute.place(images)


def digest(images: Images) -> str:
    """Return the SHA-256 of a tensor's shape, type and values, in hexadecimal; of pictures, that of all of theirs."""
    if isinstance(images, Pictures):
        return hashlib.sha256(" ".join(map(digest, images)).encode()).hexdigest()
    flat = images.detach().cpu().contiguous()
    heading = hashlib.sha256(f"{tuple(flat.shape)} {flat.dtype} ".encode())
    heading.update(flat.view(torch.uint8).numpy().data)
    return heading.hexdigest()
