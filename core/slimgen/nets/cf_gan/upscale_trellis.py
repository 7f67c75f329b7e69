"""CF-GAN's super-generator for super-resolution: paths, operators, recursions and channels in one network."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import has_torch_function_unary

from slimgen.nets.cf_gan.space import Layer
from slimgen.nets.cf_gan.trellis import Trellis, built, under
from slimgen.nets.cf_gan.upscale_layers import ScaledConvolution, enlarged
from slimgen.nets.cf_gan.upscale_pieces import upscale_pieces
from slimgen.nets.cf_gan.upscale_space import UpscaleOptions, UpscaleShape
from slimgen.nets.initial import GLOROT
from slimgen.nets.layers import Described
from slimgen.nets.pieces import Piece
from slimgen.search.genotype import Genotype, Value


class UpscaleGenerator(Described):
    """One generator of the trellis for super-resolution; for options and errors see `UpscaleOptions`.

    The bicubic enlargement of the input is added to what its last convolution returns (CF-GAN's global residual).
    """

    Options = UpscaleOptions
    options: UpscaleOptions
    initial = GLOROT

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._adopt(self.options, self.options.genotype["path"], built(self.options, self.options.genotype))

    @classmethod
    def of(cls, shape: UpscaleShape, path: Value, modules: Mapping[str, nn.Module]) -> Self:
        """Return a generator made of existing layers, given by name; they may belong to a supernet."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(shape, path, modules)
        return net

    def _adopt(self, shape: UpscaleShape, path: Value, modules: Mapping[str, nn.Module]) -> None:
        self.scale, self.path = shape.scale, shape.parse(path)
        self.finer = shape.scales[1:]
        self.stem, self.output = modules["stem"], modules["output"]
        groups = (under(modules, f"groups.{group}") for group in range(len(self.path)))
        self.groups = nn.ModuleList(nn.Sequential(*blocks.values()) for blocks in groups)
        self.climbs = nn.ModuleDict(under(modules, "climbs"))
        self.ends = nn.ModuleList(under(modules, "ends").values())
        self.joins = nn.ModuleDict(under(modules, "joins"))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) of any size to images (N, inputs, scale H, scale W), both in [-1, 1]."""
        stem = self.stem(images)
        features, last = stem, dict[int, Tensor]()
        for group, part in enumerate(self.path):
            if str(group) in self.climbs:
                features = self.climbs[str(group)](features, stem)
            features = self.groups[group](features)
            last[part] = features
        out, before = last[self.scale], self.scale
        for part, end in zip(self.finer, self.ends, strict=True):
            out = end(enlarged(out, before // part))
            if part in last:
                out = out + self.joins[str(self.scale // part)](last[part])
            before = part
        residual: Tensor = self.output(out)
        return residual + bicubic(images, self.scale)


class UpscaleTrellis(Trellis):
    """The super-generator for super-resolution; see `Trellis`.

    Each convolution but the output's has a learned scale per channel, which is in the weights of what `extract`
    returns. A block is applied as often as the genotype says, always with the same weights.
    """

    initial = GLOROT
    shape: UpscaleShape

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """See `Supernet`."""
        return upscale_pieces(self.shape, genotype, height, width)

    def scale_factors(self) -> list[nn.Parameter]:
        """Return the scale factors gamma: the scales of all convolutions."""
        return [module.scale for module in self.modules() if isinstance(module, ScaledConvolution)]

    def _assembled(self, path: str, modules: Mapping[str, nn.Module]) -> UpscaleGenerator:
        return UpscaleGenerator.of(self.shape, path, modules)

    def _operator(self, layer: Layer, option: Value) -> nn.Module:
        return self.get_submodule(f"{layer.source}.{option}")


def bicubic(images: Tensor, factor: int) -> Tensor:
    """Enlarge images (N, C, H, W) by a whole factor, by bicubic interpolation as torch and ONNX have it (a = -0.75).

    On a CPU the factor x factor pixels made of each one are the outputs of one convolution, which a pixel shuffle puts
    in their places: the same sums as `interpolate`, four times as fast.
    """
    watched = torch.compiler.is_compiling() or has_torch_function_unary(images)
    if watched or images.device.type != "cpu" or images.dtype not in (torch.float32, torch.float64):
        return functional.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    count, channels, height, width = images.shape
    alone = images.contiguous().view(count * channels, 1, height, width)
    with torch.autocast("cpu", enabled=False):  # as interpolation, which autocast leaves in float32
        around = functional.pad(alone, (_REACH,) * 4, mode="replicate")
        made = functional.conv2d(around, _bicubic_kernels(factor).to(images.dtype))
    whole = functional.pixel_shuffle(made, factor).view(count, channels, factor * height, factor * width)
    # In the images' layout, in which the rest of a generator computes what is added.
    last = images.is_contiguous(memory_format=torch.channels_last)
    return whole.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


_REACH = 2  # pixels on either side that bicubic interpolation reads, at the most


@cache
def _bicubic_kernels(factor: int) -> Tensor:
    """Return the weights of the pixels around one for each of those made of it: float64 (factor^2, 1, 5, 5).

    Made outside of inference mode, since training uses them too.
    """
    near, far = (1.25, -2.25, 0.0, 1.0), (-0.75, 3.75, -6.0, 3.0)  # a cubic's coefficients for distances to 1 and to 2
    with torch.inference_mode(False), torch.device("cpu"):
        made = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        apart = (made[:, None] - torch.arange(-_REACH, _REACH + 1)).abs()
        cubics = [((a * apart + b) * apart + c) * apart + d for a, b, c, d in (near, far)]
        taps = torch.where(apart <= 1, cubics[0], torch.where(apart < 2, cubics[1], 0.0))
        return torch.einsum("yi,xj->yxij", taps, taps).flatten(0, 1).unsqueeze(1)
