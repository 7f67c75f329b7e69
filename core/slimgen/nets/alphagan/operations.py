"""The operations of AlphaGAN's cells (Tian et al., section 4.2)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.nets.gates import Arch, Gates, mixed
from slimgen.nets.kernels import blended
from slimgen.search.genotype import Value

Wrap = Callable[[nn.Module], nn.Module]
"""What is done to each convolution, such as a spectral norm."""


def bare(conv: nn.Module) -> nn.Module:
    """The convolution as it is."""
    return conv


class Normal(nn.Sequential):
    """A normal operation: a ReLU and a convolution; or, twice, a ReLU, a depthwise and a 1x1 convolution and a norm.

    Args:
        operation: one of `alphagan_space.NORMAL`.
        inputs: channels before.
        outputs: channels after.
        affine: whether the norms have scales of their own: when a generator is trained, but not while it is searched.
        normed: whether separable convolutions have norms at all.
        wrap: done to each convolution.
        rectified: whether it begins with a ReLU; an image would lose its half by it.
    """

    def __init__(
        self,
        operation: str,
        inputs: int,
        outputs: int,
        *,
        affine: bool = True,
        normed: bool = True,
        wrap: Wrap = bare,
        rectified: bool = True,
    ) -> None:
        kernel = int(operation[-1])
        if operation.startswith("conv"):
            super().__init__(
                nn.ReLU() if rectified else nn.Identity(), wrap(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
            )
            return
        layers: list[nn.Module] = []
        for after in (inputs, outputs):
            deep = nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False)
            layers += [nn.ReLU(), wrap(deep), wrap(nn.Conv2d(inputs, after, 1, bias=not normed))]
            layers += [nn.BatchNorm2d(after, affine=affine)] if normed else []
        super().__init__(*layers)


def mixed_normal(arch: Arch, name: str, features: Tensor, operations: nn.ModuleDict, recompute: bool) -> Tensor:
    """A choice among normal operations applied, as `mixed` does it, in fewer computations.

    All operations begin alike, so that is done once. And convolutions are linear, so the dense ones are mixed as
    kernels: 25 taps in the place of 35, and one feature map to keep for the gradients in the place of three.

    Args:
        arch: a genotype or gates.
        name: of the choice.
        features: (N, inputs, H, W).
        operations: option to `Normal`.
        recompute: as of `mixed`; the mixed kernel keeps little anyway.
    """

    def operation(option: Value) -> Normal:
        found = operations[str(option)]
        assert isinstance(found, Normal)
        return found

    options = arch.options[name] if isinstance(arch, Gates) and name in arch.probabilities else ()
    dense = [at for at, option in enumerate(options) if len(operation(option)) == 2]
    if len(dense) < 2 or not isinstance(arch, Gates) or name in arch.only:
        return mixed(arch, name, lambda option: operation(option)(features), recompute, operation)
    begun: Tensor = operation(options[0])[0](features)
    weights = arch.probabilities[name].unbind()
    kernel, bias, reach = blended((operation(options[at])[1], weights[at]) for at in dense)
    out = functional.conv2d(begun, kernel, bias, padding=reach)
    others = [at for at in range(len(options)) if at not in dense]
    if not others:
        return out

    def rest(option: Value) -> Tensor:
        reached: Tensor = begun
        for layer in list(operation(option))[1:]:
            reached = layer(reached)
        return reached

    left = Gates(
        arch.at, {name: tuple(options[at] for at in others)}, {name: torch.stack([weights[at] for at in others])}
    )
    return out + mixed(left, name, rest, recompute, operation)


class Up(nn.Module):
    """An up operation: a transposed convolution 2x2 of stride 2, or an interpolation, applied until it suffices.

    Args:
        operation: one of `alphagan_space.UP`.
        channels: before and after.
        factor: 2, or a power of it; the same weights serve every doubling.
        interpolation: `learned` gives nearest and bilinear a 1x1 convolution, where there are fewer pixels.
    """

    def __init__(self, operation: str, channels: int, factor: int, interpolation: str = "plain") -> None:
        super().__init__()
        self.operation, self.factor = operation, factor
        self.conv: nn.Module | None = None
        if operation == "deconv":
            self.conv = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        elif interpolation == "learned":
            self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, channels, factor H, factor W)."""
        if self.operation != "deconv" and self.conv is not None:
            features = self.conv(features)
        factor = self.factor
        while factor > 1:
            if self.operation == "deconv":
                assert self.conv is not None
                features = self.conv(features)
            else:
                features = functional.interpolate(features, scale_factor=2.0, mode=self.operation)
            factor //= 2
        return features


def edge(name_is_up: bool, operation: str, channels: int, factor: int, interpolation: str, affine: bool) -> nn.Module:
    """The module of one operation on one edge."""
    if name_is_up:
        return Up(operation, channels, factor, interpolation)
    return Normal(operation, channels, channels, affine=affine)
