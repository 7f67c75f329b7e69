"""Measures a generator: images in, one number per metric out, always by the same written protocol."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError, nearest
from slimgen.metrics.features import FeatureNetwork, open_features
from slimgen.metrics.frechet import Statistics, frechet_distance
from slimgen.metrics.psnr import psnr, psnr_y
from slimgen.metrics.ssim import ssim

Goal = Literal["min", "max"]
Network = Callable[[Tensor], Tensor]


class Metric(NamedTuple):
    """A figure of single images: which way is better, and how (fake, real) becomes one value per image."""

    goal: Goal
    function: Callable[[Tensor, Tensor], Tensor]


METRICS: dict[str, Metric] = {
    "psnr": Metric("max", psnr),
    "psnr_y": Metric("max", psnr_y),
    "ssim": Metric("max", ssim),
}


def goal(metric: str) -> Goal:
    """Whether a smaller or a larger value of a metric is better: `min` or `max`.

    Args:
        metric: a name of `METRICS`, `fid`, or `fd:<name>` for any feature network that is not pytorch-fid's Inception.

    Raises:
        RecipeError: no metric has that name.
    """
    if _distribution(metric):
        return "min"
    if metric not in METRICS:
        raise RecipeError("metrics are known by name", repr(metric), nearest(metric, [*METRICS, "fid", "fd:<name>"]))
    return METRICS[metric].goal


class Evaluator:
    """Holds the images of a comparison once and measures generator after generator on them.

    Per-image metrics are averaged over the images. A generator whose output is not finite gets the worst value there
    is (infinity in the wrong direction), so that a search goes on without it. The network is called as it is: put it
    in evaluation mode first.

    Args:
        images: input and target, float32 (N, C, H, W) in [-1, 1]; the target is the real side of every metric.
        metrics: names; see `goal`.
        compute: device, number type and layout of the generator's forward passes. Feature networks run in float32.
        batch: images per forward pass.
        features: feature networks by name, as in the recipe; see `slimgen.metrics.features.open_features`.
        reference: a folder that keeps the real side's statistics between processes; None keeps them in memory alone.

    Raises:
        RecipeError: an unknown metric, or an `fd:<name>` without a feature network of that name.
        DataError: no images, or per-image metrics over inputs and targets that do not match.
        WeightsError: a feature network whose file is missing or damaged.
    """

    def __init__(
        self,
        images: tuple[Tensor, Tensor],
        metrics: Sequence[str],
        *,
        compute: Compute,
        batch: int = 16,
        features: Mapping[str, Mapping[str, object]] | None = None,
        reference: Path | None = None,
    ) -> None:
        inputs, targets = images
        self.metrics = tuple(dict.fromkeys(metrics))
        self.goals: dict[str, Goal] = {metric: goal(metric) for metric in self.metrics}
        if not len(inputs) or not len(targets):
            raise DataError("an evaluation needs images", f"{len(inputs)} inputs and {len(targets)} targets")
        if len(inputs) != len(targets) and any(metric in METRICS for metric in self.metrics):
            raise DataError(
                "metrics of single images need a target for every input",
                f"{len(inputs)} inputs and {len(targets)} targets",
                "use fid or fd:<name>",
            )
        self.compute, self.batch, self._reference = compute, batch, reference
        self._networks: dict[str, FeatureNetwork] = {
            metric: open_features(metric, features or {}, compute.device)
            for metric in self.metrics
            if _distribution(metric)
        }
        self._real: dict[str, Statistics] = {}
        self.protocol = self._protocol(inputs, targets)
        self.inputs, self.targets = compute.place(inputs), compute.place(targets)

    def measure(self, net: Network) -> dict[str, float]:
        """Runs the generator over all inputs and returns one value per metric, in the order asked for.

        Raises:
            DataError: the generator's images do not have the targets' shape.
        """
        return self._score(self._forward(net))

    def score(self, fake: Tensor) -> dict[str, float]:
        """Like `measure`, of images (N, C, H, W) in [-1, 1] that are already there."""
        return self._score(self.compute.place(part) for part in torch.split(fake, self.batch))

    def outputs(self, net: Network) -> Tensor:
        """The images that the generator makes of all inputs: float32 (N, C, H, W) on the CPU, contiguous."""
        return torch.cat([fake.cpu() for fake in self._forward(net)]).contiguous()

    def _forward(self, net: Network) -> Iterator[Tensor]:
        for part in torch.split(self.inputs, self.batch):
            # Entered for each batch: a generator function would leave the mode switched on for its consumer.
            with torch.inference_mode(), self.compute.autocast():
                fake = net(part)
            yield fake.float()

    def _score(self, batches: Iterator[Tensor]) -> dict[str, float]:
        values: dict[str, list[Tensor]] = {metric: [] for metric in self.metrics}
        start = 0
        for fake in batches:
            with torch.inference_mode():
                for metric in self.metrics:
                    network = self._networks.get(metric)
                    real = self.targets[start : start + len(fake)]
                    values[metric].append(network(fake) if network else METRICS[metric].function(fake, real))
            start += len(fake)
        if start != len(self.inputs):
            raise DataError("an evaluation scores one image per input", f"{start} for {len(self.inputs)} inputs")
        return {metric: self._value(metric, torch.cat(parts)) for metric, parts in values.items()}

    def _value(self, metric: str, values: Tensor) -> float:
        if not bool(values.isfinite().all()):
            return math.inf if self.goals[metric] == "min" else -math.inf
        if metric in self._networks:
            return frechet_distance(self._real_side(metric), Statistics.of(values))
        return float(values.double().mean())

    def _real_side(self, metric: str) -> Statistics:
        if metric not in self._real:
            self._real[metric] = self._kept(metric) or self._computed(metric)
        return self._real[metric]

    def _computed(self, metric: str) -> Statistics:
        with torch.inference_mode():
            parts = [self._networks[metric](part) for part in torch.split(self.targets, self.batch)]
        statistics = Statistics.of(torch.cat(parts))
        if self._reference:
            statistics.save(self._file(metric))
        return statistics

    def _kept(self, metric: str) -> Statistics | None:
        return Statistics.load(self._file(metric), self.compute.device) if self._reference else None

    def _file(self, metric: str) -> Path:
        assert self._reference is not None
        key = f"{self._networks[metric].digest} {self._content} {self.compute.device.type}"
        return self._reference / f"real-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"

    def _protocol(self, inputs: Tensor, targets: Tensor) -> str:
        """Everything a value depends on besides the generator, in one line."""
        self._content = digest(targets)
        names = [
            f"{metric}@{self._networks[metric].digest[:12]}" if metric in self._networks else metric
            for metric in self.metrics
        ]
        number = str(self.compute.dtype).removeprefix("torch.")
        return (
            f"{'+'.join(names)} of {len(inputs)} images against {len(targets)} of "
            f"{targets.shape[-2]}x{targets.shape[-1]} px, content {digest(inputs)[:12]}-{self._content[:12]}, "
            f"generator in {number}, images rounded to 8 bits"
        )


def digest(images: Tensor) -> str:
    """Sha256 of a tensor's shape, type and values, in hexadecimal."""
    flat = images.detach().cpu().contiguous()
    heading = hashlib.sha256(f"{tuple(flat.shape)} {flat.dtype} ".encode())
    heading.update(flat.view(torch.uint8).numpy().data)
    return heading.hexdigest()


def _distribution(metric: str) -> bool:
    return metric == "fid" or (metric.startswith("fd:") and len(metric) > 3)
