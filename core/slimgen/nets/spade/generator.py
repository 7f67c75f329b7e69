"""GauGAN's generator (Park et al. 2019): label maps to images through spatially-adaptive normalisation (SPADE)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.spade.cost import (
    Block,
    check_options,
    check_size,
    layout,
    mobile_spade_cost,
    parse_config,
    spade_cost,
)

TAPS = ("head_0", "G_middle_1", "up_1")
"""The blocks after which GAN Compression compares student and teacher."""
_SLOPE = 0.2


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution of as many channels as its weight has, so that a part of it is one too."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, H, W) to the same."""
        return functional.conv2d(x, self.weight, self.bias, 1, 1, groups=self.weight.shape[0])


class Separable(nn.Module):
    """Depthwise 3x3, InstanceNorm, pointwise 1x1; both convolutions with a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(Depthwise(inputs), InstanceNorm2d(inputs), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to features (N, outputs, H, W)."""
        out: Tensor = self.conv(x)
        return out


class Spade(nn.Module):
    """A norm without parameters, then a scale and a shift for every pixel, read off the labels (Eq. 1).

    Args:
        channels: of the features.
        labels: channels of the label maps.
        hidden: channels between labels and scale.
        norm: `batch` or `instance`.
        mobile: whether scale and shift come from separable convolutions.
    """

    def __init__(self, channels: int, labels: int, hidden: int, norm: str, mobile: bool) -> None:
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False) if norm == "batch" else InstanceNorm2d(channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = (
            Separable(hidden, channels) if mobile else nn.Conv2d(hidden, channels, 3, padding=1) for _ in range(2)
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Features (N, channels, H, W) and label maps (N, labels, H, W) to features."""
        seen = self.mlp_shared(labels)
        out: Tensor = self.param_free_norm(x) * (1 + self.mlp_gamma(seen)) + self.mlp_beta(seen)
        return out


class SpadeBlock(nn.Module):
    """Twice SPADE, LeakyReLU and a 3x3 convolution, and the input added, through SPADE and a 1x1 if it is learned."""

    def __init__(self, block: Block, labels: int, norm: str, mobile: bool, spectral: bool) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
            made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=kernel > 1)
            return spectral_norm(made) if spectral else made

        self.conv_0 = conv(block.inputs, block.inner, 3)
        self.conv_1 = conv(block.inner, block.outputs, 3)
        self.norm_0 = Spade(block.inputs, labels, block.hidden, norm, mobile)
        self.norm_1 = Spade(block.inner, labels, block.hidden, norm, mobile)
        self.learned = block.learned
        if self.learned:
            self.conv_s = conv(block.inputs, block.outputs, 1)
            self.norm_s = Spade(block.inputs, labels, block.hidden, norm, mobile)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Features (N, inputs, H, W) and label maps of that size to features (N, outputs, H, W)."""
        skip = self.conv_s(self.norm_s(x, labels)) if self.learned else x
        inner = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), _SLOPE))
        out: Tensor = skip + self.conv_1(functional.leaky_relu(self.norm_1(inner, labels), _SLOPE))
        return out


class SpadeGenerator(nn.Module):
    """The generator of GauGAN: the label map at 1/64 of the size, then residual blocks between doublings.

    The labels, resized to each block's size, are all that enters: at the start through a convolution, and in every
    norm. Names in the state dict are those of published checkpoints without spectral norm. With `ngf` 64 and the 36
    channels of Cityscapes (35 classes and the edges of instances) it has 93,048,003 parameters.

    Args:
        inputs: channels of the label maps, such as one for each class and one for the edges of instances.
        outputs: channels of the images.
        ngf: channels of the last block; sixteen times as many at the smallest size.
        config: a channel configuration c0 .. c7 in place of `ngf`; see `spade_cost`.
        norm: what SPADE modulates: `batch`, as published, whose statistics want several images (or pixels) a batch;
            or `instance`, which sees single images.
        doublings: 6, as published; or 5, which starts from 1/32 of the size, for smaller images.
        spectral: spectral normalisation of the blocks' convolutions (Miyato et al. 2018), as GauGAN is trained; not
            of those that read the labels, nor of the first and the last one. See `folded`.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the configuration is malformed.
    """

    folds = True

    cost = staticmethod(spade_cost)
    mobile = False

    def __init__(
        self,
        inputs: int = 36,
        outputs: int = 3,
        ngf: int = 64,
        config: str | Sequence[int] | None = None,
        norm: str = "batch",
        doublings: int = 6,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        check_options(inputs, outputs, norm, doublings)
        self.config = parse_config((ngf,) * 8 if config is None else config)
        self.shape: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "norm": norm, "doublings": doublings}
        self.layout = layout(self.config, doublings)
        self.fc = nn.Conv2d(inputs, self.layout[0].inputs, 3, padding=1)
        for block in self.layout:
            self.add_module(block.name, SpadeBlock(block, inputs, norm, self.mobile, spectral))
        self.conv_img = nn.Conv2d(self.layout[-1].outputs, outputs, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        """Label maps (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1].

        Raises:
            SlimgenError: H and W are no multiples of 64 (of 32 with 5 doublings), or only one pixel would be left.
        """
        return self.features(labels)[0]

    def features(self, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares: after the blocks `TAPS`."""
        height, width = labels.shape[2:]
        if isinstance(width, int):  # while a graph is exported, sizes are symbols
            single = self.mobile or self.shape["norm"] == "instance"
            check_size(height, width, self.shape["doublings"], single)
        part, found = self.layout[0].part, []
        seen = functional.interpolate(labels, size=(height // part, width // part))
        out = self.fc(seen)
        for block in self.layout:
            if block.part != part:
                out, part = functional.interpolate(out, scale_factor=2.0, mode="nearest"), block.part
                seen = labels if part == 1 else functional.interpolate(labels, size=out.shape[2:])
            out = self.get_submodule(block.name)(out, seen)
            if block.name in TAPS:
                found.append(out)
        image = torch.tanh(self.conv_img(functional.leaky_relu(out, _SLOPE)))
        return image, found

    @property
    def tap_channels(self) -> list[int]:
        """How wide the features are that `features` gives."""
        return [block.outputs for block in self.layout if block.name in TAPS]

    @torch.no_grad()
    def folded(self) -> "SpadeGenerator":
        """A copy whose spectral norms are divided into the weights, as for export: it computes the same in evaluation.

        The original's power iterations are not moved on.
        """
        training = self.training
        self.eval()
        own = {name: tensor for name, tensor in self.state_dict().items() if ".parametrizations." not in name}
        for name, module in self.named_modules():
            if parametrize.is_parametrized(module, "weight"):
                own[f"{name}.weight"] = module.weight.clone()
        self.train(training)
        return self.of(own, self.config, **self.shape)

    @classmethod
    def of(cls, weights: dict[str, Tensor], config: Sequence[int], **shape: Any) -> "SpadeGenerator":
        """A generator without spectral norm that holds copies of these weights; arguments as of the constructor."""
        with torch.device("meta"):  # so that no weights are drawn, and the global random state is left alone
            net = cls(config=tuple(config), **shape)
        copies = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()
        }
        net.load_state_dict(copies, assign=True)
        return net


class MobileSpadeGenerator(SpadeGenerator):
    """A `SpadeGenerator` whose scales and shifts come from separable convolutions, as GAN Compression searches it.

    Dense, those convolutions are most of GauGAN's operations; the blocks' own stay dense. Options, names and errors
    as of `SpadeGenerator`.
    """

    cost = staticmethod(mobile_spade_cost)
    mobile = True
