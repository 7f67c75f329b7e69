"""The operations of CycleGANAS's cells, and how several are mixed (section 3.2, Figure 2).

Padding is one reflected pixel, and zeros beyond, as in the published code's generators. So every convolution reads the
same padded image, and as convolutions are linear, a mixture of convolutions is one convolution with the mixed kernels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.nets.cyclegan_nas.space import CONVOLUTIONS, INTERPOLATIONS, POOLS, TRANSPOSED, Place
from slimgen.nets.gates import Arch, branches
from slimgen.nets.kernels import blended
from slimgen.nets.output import OutputConvolution
from slimgen.nets.padding import reflect

_STRIDE = {"encoding": 2, "residual": 1}
_FEW = 4


class Convolve(nn.Module):
    """A convolution of stride 1 or 2 over one reflected pixel, and zeros beyond."""

    def __init__(self, place: Place, option: str) -> None:
        super().__init__()
        kernel, dilation = CONVOLUTIONS[option]
        self.reach = CONVOLUTIONS[option].padding
        quick = place.last and dilation == 1 and place.outputs <= _FEW
        kind = OutputConvolution if quick else nn.Conv2d
        self.conv = kind(
            place.inputs, place.outputs, kernel, _STRIDE[place.kind], padding=self.reach - 1, dilation=dilation
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out: Tensor = self.conv(reflect(images, 1))
        return out


class Pool(nn.Module):
    """The largest or the mean of each square of 2 x 2 pixels, then a pointwise convolution."""

    def __init__(self, place: Place, option: str) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2) if option == "max_pool" else nn.AvgPool2d(2)
        self.conv = nn.Conv2d(place.inputs, place.outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / 2, W / 2)."""
        out: Tensor = self.conv(self.pool(images))
        return out


class Enlarge(nn.Module):
    """Interpolation to twice the size, then a pointwise convolution."""

    def __init__(self, place: Place, option: str) -> None:
        super().__init__()
        self.enlarge = nn.Upsample(scale_factor=2, mode=option)
        self.conv = nn.Conv2d(place.inputs, place.outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, 2 H, 2 W)."""
        out: Tensor = self.conv(self.enlarge(images))
        return out


class Transposed(nn.Module):
    """The transposed convolution of CycleGAN: 3x3, to exactly twice the size."""

    def __init__(self, place: Place, option: str) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(place.inputs, place.outputs, 3, stride=2, padding=1, output_padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, 2 H, 2 W)."""
        out: Tensor = self.conv(images)
        return out


Operation = Convolve | Pool | Enlarge | Transposed
BUILDERS: dict[str, type[Operation]] = {
    **dict.fromkeys(CONVOLUTIONS, Convolve),
    **dict.fromkeys(POOLS, Pool),
    **dict.fromkeys(INTERPOLATIONS, Enlarge),
    TRANSPOSED: Transposed,
}
"""The class of every operation."""


def build(place: Place, option: str, spectral: bool) -> Operation:
    """One operation at its place; with `spectral`, its kernel is divided by its norm (Miyato et al. 2018)."""
    made = BUILDERS[option](place, option)
    if spectral:
        spectral_norm(made.conv)
    return made


class Choices(nn.ModuleDict):
    """All operations of one place.

    Args:
        place: its name, options and channels.
        spectral: spectral normalisation of every kernel. Behind a norm the scale of a lone kernel means nothing, but
            that of a kernel in a mixture does: it is the operation's share besides its gate. Spectral norms keep the
            operations comparable, so that the gates alone say which counts.
    """

    def __init__(self, place: Place, spectral: bool) -> None:
        super().__init__({option: build(place, option, spectral) for option in place.options})
        self.place = place

    def run(self, images: Tensor, arch: Arch) -> Tensor:
        """The operation of a genotype, or the mixture of gates (the equation of section 3.2)."""
        if len(self.place.options) == 1:
            return self._alone(self.place.options[0], images)
        found = branches(arch, self.place.name)
        weighted = [(str(option), weight) for option, weight in found if weight is not None]
        if not weighted:
            return self._alone(str(found[0][0]), images)
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


def merged(images: Tensor, kernels: Iterable[tuple[Convolve, Tensor]]) -> Tensor:
    """The weighted sum of convolutions of one stride, as one convolution with the weighted sum of their kernels.

    Of S^r 81 taps in the place of 117.

    Args:
        images: (N, inputs, H, W).
        kernels: convolutions and their weights, scalars.
    """
    those = [(part.conv, weight) for part, weight in kernels]
    kernel, bias, reach = blended(those)
    return functional.conv2d(reflect(images, 1), kernel, bias, int(those[0][0].stride[0]), padding=reach - 1)


def folded(place: Place, option: str, operation: Operation) -> Operation:
    """A copy of an operation whose spectral norm is divided into the weights: it computes the same in evaluation.

    The original's power iteration is not moved on. The copy lies in torch's own layout, so that it does not depend on
    how the original lay in memory.
    """
    with torch.device("meta"):
        made = build(place, option, spectral=False)
    training = operation.training
    operation.eval()
    weights = {"weight": operation.conv.weight, "bias": operation.conv.bias}
    operation.train(training)
    for name, value in weights.items():
        assert value is not None
        copy = value.detach().clone(memory_format=torch.contiguous_format)
        setattr(made.conv, name, nn.Parameter(copy))
    return made
