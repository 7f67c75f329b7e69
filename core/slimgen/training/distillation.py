"""What a generator learns of another: its inner features, or how they flow from layer to layer; and who asks it."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adaptors(nn.ModuleList):
    """A learned 1x1 convolution for each layer, from the widest student's channels to the teacher's.

    A once-for-all student has fewer channels at each configuration; it then takes the first of an adaptor's inputs.
    """

    def __init__(self, students: Sequence[int], teachers: Sequence[int]) -> None:
        super().__init__(nn.Conv2d(one, two, 1) for one, two in zip(students, teachers, strict=True))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of the student (N, c, h, w), as wide as the teacher's."""
        found = []
        for adaptor, feature in zip(self, features, strict=True):
            assert isinstance(adaptor, nn.Conv2d)
            found.append(functional.conv2d(feature, adaptor.weight[:, : feature.shape[1]], adaptor.bias))
        return found


class Teacher:
    """A generator, frozen here, that is asked about the same images again and again, and runs once."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net.eval().requires_grad_(False)
        self._asked: Tensor | None = None
        self._told: tuple[Tensor, list[Tensor]] = (torch.empty(0), [])

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Its images, and its features where the network shows any."""
        if images is not self._asked:
            show: Callable[[Tensor], Any] | None = getattr(self.net, "features", None)
            with torch.no_grad():
                self._told = show(images) if show is not None else (self.net(images), [])
            self._asked = images
        return self._told


def distillation_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The difference of the adapted student's features from the teacher's (GAN Compression, Li et al. 2020, Eq. 3).

    As its authors compute it: the mean squared difference, summed over the layers.
    """
    terms = [functional.mse_loss(one.float(), two.float()) for one, two in zip(found, wanted, strict=True)]
    return torch.stack(terms).sum()


def fsp_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How differently the features of two networks flow from layer to layer (Yim et al. 2017, Eq. 2).

    Both give as many feature maps, of the same channels layer by layer, all for the same N images. The squared
    differences of the FSP matrices of each layer and the next are summed over their entries and over the pairs of
    layers, whose weights are 1, and averaged over the images.
    """
    ours, theirs = ([fsp_matrix(*pair) for pair in itertools.pairwise(maps)] for maps in (found, wanted))
    terms = [(one - two).square().sum((1, 2)).mean() for one, two in zip(ours, theirs, strict=True)]
    return torch.stack(terms).sum()


def fsp_matrix(first: Tensor, last: Tensor) -> Tensor:
    """Features (N, m, H, W) and (N, n, H', W') to the flow between them (N, m, n) (Yim et al. 2017, Eq. 1).

    It is the mean over positions of the products of their channels; the larger maps are max-pooled to the smaller.
    """
    size = [min(sides) for sides in zip(first.shape[2:], last.shape[2:], strict=True)]
    one, two = (functional.adaptive_max_pool2d(maps.float(), size).flatten(2) for maps in (first, last))
    return one @ two.transpose(1, 2) / one.shape[2]  # divided by h x w
