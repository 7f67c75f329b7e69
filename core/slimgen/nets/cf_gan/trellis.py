"""CF-GAN's super-generator for image translation: paths, operators and channels in one network (section 3.1).

The one for super-resolution in `upscale_trellis` is the same over another space.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost
from slimgen.nets.cf_gan.layers import (
    ConvNorm,
    Index,
    Mixed,
    build,
    convolutions,
    first,
    ranking,
    sliced,
    strongest,
    taken,
)
from slimgen.nets.cf_gan.pieces import pieces_of
from slimgen.nets.cf_gan.space import Layer, Shape, TrellisOptions, channels_of, parse_path, trellis_cost
from slimgen.nets.functional import reflect
from slimgen.nets.layers import Described
from slimgen.nets.pieces import Piece
from slimgen.nets.supernet import Arch, Gates, Supernet, branches, pinned
from slimgen.search.genotype import Genotype, Value


class TrellisGenerator(Described):
    """One generator of the trellis, made of plain modules; for options and errors see `TrellisOptions`."""

    Options = TrellisOptions
    options: TrellisOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._adopt(str(self.options.genotype["path"]), built(self.options, self.options.genotype))

    @classmethod
    def of(cls, path: str, modules: Mapping[str, nn.Module]) -> Self:
        """Return a generator made of existing layers, given by name; they may belong to a supernet."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(path, modules)
        return net

    def _adopt(self, path: str, modules: Mapping[str, nn.Module]) -> None:
        self.path, self.stem, self.output = parse_path(path), modules["stem"], modules["output"]
        self.downs = nn.ModuleList(under(modules, "downs").values())
        groups = (under(modules, f"groups.{group}") for group in range(len(self.path)))
        self.groups = nn.ModuleList(nn.Sequential(*blocks.values()) for blocks in groups)
        self.ends = nn.ModuleList(under(modules, "ends").values())
        self.climbs = nn.ModuleDict(under(modules, "climbs"))
        self.joins = nn.ModuleDict(under(modules, "joins"))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
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

    A narrower width keeps the strongest channels (CF-GAN, A.6), judged by all layers that write to them: for a trunk,
    the climb into it and every block on it. After `sort_channels` it keeps the first channels. Groups have separate
    weights for each scale, and climbs for each pair of groups that they connect.

    Attributes:
        sorted: whether a narrower width keeps the first channels.
    """

    sorted = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.space = shape, shape.space
        wide: dict[str, nn.Module] = {}
        every = [shape.name(path) for path in shape.paths()]
        # The last for joins at scales that no path reaches when groups are few.
        for path in (*every, shape.name(shape.scales)):
            channels = channels_of(shape, defaultdict(lambda: 1.0, path=path))
            for layer in shape.layers(path):
                if layer.source not in wide and (path in every or layer.kind == "join"):
                    wide[layer.source] = self._full(layer, channels)
        self.stem, self.downs = wide["stem"], nn.ModuleList(under(wide, "downs").values())
        nodes = dict.fromkeys(source.split(".")[0] for source in under(wide, "nodes"))
        self.nodes = nn.ModuleDict({node: nn.ModuleList(under(wide, f"nodes.{node}").values()) for node in nodes})
        self.climbs = nn.ModuleDict(under(wide, "climbs"))
        self.ends, self.joins = nn.ModuleList(under(wide, "ends").values()), nn.ModuleDict(under(wide, "joins"))
        self.output = wide["output"]

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Map images (N, inputs, H, W), H and W multiples of 4, through an architecture; the weights get gradients."""
        out: Tensor = self.generator(arch, live=True)(images)
        return out

    def extract(self, genotype: Genotype) -> nn.Module:
        """See `Supernet`."""
        self.space.check(genotype)
        return self.generator(genotype, live=False)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """See `Supernet`."""
        return trellis_cost(self.shape, genotype, height, width)

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """See `Supernet`."""
        return pieces_of(self.shape, genotype, height, width)

    def scale_factors(self) -> list[nn.Parameter]:
        """Return the scale factors gamma: the weights of all norms."""
        return [module.norm.weight for module in self.modules() if isinstance(module, ConvNorm)]

    def writers(self, arch: Arch) -> dict[str, list[nn.Module]]:
        """Return each feature of an architecture with the convolutions that write it, over all mixed operators.

        The name of a block's inner feature includes the operator: `g0b1.dws`.
        """
        found: dict[str, list[nn.Module]] = defaultdict(list)
        for layer in self.shape.layers(pinned(arch)["path"])[:-1]:
            if layer.kind != "block":
                found[layer.writes] += convolutions(self.get_submodule(layer.source))
                continue
            for option, _ in branches(arch, f"operator.{layer.beside}"):
                *inner, last = convolutions(self._operator(layer, option))
                found[layer.writes].append(last)
                if inner:
                    found[f"{layer.beside}.{option}"] += inner
        return found

    @torch.no_grad()
    def sort_channels(self, path: str) -> None:
        """Reorder the channels of one path, strongest first over all its operators; the outputs stay the same.

        From then on a narrower width keeps the first channels, even if the scale factors change, and only architectures
        of this path are valid.
        """
        every = Gates.uniform(self.space, self.space.canonical({**self.space.largest(), "path": path}), "operator.")
        order: dict[str, Index] = {"input": None, "output": None}
        for feature, writers in self.writers(every).items():
            order[feature] = ranking(writers)
        for layer in self.shape.layers(path):
            for option in self.shape.operators if layer.kind == "block" else (layer.kind,):
                wide = self._operator(layer, option) if layer.kind == "block" else self.get_submodule(layer.source)
                for conv, (outputs, inputs) in zip(convolutions(wide), _pairs(layer, option, order, wide), strict=True):
                    for part in conv.modules():
                        for weight in part.parameters(recurse=False):
                            groups = part.groups if isinstance(part, nn.Conv2d) else 1
                            weight.copy_(taken(weight, outputs, inputs, groups))
        self.sorted = True

    def generator(self, arch: Arch, live: bool) -> nn.Module:
        """Return the generator of one architecture, with views of the weights (live) or copies of them."""
        at = pinned(arch)
        path, channels = str(at["path"]), channels_of(self.shape, at)
        kept = self._kept(arch, channels)
        modules: dict[str, nn.Module] = {}
        for layer in self.shape.layers(path):
            if layer.kind != "block":
                wide = self.get_submodule(layer.source)
                rows = layer.rows(self.shape, layer.kind, channels)
                modules[layer.name] = sliced(wide, rows, _pairs(layer, layer.kind, kept, wide), live)
                continue
            thin, weights, times = [], [], layer.times_in(at)
            for option, weight in branches(arch, f"operator.{layer.beside}"):
                wide = self._operator(layer, option)
                rows = layer.rows(self.shape, str(option), channels)
                thin.append(sliced(wide, rows, _pairs(layer, option, kept, wide), live, times))
                weights += [weight] if weight is not None else []
            modules[layer.name] = Mixed(thin, weights) if weights else thin[0]
        return self._assembled(path, modules)

    def _assembled(self, path: str, modules: Mapping[str, nn.Module]) -> nn.Module:
        """Return the generator of a path that is made of these layers."""
        return TrellisGenerator.of(path, modules)

    def _kept(self, arch: Arch, channels: Mapping[str, int]) -> dict[str, Index]:
        """Return the channels that an architecture keeps of every feature."""
        kept: dict[str, Index] = {"input": None, "output": None}
        for feature, writers in self.writers(arch).items():
            name, _, operator = feature.partition(".")
            width = self.shape.inner(operator, channels[name])
            kept[feature] = first(writers, width) if self.sorted else strongest(writers, width)
        return kept

    def _operator(self, layer: Layer, option: Value) -> nn.Module:
        """Return one operator of a block."""
        operator = self.get_submodule(f"{layer.source}.{option}")
        return operator.get_submodule("body") if option == "conv3x3" else operator

    def _full(self, layer: Layer, channels: Mapping[str, int]) -> nn.Module:
        """Build a layer at full width; for a block, all its operators."""
        if layer.kind != "block":
            return build(layer.rows(self.shape, layer.kind, channels), scaled=True)
        rows = {name: layer.rows(self.shape, name, channels) for name in self.shape.operators}
        operators = {name: build(every, scaled=True) for name, every in rows.items()}
        if "conv3x3" in operators:
            operators["conv3x3"] = nn.ModuleDict({"body": operators["conv3x3"]})
        return nn.ModuleDict(operators)


def _pairs(layer: Layer, kind: Value, kept: Mapping[str, Index], wide: nn.Module) -> Sequence[tuple[Index, Index]]:
    """Return the output and input channels to keep for each convolution of a layer of this kind."""
    outputs, inputs, count = kept[layer.writes], kept[layer.reads], len(convolutions(wide))
    if layer.kind != "block":
        return [(outputs, inputs), (outputs, kept.get(layer.beside))][:count]
    if count == 1:
        return [(outputs, inputs)]
    inner = kept[f"{layer.beside}.{kind}"]
    return [(inner, inputs), *[(inner, inner)] * (count - 2), (outputs, inner)]


def under(modules: Mapping[str, nn.Module], holder: str) -> dict[str, nn.Module]:
    """Return the modules whose names start with a holder's name, under the rest of their names."""
    start = f"{holder}."
    return {name.removeprefix(start): module for name, module in modules.items() if name.startswith(start)}


def built(options: Shape, genotype: Mapping[str, Value]) -> dict[str, nn.Module]:
    """Build the layers of a genotype's generator, by name."""
    channels, modules = channels_of(options, genotype), dict[str, nn.Module]()
    for layer in options.layers(genotype["path"]):
        rows = layer.rows(options, layer.kind_in(genotype), channels)
        modules[layer.name] = build(rows, times=layer.times_in(genotype))
    return modules
