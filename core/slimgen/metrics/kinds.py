"""The three kinds of metrics. A metric is a record of one kind in its own file, and a line in `METRICS`.

Each has a `goal`, `min` or `max`, which says which values are better, and `says`, its description in the protocol.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

Goal = Literal["min", "max"]
Networks = Mapping[str, Mapping[str, object]]
"""Feature networks by name with their options, as in the recipe's `evaluate.features`."""
Pair = Callable[[Tensor, Tensor], Tensor]
"""(fake, real), each (N, C, H, W) in [-1, 1], to one value per image (N,)."""


class Opened(NamedTuple):
    """A function of image pairs, and the digest of the files it was read from (empty if none)."""

    function: Pair
    digest: str = ""


class PerImage(NamedTuple):
    """A per-image metric: it compares each image with its target, and values are averaged over the images.

    Attributes:
        open: the recipe's networks and the device to the function; raises RecipeError or WeightsError.
        check: the same checks of the recipe's networks as `open`, without loading anything.
        channels: the numbers of channels that it can measure, 1 being grey, 3 RGB; None for any number.
        inner: whether a border of as many pixels as the scale is left out, where a generator enlarges by a scale.
    """

    goal: Goal
    open: Callable[[Networks, torch.device], Opened]
    says: str = ""
    check: Callable[[Networks], object] = lambda networks: None
    channels: tuple[int, ...] | None = None
    inner: bool = False


SEEN = (1, 3)
"""The numbers of channels that networks trained on photographs can take: RGB, or grey as three equal channels."""


class RealSide(Protocol):
    """The real images' side of a metric of features: computed once and cached as arrays."""

    @staticmethod
    def of(features: Tensor) -> "RealSide":
        """Compute it from features (N, d); raise DataError where they are too few."""

    def arrays(self) -> Mapping[str, Tensor]:
        """Return all of it as arrays, by name."""

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "RealSide":
        """Restore it from `arrays`; raise KeyError where one is missing."""


class OfFeatures(NamedTuple):
    """A metric of a set of features. All metrics of one network share its pass over the images.

    Attributes:
        value: (real side, the generated images' features (N, d)) to the value; the real side is None without `real`.
        real: the class of the real side; None where the metric needs no real images.
        logits: whether it takes class scores, which Inception computes from its features.
        few: a warning for when there are no more images than features, as the end of a sentence.
    """

    goal: Goal
    value: Callable[[Any, Tensor], float]
    real: type[RealSide] | None = None
    logits: bool = False
    says: str = ""
    few: str = ""


class OfSegmentations(NamedTuple):
    """A segmentation score: how well a network finds, in generated images, the classes of their label maps.

    `value` maps the confusion matrix of all images, float64 (K, K), rows the truth, to the score.
    """

    goal: Goal
    value: Callable[[Tensor], float]
    says: str = ""


Metric = PerImage | OfFeatures | OfSegmentations


def channels_of(metric: Metric) -> tuple[int, ...] | None:
    """Return the numbers of channels that a metric can measure; None for any number."""
    return metric.channels if isinstance(metric, PerImage) else SEEN


def plain(function: Pair) -> Callable[[Networks, torch.device], Opened]:
    """Return the `open` of a metric that needs no network."""
    return lambda networks, device: Opened(function)
