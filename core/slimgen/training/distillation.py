"""Distillation of GAN Compression (Li et al. 2020, Eq. 3): a student imitates its teacher, inside or at the output."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adaptors(nn.ModuleList):
    """A learned 1x1 convolution for each layer, from the student's channels to the teacher's.

    A once-for-all student has fewer channels at each configuration; it then takes the first of an adaptor's inputs.

    Args:
        students: channels of the widest student, layer by layer.
        teachers: channels of the teacher.
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
    """A frozen generator that is asked about the same images again and again, and runs once.

    Args:
        net: frozen here, and put into evaluation mode.
    """

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
    """Eq. 3 as its authors compute it: the mean squared difference, summed over the layers.

    Args:
        found: the student's features, through the adaptors.
        wanted: the teacher's.
    """
    terms = [functional.mse_loss(one.float(), two.float()) for one, two in zip(found, wanted, strict=True)]
    return torch.stack(terms).sum()
