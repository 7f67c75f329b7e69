"""The operations of CycleGANAS's cells, and how several are mixed (section 3.2, Figure 2).

Padding is one reflected pixel, and zeros beyond, as in the published code's generators. So every convolution reads the
same padded image, and as convolutions are linear, a mixture of convolutions is one convolution with the mixed kernels.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.nets.cyclegan_nas.space import CONVOLUTIONS, Slot
from slimgen.nets.functional import FEW, OutputConvolution, blended, reflect
from slimgen.nets.layers import load_copies, weights_of
from slimgen.nets.supernet import Arch, branches


class Convolve(nn.Module):
    """A convolution of stride 1 or 2 over one reflected pixel, and zeros beyond."""

    def __init__(self, slot: Slot, option: str) -> None:
        super().__init__()
        row, (kernel, dilation) = slot.row(option), CONVOLUTIONS[option]
        kind = OutputConvolution if slot.name == "output" and dilation == 1 and slot.outputs <= FEW else nn.Conv2d
        # So many zeros beyond the reflected pixel that the size is kept, or with stride 2 halved exactly.
        zeros = dilation * ((kernel - 1) // 2) - 1
        self.conv = kind(row.inputs, row.outputs, kernel, row.stride, zeros, dilation=dilation)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out: Tensor = self.conv(reflect(images, 1))
        return out


class Resize(nn.Module):
    """A pool of each square of 2 x 2 pixels, or an interpolation to twice the size, then a pointwise convolution.

    Or the transposed convolution of CycleGAN alone: 3x3, to exactly twice the size.
    """

    def __init__(self, slot: Slot, option: str) -> None:
        super().__init__()
        self.resize = RESIZES.get(option, nn.Identity)()
        self.conv = weights_of(slot.row(option))

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / 2, W / 2) or (N, outputs, 2 H, 2 W)."""
        out: Tensor = self.conv(self.resize(images))
        return out


RESIZES: dict[str, Callable[[], nn.Module]] = {
    "max_pool": lambda: nn.MaxPool2d(2),
    "avg_pool": lambda: nn.AvgPool2d(2),
    "nearest": lambda: nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
}
Operation = Convolve | Resize


def build(slot: Slot, option: str, spectral: bool) -> Operation:
    """One operation in its slot; with `spectral`, its kernel is divided by its norm (Miyato et al. 2018)."""
    operation = Convolve(slot, option) if option in CONVOLUTIONS else Resize(slot, option)
    if spectral:
        spectral_norm(operation.conv)
    return operation


class Choices(nn.ModuleDict):
    """All operations of one slot, with spectral norms or without.

    Behind a norm the scale of a single kernel means nothing, but that of a kernel in a mixture does: it is the
    operation's share besides its gate. Spectral norms keep the operations comparable, so that the gates alone count.
    """

    def __init__(self, slot: Slot, spectral: bool) -> None:
        super().__init__({option: build(slot, option, spectral) for option in slot.options})
        self.slot = slot

    def run(self, images: Tensor, arch: Arch) -> Tensor:
        """The operation of a genotype, or the mixture of gates (the equation of section 3.2)."""
        options = self.slot.options
        chosen = branches(arch, self.slot.name) if len(options) > 1 else [(options[0], None)]
        weighted = [(str(option), weight) for option, weight in chosen if weight is not None]
        if not weighted:
            return self._alone(str(chosen[0][0]), images)
        if len(weighted) == 1:  # one of many was drawn: there is nothing to merge it with
            return weighted[0][1] * self._alone(weighted[0][0], images)
        kernels = [(part, weight) for name, weight in weighted if isinstance(part := self[name], Convolve)]
        terms = [weight * self._alone(name, images) for name, weight in weighted if name not in CONVOLUTIONS]
        if kernels:
            terms.append(merged(images, kernels))
        return torch.stack(terms).sum(0) if len(terms) > 1 else terms[0]

    def _alone(self, option: str, images: Tensor) -> Tensor:
        out: Tensor = self[option](images)
        return out


def merged(images: Tensor, weighted: Iterable[tuple[Convolve, Tensor]]) -> Tensor:
    """The weighted sum of convolutions of one stride, as one with the weighted sum of their kernels.

    Of S^r 81 taps instead of 117. The images are (N, inputs, H, W), the weights scalars.
    """
    kernels = [(operation.conv, weight) for operation, weight in weighted]
    kernel, bias, reach = blended(kernels)
    return functional.conv2d(reflect(images, 1), kernel, bias, int(kernels[0][0].stride[0]), padding=reach - 1)


def folded(slot: Slot, option: str, operation: Operation) -> Operation:
    """A copy of an operation whose spectral norm is divided into the weights: it computes the same in evaluation.

    The original's power iteration is not moved on. The copy lies in torch's own layout, so that it does not depend on
    how the original lay in memory.
    """
    with torch.device("meta"):
        copy = build(slot, option, spectral=False)
    training = operation.training
    operation.eval()
    weights = {f"conv.{name}": getattr(operation.conv, name) for name in ("weight", "bias")}
    operation.train(training)
    load_copies(copy, weights)
    return copy
