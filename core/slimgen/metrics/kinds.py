"""The three kinds of metrics. A metric is a record of one kind in a file of its own, and a line of `METRICS`.

Each has a `goal`, which says whether smaller or larger values are better, and what the protocol `says` of it.
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
    """A function of image pairs, and the digest of the files it was read from; empty where there are none."""

    function: Pair
    digest: str = ""


class PerImage(NamedTuple):
    """A figure of single images and their targets, averaged over the images.

    Attributes:
        open: makes the function, from the recipe's networks and the device; raises RecipeError or WeightsError.
        check: raises what `open` would of the recipe's networks, loading nothing.
        channels: how many its images may have, grey ones counting as RGB of equal channels; None where any will do.
    """

    goal: Goal
    open: Callable[[Networks, torch.device], Opened]
    says: str = ""
    check: Callable[[Networks], object] = lambda networks: None
    channels: tuple[int, ...] | None = None


SEEN = (1, 3)
"""Channels of the images that networks trained on photographs can look at: RGB, or grey as three equal channels."""


class RealSide(Protocol):
    """What a metric of features needs of the real images: computed once, and kept as arrays between processes."""

    @staticmethod
    def of(features: Tensor) -> "RealSide":
        """Takes it of features (N, d); raises DataError where they are too few."""

    def arrays(self) -> Mapping[str, Tensor]:
        """All of it, by name."""

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "RealSide":
        """What `arrays` gave; raises KeyError where one is missing."""


class OfFeatures(NamedTuple):
    """A figure of a set of features. All metrics of one network share its pass over the images.

    Attributes:
        value: (real side, the generated images' features (N, d)) to the value; the real side is None without `real`.
        real: the class of the real side, or None where the real images play no part.
        logits: whether it takes classification scores, which Inception makes of its features.
        few: what the value is worth where there are no more images than features; ends a sentence.
    """

    goal: Goal
    value: Callable[[Any, Tensor], float]
    real: type[RealSide] | None = None
    logits: bool = False
    says: str = ""
    few: str = ""


class OfSegmentations(NamedTuple):
    """A figure of how a segmentation network recognises, in generated images, what their label maps asked for.

    `value` is a function of the confusion matrix of all images, float64 (K, K), rows the truth.
    """

    goal: Goal
    value: Callable[[Tensor], float]
    says: str = ""


Metric = PerImage | OfFeatures | OfSegmentations


def channels_of(metric: Metric) -> tuple[int, ...] | None:
    """How many channels its images may have; None where any number will do."""
    return metric.channels if isinstance(metric, PerImage) else SEEN


def plain(function: Pair) -> Callable[[Networks, torch.device], Opened]:
    """The `open` of a metric that needs no network."""
    return lambda networks, device: Opened(function)
