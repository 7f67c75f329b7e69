"""CF-GAN's super-generator for image translation: paths, operators and channels in one network (section 3.1)."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.nets.cf_gan.cost import trellis_cost
from slimgen.nets.cf_gan.layers import ConvNorm, Index, all_of, sliced, sliced_conv, strongest
from slimgen.nets.cf_gan.operators import BUILDERS, Residual, sliced_operator
from slimgen.nets.cf_gan.space import Path, Shape, parse_path, paths, trellis_space
from slimgen.nets.gates import Arch, branches, pinned
from slimgen.nets.output import OutputConvolution
from slimgen.nets.padding import reflect
from slimgen.nets.supernet import Supernet
from slimgen.search.genotype import Genotype, Value


class Climb(nn.Module):
    """Nearest x2, a convolution that halves the width, and a 1x1 skip from the stem's feature of that size."""

    def __init__(self, body: ConvNorm, skip: nn.Conv2d) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, images: Tensor, stem: Tensor) -> Tensor:
        """(N, C, H, W) and the stem's (N, S, 2H, 2W) to (N, C', 2H, 2W)."""
        out: Tensor = self.body(functional.interpolate(images, scale_factor=2.0, mode="nearest")) + self.skip(stem)
        return out


class Mixed(nn.Module):
    """Several operators, their outputs summed with weights: an edge of a continuous relaxation."""

    def __init__(self, operators: list[nn.Module], weights: list[Tensor]) -> None:
        super().__init__()
        self.operators, self.weights = nn.ModuleList(operators), weights

    def forward(self, images: Tensor) -> Tensor:
        """(N, trunk, H, W) to the same."""
        terms = (weight * operator(images) for weight, operator in zip(self.weights, self.operators, strict=True))
        return torch.stack(list(terms)).sum(0)


class Parts(NamedTuple):
    """The pieces of one generator of the trellis."""

    path: Path
    stem: ConvNorm
    downs: list[ConvNorm]
    groups: list[nn.Module]
    climbs: dict[int, nn.Module]
    ends: list[ConvNorm]
    joins: dict[int, nn.Module]
    output: nn.Conv2d


class TrellisGenerator(nn.Module):
    """One generator of the trellis, of plain modules in a row.

    Args:
        genotype: its options, by the names of the space.
        shape: what the trellis is given (`Shape`), as keywords.
    """

    path: Path

    def __init__(
        self,
        genotype: Mapping[str, Value],
        ngf: int = 64,
        groups: int = 3,
        blocks: int = 3,
        ratios: Sequence[float] = Shape().ratios,
        inputs: int = 3,
        outputs: int = 3,
    ) -> None:
        super().__init__()
        trellis = Trellis(Shape(ngf, groups, blocks, tuple(ratios), inputs, outputs))
        self._adopt(trellis.parts(Genotype(genotype), live=False))

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """A generator of pieces that exist already, whichever supernet they belong to."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(parts)
        return net

    def _adopt(self, parts: Parts) -> None:
        self.path, self.stem, self.output = parts.path, parts.stem, parts.output
        self.downs, self.groups = nn.ModuleList(parts.downs), nn.ModuleList(parts.groups)
        self.ends = nn.ModuleList(parts.ends)
        self.climbs = nn.ModuleDict({str(group): climb for group, climb in parts.climbs.items()})
        self.joins = nn.ModuleDict({str(scale): join for scale, join in parts.joins.items()})

    @staticmethod
    def cost(height: int, width: int, genotype: Mapping[str, Value], **shape: Any) -> Cost:
        """What the generator costs on one image, in closed form; arguments as of the constructor."""
        return trellis_cost(Shape(**shape), genotype, height, width)

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
        if shape.groups < 1 or shape.blocks < 1 or shape.ngf < 1:
            raise RecipeError("a trellis has at least one group, one block and one channel", shape)
        self.shape, self.space = shape, trellis_space(shape)
        w = shape.ngf
        self.stem = ConvNorm(shape.inputs, w, 7)
        # The image is padded by reflection before it.
        self.stem.conv.padding = (0, 0)
        self.downs = nn.ModuleList([ConvNorm(w, 2 * w, 3, 2), ConvNorm(2 * w, 4 * w, 3, 2)])
        self.nodes, self.climbs = nn.ModuleDict(), nn.ModuleDict()
        for path in paths(shape.groups):
            for group, scale in enumerate(path):
                if f"g{group}s{scale}" not in self.nodes:
                    self.nodes[f"g{group}s{scale}"] = self._node(w * scale)
            for group, (before, scale) in enumerate(pairwise(path), start=1):
                if before != scale and f"g{group}s{scale}" not in self.climbs:
                    body, skip = ConvNorm(before * w, scale * w, 3), nn.Conv2d(scale * w, scale * w, 1)
                    self.climbs[f"g{group}s{scale}"] = Climb(body, skip)
        self.ends = nn.ModuleList([ConvNorm(4 * w, 2 * w, 3), ConvNorm(2 * w, w, 3)])
        self.joins = nn.ModuleDict({str(scale): nn.Conv2d(scale * w, scale * w, 1) for scale in (2, 1)})
        self.output = OutputConvolution(w, shape.outputs, 7)

    def _node(self, trunk: int) -> nn.ModuleList:
        """The blocks of one group at one scale; each holds every operator."""
        return nn.ModuleList(
            nn.ModuleDict({name: build(trunk, trunk) for name, build in BUILDERS.items()})
            for _ in range(self.shape.blocks)
        )

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, through one architecture; gradients reach the weights."""
        out: Tensor = TrellisGenerator.of(self.parts(arch, live=True))(images)
        return out

    def extract(self, genotype: Genotype) -> TrellisGenerator:
        """The generator of one genotype, with copies of the weights.

        Raises:
            RecipeError: a genotype of another space.
        """
        self.space.check(genotype)
        return TrellisGenerator.of(self.parts(genotype, live=False))

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted generator costs on one image of this size."""
        return trellis_cost(self.shape, genotype, height, width)

    def scale_factors(self) -> list[nn.Parameter]:
        """The gammas that rank channels, which the sparsity term of CF-GAN, Eq. 4 regularizes."""
        ranking: list[ConvNorm] = [self.stem, *all_of(ConvNorm, self.downs), *all_of(ConvNorm, self.ends)]
        ranking += [climb.body for climb in all_of(Climb, self.climbs.values())]
        # The first layer of a residual operator ranks its inner channels; a Conv3x3 has none.
        ranking += [all_of(ConvNorm, operator.chain)[0] for operator in all_of(Residual, self.nodes.modules())]
        return [layer.norm.weight for layer in ranking]

    def parts(self, arch: Arch, live: bool) -> Parts:
        """The pieces of one architecture's generator, on views of the weights (live) or on copies of them."""
        at = pinned(arch)
        path = parse_path(str(at["path"]))
        wide = self.shape.channels
        stem = strongest(self.stem.gamma, wide(at["channel.stem"], 1))
        first, second = all_of(ConvNorm, self.downs)
        down = strongest(first.gamma, wide(at["channel.down"], 2))
        trunk = strongest(second.gamma, wide(at["channel.g0"], 4))
        downs = [sliced(first, down, stem, live), sliced(second, trunk, down, live)]
        groups: list[nn.Module] = []
        climbs: dict[int, nn.Module] = {}
        trunks: dict[int, Index] = {}
        for group, scale in enumerate(path):
            if group and path[group - 1] != scale:
                climb = all_of(Climb, [self.climbs[f"g{group}s{scale}"]])[0]
                before, trunk = trunk, strongest(climb.body.gamma, wide(at[f"channel.g{group}"], scale))
                skip = sliced_conv(climb.skip, trunk, stem if scale == 1 else down, live)
                climbs[group] = Climb(sliced(climb.body, trunk, before, live), skip)
            groups.append(self._group(arch, group, scale, trunk, live))
            trunks[scale] = trunk
        half, full = all_of(ConvNorm, self.ends)
        end2 = strongest(half.gamma, wide(at["channel.end2"], 2))
        end1 = strongest(full.gamma, wide(at["channel.end1"], 1))
        joins: dict[int, nn.Module] = {
            scale: sliced_conv(join, end, trunks[scale], live)
            for scale, end, join in zip((2, 1), (end2, end1), all_of(nn.Conv2d, self.joins.values()), strict=True)
            if scale in trunks
        }
        ends = [sliced(half, end2, trunks[4], live), sliced(full, end1, end2, live)]
        output = sliced_conv(self.output, None, end1, live)
        return Parts(path, sliced(self.stem, stem, None, live), downs, groups, climbs, ends, joins, output)

    def _group(self, arch: Arch, group: int, scale: int, trunk: Index, live: bool) -> nn.Module:
        """The blocks of one group at its scale, each with its operator or its mixture of them."""
        at, blocks = pinned(arch), []
        for index, block in enumerate(all_of(nn.ModuleDict, self.nodes[f"g{group}s{scale}"])):
            name = f"g{group}b{index}"
            inner = self.shape.channels(at[f"channel.{name}"], scale)
            chosen = branches(arch, f"operator.{name}")
            thin = [sliced_operator(block[str(option)], trunk, inner, live) for option, _ in chosen]
            weights = [weight for _, weight in chosen if weight is not None]
            blocks.append(Mixed(thin, weights) if weights else thin[0])
        return nn.Sequential(*blocks)
