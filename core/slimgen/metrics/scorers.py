"""What looks at the images batch by batch for one or several metrics, and then gives their values."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from slimgen.data.batches import scaled
from slimgen.metrics.features import FeatureNetwork, network_of, open_features
from slimgen.metrics.kinds import Networks, OfFeatures, OfSegmentations, Opened, PerImage, Side
from slimgen.metrics.registry import check, find
from slimgen.metrics.segmentation import Palette, confusion

FEATURES, COUNTS = "features", "counts"


class Judge(Protocol):
    """Sees every batch once. `digest` names the weights it judges with; `says` adds to the protocol by metric."""

    digest: str
    says: dict[str, str]

    def see(self, fake: Tensor, place: slice) -> dict[str, Tensor]:
        """Takes what its metrics need of generated images (n, C, H, W): tensors of n rows each."""

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """The values by metric, from the rows of all images."""


class ImageJudge:
    """Of one metric of single images.

    Args:
        metric: its name.
        opened: its function.
        targets: real images (N, C, H, W) in [-1, 1], placed.
        says: what the protocol says of it.
    """

    def __init__(self, metric: str, opened: Opened, targets: Tensor, says: str) -> None:
        self.metric, self.function, self.digest, self.targets = metric, opened.function, opened.digest, targets
        self.says = {metric: says}

    def see(self, fake: Tensor, place: slice) -> dict[str, Tensor]:
        """One value per image."""
        return {self.metric: self.function(fake, self.targets[place]).double()}

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean over the images."""
        # On the CPU, whose sum is in one order, so that a race to the end equals a measurement on every device.
        return {self.metric: float(seen[self.metric].cpu().mean())}


class NetworkJudge:
    """Of all metrics of one network, which runs once over each batch.

    Args:
        network: the network.
        metrics: names, and what they take of it.
        real: the real side, for metrics of features.
        truth: label maps' palette and classes (N, H, W), for metrics of segmentations.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        metrics: Mapping[str, OfFeatures | OfSegmentations],
        real: "RealSide",
        truth: tuple[Palette, Tensor] | None,
    ) -> None:
        self.network, self.metrics, self.real, self.truth = network, metrics, real, truth
        self.digest = network.digest
        self.says = {name: metric.says for name, metric in metrics.items()}
        if truth is not None:
            palette, labels = truth
            for name, metric in metrics.items():
                if isinstance(metric, OfSegmentations):
                    self.says[name] = f"{metric.says}, {palette.says(labels)}"

    def see(self, fake: Tensor, place: slice) -> dict[str, Tensor]:
        """Features (n, d), or the confusion matrix of each image (n, K, K), or both."""
        found, rows = self.network.raw(fake), {}
        if any(isinstance(metric, OfFeatures) for metric in self.metrics.values()):
            rows[FEATURES] = self.network.pooled(found)
        if self.truth is not None:
            palette, labels = self.truth
            rows[COUNTS] = confusion(found, labels[place], len(palette.names))
        return rows

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """Each metric's value."""
        return {name: self._value(metric, seen) for name, metric in self.metrics.items()}

    def _value(self, metric: OfFeatures | OfSegmentations, seen: Mapping[str, Tensor]) -> float:
        if isinstance(metric, OfSegmentations):
            return metric.value(seen[COUNTS].sum(0))
        features = self.network.logits(seen[FEATURES]) if metric.logits else seen[FEATURES]
        return metric.value(self.real.side(metric.real) if metric.real else None, features)


class RealSide:
    """What metrics need of the real images' features, found once, at the first question.

    Args:
        network: makes the features.
        images: real (N, C, H, W), placed: floats in [-1, 1], or uint8, of which a batch at a time is scaled.
        batch: images per pass.
        kinds: what will be asked for.
        folder: keeps it between processes; None keeps it in memory alone.
        content: digest of the images.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        images: Tensor,
        batch: int,
        kinds: set[type[Side]],
        folder: Path | None,
        content: str,
    ) -> None:
        self.network, self.images, self.batch, self.kinds = network, images, batch, kinds
        self.folder, self.content = folder, content
        self._found: dict[type[Side], Side] = {}

    def side(self, kind: type[Side]) -> Side:
        """The real side of one kind."""
        if kind not in self._found:
            self._find()
        return self._found[kind]

    def _find(self) -> None:
        features: Tensor | None = None
        # In one order everywhere; all at once, so that the images are looked at once for all of them.
        for kind in sorted(self.kinds, key=lambda kind: kind.__name__):
            kept = kind.load(self._file(kind), self.images.device) if self.folder else None
            if kept is None:
                features = self._features() if features is None else features
                kept = kind.of(features)
                if self.folder:
                    kept.save(self._file(kind))
            self._found[kind] = kept

    def _features(self) -> Tensor:
        with torch.inference_mode():
            return torch.cat([self.network(scaled(part)) for part in torch.split(self.images, self.batch)])

    def _file(self, kind: type[Side]) -> Path:
        assert self.folder is not None
        key = f"{kind.__name__} {self.network.digest} {self.content} {self.images.device.type}"
        return self.folder / f"real-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def open_judges(
    metrics: tuple[str, ...],
    networks: Networks,
    images: tuple[Tensor, Tensor],
    *,
    batch: int,
    folder: Path | None,
    content: str,
) -> list[Judge]:
    """Opens what the metrics need: a judge for each metric of single images, and one for each network.

    Args:
        metrics: names.
        networks: as in the recipe.
        images: inputs and targets, placed.
        batch: images per pass.
        folder: keeps real sides between processes.
        content: digest of the targets.

    Raises:
        RecipeError, WeightsError: as the metrics do.
        DataError: label maps without the classes' colours.
    """
    inputs, targets = images
    judges: list[Judge] = []
    by_network: dict[str, dict[str, OfFeatures | OfSegmentations]] = {}
    for metric in metrics:
        check(metric, networks)
        kind = find(metric)
        if isinstance(kind, PerImage):
            judges.append(ImageJudge(metric, kind.open(networks, targets.device), targets, kind.says))
        else:
            by_network.setdefault(network_of(metric), {})[metric] = kind
    for name, users in by_network.items():
        network = open_features(next(iter(users)), networks, targets.device)
        truth = None
        if any(isinstance(kind, OfSegmentations) for kind in users.values()):
            palette = Palette.read(name, networks[name])
            truth = palette, palette.label(inputs)
        kinds = {kind.real for kind in users.values() if isinstance(kind, OfFeatures) and kind.real}
        judges.append(NetworkJudge(network, users, RealSide(network, targets, batch, kinds, folder, content), truth))
    return judges
