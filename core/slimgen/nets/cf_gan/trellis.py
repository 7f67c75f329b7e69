"""CF-GAN's super-generator for image translation: paths, operators and channels in one network (section 3.1)."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost
from slimgen.nets.cf_gan import space
from slimgen.nets.cf_gan.layers import Index, Mixed, Residual, build, convolutions, scale_factors, sliced, strongest
from slimgen.nets.cf_gan.space import Layer, Shape, TrellisOptions, channels_of, layers
from slimgen.nets.functional import reflect
from slimgen.nets.layers import Described
from slimgen.nets.supernet import Arch, Supernet, branches, pinned
from slimgen.search.genotype import Genotype


class TrellisGenerator(Described):
    """One generator of the trellis, of plain modules in a row; options and errors as of `TrellisOptions`."""

    Options = TrellisOptions
    options: TrellisOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        genotype, channels = self.options.genotype, channels_of(self.options, self.options.genotype)
        row = layers(str(genotype["path"]), self.options.blocks)
        made = {layer.name: build(layer.rows(layer.kind_in(genotype), channels)) for layer in row}
        self._adopt(str(genotype["path"]), made)

    @classmethod
    def of(cls, path: str, modules: Mapping[str, nn.Module]) -> Self:
        """A generator of layers that exist already, by their names, whichever supernet they belong to."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(path, modules)
        return net

    def _adopt(self, path: str, modules: Mapping[str, nn.Module]) -> None:
        self.path, self.stem, self.output = space.parse_path(path), modules["stem"], modules["output"]
        self.downs = nn.ModuleList(under(modules, "downs").values())
        groups = (under(modules, f"groups.{group}") for group in range(len(self.path)))
        self.groups = nn.ModuleList(nn.Sequential(*blocks.values()) for blocks in groups)
        self.ends = nn.ModuleList(under(modules, "ends").values())
        self.climbs = nn.ModuleDict(under(modules, "climbs"))
        self.joins = nn.ModuleDict(under(modules, "joins"))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
        stems = {1: self.stem(functional.pad(images, (3, 3, 3, 3), mode="reflect"))}
        stems[2] = self.downs[0](stems[1])
        features = self.downs[1](stems[2])
        last: dict[int, Tensor] = {}
        for group, scale in enumerate(self.path):
            if str(group) in self.climbs:
                features = self.climbs[str(group)](features, stems[scale])
            features = self.groups[group](features)
            last[scale] = features
        out = last[4]
        for scale, end in zip((2, 1), self.ends, strict=True):
            out = end(functional.interpolate(out, scale_factor=2.0, mode="nearest"))
            if scale in last:
                out = out + self.joins[str(scale)](last[scale])
        return torch.tanh(self.output(reflect(out, 3)))


class Trellis(Supernet):
    """The super-generator: every path, operator and width, sharing weights.

    A narrower width keeps the channels of largest scale factor (CF-GAN, A.6), not the first ones. Groups keep separate
    weights for each scale, and each climb for the two groups that it joins.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.space = shape, space.trellis_space(shape)
        wide: dict[str, nn.Module] = {}
        every = [space.path_name(path) for path in space.paths(shape.groups)]
        for path in (*every, "4-2-1"):  # the last for the joins of scales that no path of few groups reaches
            channels = channels_of(shape, defaultdict(lambda: 1.0, path=path))
            for layer in layers(path, shape.blocks):
                if layer.source not in wide and (path in every or layer.kind == "join"):
                    wide[layer.source] = _full(layer, channels)
        self.stem, self.downs = wide["stem"], nn.ModuleList(under(wide, "downs").values())
        nodes = dict.fromkeys(source.split(".")[0] for source in under(wide, "nodes"))
        self.nodes = nn.ModuleDict({node: nn.ModuleList(under(wide, f"nodes.{node}").values()) for node in nodes})
        self.climbs = nn.ModuleDict(under(wide, "climbs"))
        self.ends, self.joins = nn.ModuleList(under(wide, "ends").values()), nn.ModuleDict(under(wide, "joins"))
        self.output = wide["output"]

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, through one architecture; gradients reach the weights."""
        out: Tensor = self.generator(arch, live=True)(images)
        return out

    def extract(self, genotype: Genotype) -> TrellisGenerator:
        """As of `Supernet`."""
        self.space.check(genotype)
        return self.generator(genotype, live=False)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """As of `Supernet`."""
        return space.trellis_cost(self.shape, genotype, height, width)

    def scale_factors(self) -> list[nn.Parameter]:
        """The gammas that rank channels, which the sparsity term of CF-GAN, Eq. 4 regularizes."""
        # A conv3x3 has no inner channels to rank.
        operators = [operator for operator in self.nodes.modules() if isinstance(operator, Residual)]
        return [*map(scale_factors, (self.stem, *self.downs, *self.ends, *self.climbs.values(), *operators))]

    def generator(self, arch: Arch, live: bool) -> TrellisGenerator:
        """The generator of one architecture, on views of the weights (live) or on copies of them."""
        at = pinned(arch)
        path, channels = str(at["path"]), channels_of(self.shape, at)
        kept: dict[str, Index] = {"input": None, "output": None}
        modules: dict[str, nn.Module] = {}
        for layer in layers(path, self.shape.blocks):
            wide = self.get_submodule(layer.source)
            if layer.writes not in kept:
                kept[layer.writes] = strongest(wide, channels[layer.writes])
            outputs, inputs = kept[layer.writes], kept[layer.reads]
            if layer.kind != "block":
                pairs = [(outputs, inputs), (outputs, kept.get(layer.beside))][: len(convolutions(wide))]
                modules[layer.name] = sliced(wide, layer.rows(layer.kind, channels), pairs, live)
                continue
            thin, weights = [], []
            for option, weight in branches(arch, f"operator.{layer.beside}"):
                operator, pairs = wide.get_submodule(str(option)), [(outputs, inputs)]
                if isinstance(operator, Residual):
                    inner = strongest(operator, channels[layer.beside])
                    pairs = [(inner, inputs), *[(inner, inner)] * (len(operator.chain) - 2), (outputs, inner)]
                else:
                    operator = operator.get_submodule("body")
                thin.append(sliced(operator, layer.rows(str(option), channels), pairs, live))
                weights += [weight] if weight is not None else []
            modules[layer.name] = Mixed(thin, weights) if weights else thin[0]
        return TrellisGenerator.of(path, modules)


def under(modules: Mapping[str, nn.Module], holder: str) -> dict[str, nn.Module]:
    """The modules whose names start with a holder's, without it."""
    start = f"{holder}."
    return {name.removeprefix(start): module for name, module in modules.items() if name.startswith(start)}


def _full(layer: Layer, channels: Mapping[str, int]) -> nn.Module:
    """A layer at its full width; of a block, every operator."""
    if layer.kind != "block":
        return build(layer.rows(layer.kind, channels))
    operators = {name: build(layer.rows(name, channels)) for name in space.OPERATORS}
    return nn.ModuleDict({**operators, "conv3x3": nn.ModuleDict({"body": operators["conv3x3"]})})
