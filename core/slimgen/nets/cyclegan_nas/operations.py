"""The operations of CycleGANAS's cells, alone and mixed (section 3.2, Figure 2).

All convolutions of a slot are padded alike: by one reflected pixel and then zeros, as in the published code's
generators, by reflected pixels, or by zeros. They therefore read the same padded image, or its middle, and since they
are linear, a mixture of them is one convolution with the mixed kernels.
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
    """A convolution with stride 1 or 2, padded as its slot says."""

    def __init__(self, slot: Slot, option: str) -> None:
        super().__init__()
        row, (kernel, dilation) = slot.row(option), CONVOLUTIONS[option]
        kind = OutputConvolution if slot.name == "output" and dilation == 1 and slot.outputs <= FEW else nn.Conv2d
        # Pixels on every side, such that the size is kept or, with stride 2, exactly halved.
        added = dilation * ((kernel - 1) // 2)
        halving = slot.kind == "encoding"
        self.mirrored = {"one": 1, "reflect": added, "cyclegan": 0 if halving else added}[slot.padding]
        self.conv = kind(row.inputs, row.outputs, kernel, row.stride, added - self.mirrored, dilation=dilation)

    def forward(self, images: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out: Tensor = self.conv(_mirrored(images, self.mirrored))
        return out


def _mirrored(images: Tensor, width: int) -> Tensor:
    return reflect(images, width) if width else images  # no operation that does nothing in an exported graph


class Resize(nn.Module):
    """2 x 2 pooling, or interpolation to twice the size, followed by a pointwise convolution.

    Or CycleGAN's 3x3 transposed convolution alone, to exactly twice the size.
    """

    def __init__(self, slot: Slot, option: str) -> None:
        super().__init__()
        self.resize = RESIZES.get(option, nn.Identity)()
        self.conv = weights_of(slot.row(option))

    def forward(self, images: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H / 2, W / 2) or (N, outputs, 2 H, 2 W)."""
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
    """Build an operation for a slot; `spectral` adds spectral norm (Miyato et al. 2018)."""
    operation = Convolve(slot, option) if option in CONVOLUTIONS else Resize(slot, option)
    if spectral:
        spectral_norm(operation.conv)
    return operation


class Choices(nn.ModuleDict):
    """All operations of one slot, with or without spectral norms.

    Before a norm, the scale of a single kernel has no effect, but in a mixture a kernel's scale adds to its gate's
    weight. Spectral norms keep the kernels at one scale, so that only the gates count.
    """

    def __init__(self, slot: Slot, spectral: bool) -> None:
        super().__init__({option: build(slot, option, spectral) for option in slot.options})
        self.slot = slot

    def run(self, images: Tensor, arch: Arch) -> Tensor:
        """Run a genotype's operation, or the mixture by gates (the equation of section 3.2)."""
        options = self.slot.options
        chosen = branches(arch, self.slot.name) if len(options) > 1 else [(options[0], None)]
        weighted = [(str(option), weight) for option, weight in chosen if weight is not None]
        if not weighted:
            return self._alone(str(chosen[0][0]), images)
        if len(weighted) == 1:  # one operation was drawn: nothing to merge
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
    """Apply the weighted sum of convolutions with equal stride as one convolution with the mixed kernel.

    For all of S^r that is 81 taps instead of 117. Images are (N, inputs, H, W), weights scalars.
    """
    weighted = list(weighted)
    kernel, bias, reach = blended((operation.conv, weight) for operation, weight in weighted)
    stride, mirrored = int(weighted[0][0].conv.stride[0]), max(operation.mirrored for operation, _ in weighted)
    return functional.conv2d(_mirrored(images, mirrored), kernel, bias, stride, padding=reach - mirrored)


def folded(slot: Slot, option: str, operation: Operation) -> Operation:
    """Copy an operation with its spectral norm divided into the weights; its outputs in evaluation are the same.

    The original's power iteration does not advance. The copy has the default layout, whatever the original's.
    """
    with torch.device("meta"):
        copy = build(slot, option, spectral=False)
    training = operation.training
    operation.eval()
    weights = {f"conv.{name}": getattr(operation.conv, name) for name in ("weight", "bias")}
    operation.train(training)
    load_copies(copy, weights)
    return copy
