"""Racing: a candidate that is hopeless against a rival is dropped before all images are looked at."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy
import torch
from torch import Tensor

from slimgen.data.batches import scaled
from slimgen.files import write_bytes
from slimgen.metrics.features import network_of, open_features
from slimgen.metrics.kinds import Metric, Networks, OfFeatures, OfSegmentations, Opened, PerImage, RealSide
from slimgen.metrics.registry import check
from slimgen.metrics.segmentation import Palette, confusion


@dataclass(frozen=True)
class Raced:
    """What a race measured.

    Attributes:
        values: the metric's value. Of a candidate that was dropped, the rival's mean and the mean difference over the
            images that both have: an estimate whose noise from image to image is shared, and so cancels, and which
            stays behind the rival.
        per_image: float64 (n,) of the images that were looked at, the first n.
        images: n.
        complete: whether these are all, so that the value is that of `Evaluator.measure`.
    """

    values: dict[str, float]
    per_image: Tensor
    images: int
    complete: bool


def hopeless(values: Tensor, rival: Tensor, goal: Literal["min", "max"], z: float) -> bool:
    """Whether a candidate lies behind its rival by more than chance: mean(d) + z std(d) / sqrt(n) < 0.

    Differences are paired, image by image, which is far sharper than comparing means: most of the spread is that of the
    images. The test is repeated as images come in, so z is to be chosen larger than for a single one.

    Args:
        values: float64 (n,) of the candidate, n >= 2.
        rival: float64 (n,) of the rival, on the same images.
        goal: which way is better.
        z: standard errors that the candidate is given.
    """
    gains = values - rival if goal == "max" else rival - values
    error = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() + z * error < 0)


FEATURES, COUNTS = "features", "counts"


class Compared(NamedTuple):
    """The images of an evaluation.

    Attributes:
        inputs: (N, C, H, W), placed.
        targets: real images (M, C, H, W), placed: floats in [-1, 1], or uint8.
        batch: images per pass.
        folder: keeps what is computed of the targets between processes; None keeps it in memory alone.
        content: digest of the targets.
    """

    inputs: Tensor
    targets: Tensor
    batch: int
    folder: Path | None
    content: str


class Scorer(Protocol):
    """Sees every batch once. `digest` names the weights it scores with; `says` adds to the protocol by metric."""

    digest: str
    says: dict[str, str]

    def see(self, fake: Tensor, span: slice) -> dict[str, Tensor]:
        """What its metrics need of generated images (n, C, H, W), the `span` of all images: tensors of n rows each."""

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """The values by metric, from the rows of all images."""


class ImageScorer:
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

    def see(self, fake: Tensor, span: slice) -> dict[str, Tensor]:
        """One value per image."""
        return {self.metric: self.function(fake, self.targets[span]).double()}

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean over the images."""
        # On the CPU, whose sum is in one order, so that a race to the end equals a measurement on every device.
        return {self.metric: float(seen[self.metric].cpu().mean())}


class NetworkScorer:
    """Of all metrics of one network, which runs once over each batch.

    Args:
        metrics: names, and what they take of the network.
        networks: as in the recipe.
        images: of the evaluation; of uint8 targets a batch at a time is scaled.

    Raises:
        RecipeError, WeightsError: as the metrics do.
        DataError: label maps without the classes' colours.
    """

    def __init__(
        self, metrics: Mapping[str, OfFeatures | OfSegmentations], networks: Networks, images: Compared
    ) -> None:
        first = next(iter(metrics))
        self.network, self.metrics, self.images = open_features(first, networks, images.targets.device), metrics, images
        self.digest = self.network.digest
        self.says = {name: metric.says for name, metric in metrics.items()}
        self.truth: tuple[Palette, Tensor] | None = None
        segmenting = [name for name, metric in metrics.items() if isinstance(metric, OfSegmentations)]
        if segmenting:
            palette = Palette.read(network_of(first), networks[network_of(first)])
            self.truth = palette, palette.label(images.inputs)
            self.says |= {name: f"{self.says[name]}, {palette.says(self.truth[1])}" for name in segmenting}

    def see(self, fake: Tensor, span: slice) -> dict[str, Tensor]:
        """Features (n, d), or the confusion matrix of each image (n, K, K), or both."""
        out, rows = self.network.raw(fake), {}
        if any(isinstance(metric, OfFeatures) for metric in self.metrics.values()):
            rows[FEATURES] = self.network.pooled(out)
        if self.truth is not None:
            palette, labels = self.truth
            rows[COUNTS] = confusion(out, labels[span], len(palette.names))
        return rows

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """Each metric's value."""
        values = {}
        for name, metric in self.metrics.items():
            if isinstance(metric, OfSegmentations):
                values[name] = metric.value(seen[COUNTS].sum(0))
            else:
                features = self.network.logits(seen[FEATURES]) if metric.logits else seen[FEATURES]
                values[name] = metric.value(self.real[metric.real] if metric.real else None, features)
        return values

    @cached_property
    def real(self) -> dict[type[RealSide], RealSide]:
        """The real sides, by their kind; the images are looked at once for those that are not kept."""
        kinds = {metric.real for metric in self.metrics.values() if isinstance(metric, OfFeatures) and metric.real}
        sides = {kind: side for kind in kinds if (side := self._restored(kind)) is not None}
        if missing := kinds - set(sides):
            with torch.inference_mode():
                parts = torch.split(self.images.targets, self.images.batch)
                features = torch.cat([self.network(scaled(part)) for part in parts])
            sides |= {kind: kind.of(features) for kind in missing}
        for kind in missing if self.images.folder is not None else ():
            save_arrays(self._file(kind), sides[kind].arrays())
        return sides

    def _restored(self, kind: type[RealSide]) -> RealSide | None:
        device = self.images.targets.device
        arrays = None if self.images.folder is None else load_arrays(self._file(kind), device)
        try:
            return None if arrays is None else kind.restored(arrays)
        except KeyError:
            return None

    def _file(self, kind: type[RealSide]) -> Path:
        images = self.images
        assert images.folder is not None
        key = f"{kind.__name__} {self.network.digest} {images.content} {images.targets.device.type}"
        return images.folder / f"real-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def save_arrays(path: Path, arrays: Mapping[str, Tensor], *, compressed: bool = False) -> None:
    """Writes tensors by name into a file that is complete or absent; makes the folder."""
    buffer = io.BytesIO()
    save = numpy.savez_compressed if compressed else numpy.savez
    save(buffer, allow_pickle=False, **{name: array.cpu().contiguous().numpy() for name, array in arrays.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path, device: torch.device) -> dict[str, Tensor] | None:
    """Reads what `save_arrays` wrote; None where there is no such file or a damaged one."""
    if not path.is_file():
        return None
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file, numpy.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}
    # A damaged archive may fail in any layer: zip, its checksum, the array's header, the keys.
    except Exception:
        return None


def open_scorers(metrics: Mapping[str, Metric], networks: Networks, images: Compared) -> list[Scorer]:
    """Opens what metrics, by name, need: a scorer for each metric of single images, and one for each network.

    Raises:
        RecipeError, WeightsError, DataError: as the scorers do.
    """
    scorers: list[Scorer] = []
    by_network: dict[str, dict[str, OfFeatures | OfSegmentations]] = {}
    for metric, kind in metrics.items():
        check(metric, networks)
        if isinstance(kind, PerImage):
            opened = kind.open(networks, images.targets.device)
            scorers.append(ImageScorer(metric, opened, images.targets, kind.says))
        else:
            by_network.setdefault(network_of(metric), {})[metric] = kind
    return [*scorers, *(NetworkScorer(users, networks, images) for users in by_network.values())]
