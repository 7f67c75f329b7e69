"""Scorers of generated images: one for each per-image metric, and one for each feature network."""

import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from slimgen.data.batches import scaled
from slimgen.data.pictures import Images, Pictures, batch_of, batches_of
from slimgen.errors import DataError
from slimgen.files import write_bytes
from slimgen.metrics.features import network_of, open_features
from slimgen.metrics.kinds import Metric, Networks, OfFeatures, OfSegmentations, Opened, PerImage, RealSide
from slimgen.metrics.registry import check
from slimgen.metrics.segmentation import Palette, confusion
from slimgen.size import Size

FEATURES, COUNTS = "features", "counts"


class Compared(NamedTuple):
    """The images of an evaluation, on its device.

    Attributes:
        inputs: (N, C, H, W), or pictures of unequal sizes.
        targets: real images (M, C, H, W): floats in [-1, 1], or uint8; or pictures of unequal sizes.
        batch: images per pass.
        folder: a folder in which to cache the targets' statistics; None keeps them in memory only.
        content: digest of the targets.
    """

    inputs: Images
    targets: Images
    batch: int
    folder: Path | None
    content: str

    @property
    def device(self) -> torch.device:
        """The device of the evaluation."""
        return next(batches_of(self.targets, 1)).device

    @property
    def scale(self) -> int:
        """The whole factor by which all targets are larger than their inputs; 1 where there is none."""
        given, wanted = _sizes(self.inputs), _sizes(self.targets)
        factors = {wide / old for pair in zip(given, wanted, strict=False) for old, wide in zip(*pair, strict=True)}
        factor = factors.pop() if len(factors) == 1 else 1
        return int(factor) if factor >= 1 and factor == int(factor) else 1


def _sizes(images: Images) -> list[Size]:
    """Return height and width of images; none of noise."""
    if isinstance(images, Pictures):
        return images.shapes
    return [Size(*images.shape[-2:])] if images.dim() == 4 else []


class ImageScorer:
    """The scorer of one per-image metric; targets are (N, C, H, W) in [-1, 1] or pictures, on the evaluation's device.

    A `border` of pixels on every side of both images is left out.

    Every scorer gets each batch once: generated images (n, C, H, W) and their `span` among all images. It returns
    tensors with n rows, and computes the values by metric from the rows of all images. Its `digest` identifies the
    weights that it uses, `says` has the text for the protocol by metric, and `notes` has warnings about values.
    """

    def __init__(self, metric: str, opened: Opened, targets: Images, says: str, border: int = 0) -> None:
        self.metric, self.function, self.digest, self.targets = metric, opened.function, opened.digest, targets
        self.inner = slice(border, -border or None)
        self.says = {metric: f"{says}, without a border of {border} px" if border else says}
        self.notes: dict[str, str] = {}

    def see(self, fake: Tensor, span: slice) -> dict[str, Tensor]:
        """Return one value per image."""
        real = batch_of(self.targets, span)
        if fake.shape == real.shape:
            fake, real = fake[..., self.inner, self.inner], real[..., self.inner, self.inner]
        return {self.metric: self.function(fake, real).double()}

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the mean over the images."""
        # On the CPU, which sums in a fixed order, so that a complete race equals a measurement on every device.
        return {self.metric: float(seen[self.metric].cpu().mean())}


class NetworkScorer:
    """The scorer of all metrics of one network, which runs once on each batch; uint8 targets are scaled by batch.

    Raises:
        RecipeError, WeightsError: as `open_features`.
        DataError: the label maps have none of the classes' colours.
    """

    def __init__(
        self, metrics: Mapping[str, OfFeatures | OfSegmentations], networks: Networks, images: Compared
    ) -> None:
        first = next(iter(metrics))
        self.network, self.metrics, self.images = open_features(first, networks, images.device), metrics, images
        self.digest = self.network.digest
        self.says = {name: metric.says for name, metric in metrics.items()}
        self.notes: dict[str, str] = {}
        self.truth: tuple[Palette, Tensor] | None = None
        segmenting = [name for name, metric in metrics.items() if isinstance(metric, OfSegmentations)]
        if segmenting:
            palette = Palette.read(network_of(first), networks[network_of(first)])
            if isinstance(images.inputs, Pictures):
                raise DataError("segmentation scores need label maps of one size as inputs", "pictures of several")
            self.truth = palette, palette.label(images.inputs)
            self.says |= {name: f"{self.says[name]}, {palette.says(self.truth[1])}" for name in segmenting}

    def see(self, fake: Tensor, span: slice) -> dict[str, Tensor]:
        """Return features (n, d), or the confusion matrix of each image (n, K, K), or both."""
        out, rows = self.network.raw(fake), {}
        if any(isinstance(metric, OfFeatures) for metric in self.metrics.values()):
            rows[FEATURES] = self.network.pooled(out)
        if self.truth is not None:
            palette, labels = self.truth
            rows[COUNTS] = confusion(out, labels[span], len(palette.names))
        return rows

    def values(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """Return each metric's value."""
        values = {}
        for name, metric in self.metrics.items():
            if isinstance(metric, OfSegmentations):
                values[name] = metric.value(seen[COUNTS].sum(0))
            else:
                features = self.network.logits(seen[FEATURES]) if metric.logits else seen[FEATURES]
                values[name] = metric.value(self.real[metric.real] if metric.real else None, features)
                (made, length), real = features.shape, len(self.images.targets)
                if metric.few and min(made, real) <= length:
                    counts = f"{made} generated and {real} real images, for {length} features"
                    self.notes[name] = f"{name} of {counts}: {metric.few}"
        return values

    @cached_property
    def real(self) -> dict[type[RealSide], RealSide]:
        """The real sides, by their kind; one pass over the images computes those that are not cached."""
        kinds = {metric.real for metric in self.metrics.values() if isinstance(metric, OfFeatures) and metric.real}
        sides = {kind: side for kind in kinds if (side := self._restored(kind)) is not None}
        if missing := kinds - set(sides):
            with torch.inference_mode():
                parts = batches_of(self.images.targets, self.images.batch)
                features = torch.cat([self.network(scaled(part)) for part in parts])
            sides |= {kind: kind.of(features) for kind in missing}
        for kind in missing:
            if path := self._file(kind):
                save_arrays(path, sides[kind].arrays())
        return sides

    def _restored(self, kind: type[RealSide]) -> RealSide | None:
        path = self._file(kind)
        arrays = path and load_arrays(path, self.images.device)
        with suppress(KeyError):
            return kind.restored(arrays) if arrays else None
        return None

    def _file(self, kind: type[RealSide]) -> Path | None:
        images = self.images
        if images.folder is None:
            return None
        key = f"{kind.__name__} {self.network.digest} {images.content} {images.device.type}"
        return images.folder / f"real-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


Scorer = ImageScorer | NetworkScorer


def save_arrays(path: Path, arrays: Mapping[str, Tensor], *, compressed: bool = False) -> None:
    """Write tensors by name to a file, which is complete or absent; create its folder."""
    buffer = io.BytesIO()
    save = numpy.savez_compressed if compressed else numpy.savez
    save(buffer, allow_pickle=False, **{name: array.cpu().contiguous().numpy() for name, array in arrays.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path, device: torch.device) -> dict[str, Tensor] | None:
    """Read a file of `save_arrays`; return None where it is missing or damaged."""
    try:
        # Opened here because numpy leaves a damaged file open.
        with path.open("rb") as file, numpy.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}
    # The file is missing, or damaged in any layer: the zip archive, its checksum, an array's header, the keys.
    except Exception:
        return None


def open_scorers(metrics: Mapping[str, Metric], networks: Networks, images: Compared) -> list[Scorer]:
    """Open the scorers of these metrics; raises as they do."""
    scorers: list[Scorer] = []
    by_network: dict[str, dict[str, OfFeatures | OfSegmentations]] = {}
    for metric, kind in metrics.items():
        check(metric, networks)
        if isinstance(kind, PerImage):
            opened, border = kind.open(networks, images.device), images.scale if kind.inner else 1
            scorers.append(ImageScorer(metric, opened, images.targets, kind.says, border if border > 1 else 0))
        else:
            by_network.setdefault(network_of(metric), {})[metric] = kind
    return [*scorers, *(NetworkScorer(users, networks, images) for users in by_network.values())]
