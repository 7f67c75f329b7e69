"""GauGAN's generator (Park et al. 2019), from label maps to images, with spatially-adaptive normalisation (SPADE)."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.rows import Row
from slimgen.nets.layers import Described, Separable, load_copies, norm_of, weights_of
from slimgen.nets.spade.description import TAPS, MobileSpadeOptions, SpadeOptions

_SLOPE = 0.2


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution that takes its number of channels from its weight, so a slice of the weight works."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to the same shape."""
        return functional.conv2d(x, self.weight, self.bias, 1, 1, groups=self.weight.shape[0])


def _modulation(row: Row) -> nn.Module:
    return Separable(row, _depthwise) if row.within else weights_of(row)


def _depthwise(row: Row) -> nn.Module:
    return Depthwise(row.inputs) if row.kind == "depthwise" else weights_of(row)


class Spade(nn.Module):
    """A norm without parameters, then a scale and a shift for every pixel, computed from the labels (Eq. 1)."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        norm, shared, gamma, beta, _ = row.within
        self.param_free_norm = norm_of(norm)
        self.mlp_shared = nn.Sequential(weights_of(shared), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = _modulation(gamma), _modulation(beta)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Map features (N, channels, H, W) and label maps (N, labels, H, W) to features of the same shape."""
        seen = self.mlp_shared(labels)
        out: Tensor = self.param_free_norm(x) * (1 + self.mlp_gamma(seen)) + self.mlp_beta(seen)
        return out


class SpadeBlock(nn.Module):
    """Twice SPADE, LeakyReLU and a 3x3 convolution, plus a shortcut: the input, or SPADE and a learned 1x1 of it."""

    conv_0: nn.Module
    conv_1: nn.Module
    conv_s: nn.Module
    norm_0: nn.Module
    norm_1: nn.Module
    norm_s: nn.Module

    def __init__(self, row: Row, spectral: bool) -> None:
        super().__init__()
        for part in row.within:
            if part.within:
                self.add_module(part.name, Spade(part))
            else:
                convolution = weights_of(part)
                self.add_module(part.name, spectral_norm(convolution) if spectral else convolution)
        self.learned = any(part.name == "conv_s" for part in row.within)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) and label maps of that size to features (N, outputs, H, W)."""
        skip = self.conv_s(self.norm_s(x, labels)) if self.learned else x
        inner = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), _SLOPE))
        out: Tensor = skip + self.conv_1(functional.leaky_relu(self.norm_1(inner, labels), _SLOPE))
        return out


class SpadeGenerator(Described):
    """GauGAN's generator: a convolution of the label map at 1/64 of the size, then residual blocks between doublings.

    The label map is the only input: it enters through the first convolution and, resized, through every norm. Names in
    the state dict are those of published checkpoints without spectral norm. With `ngf` 64 and the 36 channels of
    Cityscapes it has 93,048,003 parameters. Options and errors: see `SpadeOptions`.
    """

    folds = True

    Options = SpadeOptions
    options: SpadeOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = self.options.blocks()
        first, last = self.options.ends(self.blocks)
        self.fc = weights_of(first)
        for block in self.blocks:
            self.add_module(block.name, SpadeBlock(block.row(), self.options.spectral))
        self.conv_img = weights_of(last)

    def forward(self, labels: Tensor) -> Tensor:
        """Map label maps (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]; for sizes see `check_size`."""
        return self.features(labels)[0]

    def features(self, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the images and the features for distillation: the outputs of the blocks `TAPS`."""
        height, width = labels.shape[2:]
        if isinstance(width, int):  # while a graph is exported, sizes are symbols
            self.options.check_size(height, width)
        part, features = self.blocks[0].part, []
        seen = functional.interpolate(labels, size=(height // part, width // part))
        out = self.fc(seen)
        for block in self.blocks:
            if block.part != part:
                out, part = functional.interpolate(out, scale_factor=2.0, mode="nearest"), block.part
                seen = labels if part == 1 else functional.interpolate(labels, size=out.shape[2:])
            out = self.get_submodule(block.name)(out, seen)
            if block.name in TAPS:
                features.append(out)
        image = torch.tanh(self.conv_img(functional.leaky_relu(out, _SLOPE)))
        return image, features

    @torch.no_grad()
    def folded(self) -> "SpadeGenerator":
        """Copy the generator with spectral norms divided into the weights; its power iterations do not advance."""
        training = self.training
        self.eval()
        weights = {name: tensor for name, tensor in self.state_dict().items() if ".parametrizations." not in name}
        for name, module in self.named_modules():
            if parametrize.is_parametrized(module, "weight"):
                weights[f"{name}.weight"] = module.weight.clone()
        self.train(training)
        with torch.device("meta"):  # draws no weights and leaves the global random state unchanged
            net = type(self)(**{**asdict(self.options), "spectral": False})
        load_copies(net, weights)
        return net


class MobileSpadeGenerator(SpadeGenerator):
    """A `SpadeGenerator` with separable convolutions for scales and shifts, as GAN Compression searches it.

    As dense convolutions these are most of GauGAN's operations. The blocks' other convolutions stay dense.
    """

    Options = MobileSpadeOptions
