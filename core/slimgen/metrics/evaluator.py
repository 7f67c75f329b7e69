"""Measures a generator: images in, one number per metric out, always by the same written protocol."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.kinds import Goal, Networks, PerImage
from slimgen.metrics.registry import find
from slimgen.metrics.scorers import Compared, ImageScorer, open_scorers

Network = Callable[[Tensor], Tensor]
WORST = {"min": math.inf, "max": -math.inf}


class Raced(NamedTuple):
    """What a race measured.

    Attributes:
        values: the metric's value. Of a candidate that was dropped, the rival's mean and the mean difference over the
            images that both have: an estimate whose noise from image to image is shared, and so cancels, and which
            stays behind the rival.
        per_image: float64 (n,) of the images that were looked at, the first n.
        complete: whether these are all, so that the value is that of `Evaluator.measure`.
    """

    values: dict[str, float]
    per_image: Tensor
    complete: bool


def hopeless(values: Tensor, rival: Tensor, goal: Goal, z: float) -> bool:
    """Whether a candidate lies behind its rival by more than chance: mean(d) + z std(d) / sqrt(n) < 0.

    Differences d of the values, float64 (n,) with n >= 2, are paired, image by image, which is far sharper than
    comparing means: most of the spread is that of the images. The test is repeated as images come in, so z, the
    standard errors that the candidate is given, is to be chosen larger than for a single one.
    """
    gains = values - rival if goal == "max" else rival - values
    error = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() + z * error < 0)


class Evaluator:
    """Holds the images of a comparison once and measures generator after generator on them.

    Per-image metrics are averaged over the images. A generator whose output is not finite gets the worst value there
    is (infinity in the wrong direction), so that a search goes on without it. The network is called as it is: put it
    in evaluation mode first.

    Args:
        images: input and target, float32 (N, C, H, W) in [-1, 1]; the target is the real side of every metric, but
            for segmentations, whose truth is the input, a label map. Where only metrics of sets are asked for, the
            target may be uint8, which takes a quarter of the memory.
        metrics: names; see `slimgen.metrics.registry`.
        compute: of the generator's forward passes. Feature networks run in float32.
        batch: images per forward pass; None chooses by `fitting_batch`.
        features: feature networks by name, as in the recipe; see `slimgen.metrics.features.open_features`.
        reference: a folder that keeps the real side's statistics between processes; None keeps them in memory alone.

    Raises:
        RecipeError: an unknown metric, or one without a feature network of the name it asks for.
        DataError: no images, or per-image metrics over inputs and targets that do not match.
        WeightsError: a feature network whose file is missing or damaged.
    """

    def __init__(
        self,
        images: tuple[Tensor, Tensor],
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
            raise DataError("an evaluation needs images", counts)
        if len(inputs) != len(targets) and any(isinstance(kind, PerImage) for kind in kinds.values()):
            hint = "use fid, kid, is, or one of them with a user-defined network"
            raise DataError("metrics of single images need a target for every input", counts, hint)
        self.compute = compute
        self.batch = fitting_batch(inputs.shape[-2:], compute.device) if batch is None else batch
        self.inputs, self.targets = compute.place(inputs), compute.place(targets)
        contents = digest(inputs), digest(targets)
        compared = Compared(self.inputs, self.targets, self.batch, reference, contents[1])
        self._scorers = open_scorers(kinds, features or {}, compared)
        self.protocol = self._protocol(contents)

    def measure(self, net: Network) -> dict[str, float]:
        """Runs the generator over all inputs and returns one value per metric, in the order asked for.

        Raises:
            DataError: the generator's images do not have the targets' shape, or are not one for each input.
        """
        seen: list[dict[str, list[Tensor]]] = [{} for _ in self._scorers]
        finite = []
        for fake, span in self._forward(net):
            with torch.inference_mode():
                for scorer, parts in zip(self._scorers, seen, strict=True):
                    for name, rows in scorer.see(fake, span).items():
                        parts.setdefault(name, []).append(rows)
                finite.append(fake.isfinite().all())
        values = {metric: WORST[goal] for metric, goal in self.goals.items()}
        if bool(torch.stack(finite).all()):
            for scorer, parts in zip(self._scorers, seen, strict=True):
                whole = {name: torch.cat(rows) for name, rows in parts.items()}
                if all(bool(rows.isfinite().all()) for rows in whole.values()):
                    values |= scorer.values(whole)
        return values

    @property
    def notes(self) -> list[str]:
        """What the values that were measured are worth, where that is less than their names promise: sentences."""
        said = {metric: text for scorer in self._scorers for metric, text in scorer.notes.items()}
        return [said[metric] for metric in self.metrics if metric in said]

    def score(self, fake: Tensor) -> dict[str, float]:
        """Like `measure`, of images (N, C, H, W) in [-1, 1] that are already there."""
        if len(fake) != len(self.inputs):
            raise DataError("an evaluation scores one image per input", f"{len(fake)} for {len(self.inputs)} inputs")
        parts = iter(torch.split(fake, self.batch))
        return self.measure(lambda inputs: self.compute.place(next(parts)))

    def outputs(self, net: Network) -> Tensor:
        """The images that the generator makes of all inputs: float32 (N, C, H, W) on the CPU, contiguous."""
        return torch.cat([fake.cpu() for fake, _ in self._forward(net)]).contiguous()

    def per_image(self, net: Network, metric: str) -> Tensor:
        """The values of a metric of single images, float64 (N,) on the CPU: what `race` takes for a rival.

        Raises:
            RecipeError: a metric of sets of images, or one that was not asked for.
        """
        return torch.cat([values for values, _ in self._each(net, self._scorer_of(metric))])

    def race(self, net: Network, rival: Tensor | None, *, metric: str, first: int = 8, z: float = 3.0) -> Raced:
        """Measures a generator on batch after batch, until it is hopeless against a rival or all images are seen.

        Images are taken in the order given, and what was seen so far is compared after each batch; a generator that is
        not dropped gets the value of `measure`, bit for bit. One whose output is not finite is dropped at once.

        Args:
            net: the generator.
            rival: values (N,) of `per_image`; None drops nobody but a generator that has diverged.
            metric: of single images.
            first: images that are seen at least; two are needed for a spread.
            z: as of `hopeless`.

        Raises:
            RecipeError: as `per_image`.
            DataError: a rival with another number of images.
        """
        scorer, count = self._scorer_of(metric), len(self.inputs)
        if rival is not None and rival.shape != (count,):
            raise DataError("a rival has one value for every image", f"{tuple(rival.shape)} for {count} images")
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
        """The values of each batch, on the CPU, and whether they and the images are finite."""
        for fake, span in self._forward(net):
            with torch.inference_mode():
                rows = scorer.see(fake, span)[scorer.metric].cpu()
            yield rows.clone(), bool(fake.isfinite().all()) and bool(rows.isfinite().all())

    def _scorer_of(self, metric: str) -> ImageScorer:
        known = {scorer.metric: scorer for scorer in self._scorers if isinstance(scorer, ImageScorer)}
        if metric not in known:
            rule = "values of single images are there for metrics of single images"
            raise RecipeError(rule, repr(metric), f"here {list(known) or 'none'}")
        return known[metric]

    def _forward(self, net: Network) -> Iterator[tuple[Tensor, slice]]:
        """The generator's images of each batch, float32, and which of all images they are."""
        start = 0
        for part in torch.split(self.inputs, self.batch):
            # Entered for each batch: a generator function would leave the mode switched on for its consumer.
            with torch.inference_mode(), self.compute.autocast():
                fake = net(part)
            if len(fake) != len(part):
                raise DataError("an evaluation scores one image per input", f"{len(fake)} for {len(part)} inputs")
            yield fake.float(), slice(start, start + len(fake))
            start += len(fake)

    def _protocol(self, contents: tuple[str, str]) -> str:
        """Everything a value depends on besides the generator, in one line."""
        digests = {metric: scorer.digest for scorer in self._scorers for metric in scorer.says}
        says = {metric: text for scorer in self._scorers for metric, text in scorer.says.items()}
        names = [f"{metric}@{digests[metric][:12]}" if digests[metric] else metric for metric in self.metrics]
        line = (
            f"{'+'.join(names) or 'nothing measured'} of {len(self.inputs)} images against {len(self.targets)} of "
            f"{self.targets.shape[-2]}x{self.targets.shape[-1]} px, content {contents[0][:12]}-{contents[1][:12]}, "
            f"generator in {str(self.compute.dtype).removeprefix('torch.')}, images rounded to 8 bits"
        )
        return "; ".join([line, *(f"{metric}: {says[metric]}" for metric in self.metrics if says[metric])])


def fitting_batch(size: Sequence[int], device: torch.device) -> int:
    """Images per forward pass: on a CPU as many as leave a layer's features in cache, on a GPU enough to fill it.

    Measured with a mobile ResNet of 16 and 32 channels on two cores: 16 images of 64 px, 4 of 128 px and 2 of 256 px
    are within 5 % of the best batch in float32 and bfloat16; 8 of 256 px take twice as long as 2.
    """
    pixels = max(1, math.prod(size))
    return min(256, max(1, 2**20 // pixels)) if device.type == "cuda" else min(64, max(2, 2**16 // pixels))


def digest(images: Tensor) -> str:
    """Sha256 of a tensor's shape, type and values, in hexadecimal."""
    flat = images.detach().cpu().contiguous()
    heading = hashlib.sha256(f"{tuple(flat.shape)} {flat.dtype} ".encode())
    heading.update(flat.view(torch.uint8).numpy().data)
    return heading.hexdigest()
