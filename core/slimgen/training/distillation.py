"""Distillation losses, on inner features or on FSP matrices, and the frozen teacher that they compare with."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adaptors(nn.ModuleList):
    """A learned 1x1 convolution for each layer, from the widest student's channels to the teacher's.

    A once-for-all student may have fewer channels; it then uses the first inputs of each adaptor.
    """

    def __init__(self, students: Sequence[int], teachers: Sequence[int]) -> None:
        super().__init__(nn.Conv2d(one, two, 1) for one, two in zip(students, teachers, strict=True))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map the student's features (N, c, h, w) to the teacher's numbers of channels."""
        found = []
        for adaptor, feature in zip(self, features, strict=True):
            assert isinstance(adaptor, nn.Conv2d)
            found.append(functional.conv2d(feature, adaptor.weight[:, : feature.shape[1]], adaptor.bias))
        return found


class Teacher:
    """A frozen generator that runs only once when it is called repeatedly with the same images."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net.eval().requires_grad_(False)
        self._images: Tensor | None = None
        self._outputs: tuple[Tensor, list[Tensor]] = (torch.empty(0), [])

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return its images, and its features if the network has a method `features`."""
        if images is not self._images:
            show: Callable[[Tensor], Any] | None = getattr(self.net, "features", None)
            with torch.no_grad():
                self._outputs = show(images) if show is not None else (self.net(images), [])
            self._images = images
        return self._outputs


def distillation_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Compare the student's adapted features with the teacher's (GAN Compression, Li et al. 2020, Eq. 3).

    As in the authors' code, it is the mean squared difference, summed over the layers.
    """
    terms = [functional.mse_loss(one.float(), two.float()) for one, two in zip(found, wanted, strict=True)]
    return torch.stack(terms).sum()


def fsp_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Compare the flow of features from layer to layer in two networks (Yim et al. 2017, Eq. 2).

    Both sides are equally many feature maps, with the same channels layer by layer, for the same N images. The squared
    differences of the FSP matrices of consecutive layers are summed over their entries and over the pairs of layers,
    all with weight 1, and averaged over the images.
    """
    ours, theirs = ([fsp_matrix(*pair) for pair in itertools.pairwise(maps)] for maps in (found, wanted))
    terms = [(one - two).square().sum((1, 2)).mean() for one, two in zip(ours, theirs, strict=True)]
    return torch.stack(terms).sum()


def fsp_matrix(first: Tensor, last: Tensor) -> Tensor:
    """Return the FSP matrices (N, m, n) of features (N, m, H, W) and (N, n, H', W') (Yim et al. 2017, Eq. 1).

    An entry is the mean over positions of the product of two channels; larger maps are max-pooled to the smaller size.
    """
    size = [min(sides) for sides in zip(first.shape[2:], last.shape[2:], strict=True)]
    one, two = (functional.adaptive_max_pool2d(maps.float(), size).flatten(2) for maps in (first, last))
    return one @ two.transpose(1, 2) / one.shape[2]  # divided by h x w
