"""CF-GAN's super-generator for super-resolution: paths, operators, recursions and channels in one network."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional

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
    """Enlarge images (N, C, H, W) by a whole factor, by bicubic interpolation as torch and ONNX have it (a = -0.75)."""
    return functional.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
