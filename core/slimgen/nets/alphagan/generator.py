"""AlphaGAN's conventional generator: noise to images through three cells (Tian et al., Figure 2)."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Norm
from slimgen.nets.alphagan import description
from slimgen.nets.alphagan.description import AlphaOptions, AlphaShape, Edge, edges, rows_of
from slimgen.nets.initial import GLOROT, initialise
from slimgen.nets.layers import Described, weights_of
from slimgen.nets.noise import DOUBLINGS, Ends, Normal, end_pieces, key_of, run_named
from slimgen.nets.pieces import Piece, Twice


class Up(nn.Module):
    """An up operation: a 2x2 transposed convolution with stride 2, or an interpolation, applied once per doubling.

    All doublings share the same weights. A 1x1 convolution may precede an interpolation (see `rows_of`).
    """

    def __init__(self, edge: Edge, operation: str, shape: AlphaShape) -> None:
        super().__init__()
        self.operation, self.factor = operation, edge.factor
        rows = rows_of(edge, operation, shape.channels, shape.interpolation)
        self.conv = weights_of(rows[0]) if rows else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, factor H, factor W)."""
        if self.operation != "deconv" and self.conv is not None:
            features = self.conv(features)
        for _ in range(self.factor.bit_length() - 1):
            if self.operation == "deconv":
                assert self.conv is not None
                features = self.conv(features)
            else:
                features = functional.interpolate(features, scale_factor=2.0, mode=self.operation)
        return features


def build(edge: Edge, operation: str, shape: AlphaShape, norm: Norm = "batch") -> nn.Module:
    """Build one operation on one edge."""
    if edge.factor > 1:
        return Up(edge, operation, shape)
    return Normal(rows_of(edge, operation, shape.channels, shape.interpolation, norm))


def through_cells(run: Callable[[str, Tensor], Tensor], features: Tensor) -> Tensor:
    """Run features (N, channels, H, W) through the cells (see `edges`) to (N, channels, 8 H, 8 W).

    Args:
        run: an edge's name and its input to its output.
        features: the input of the first cell.
    """
    nodes: list[Tensor] = []
    for name in (f"cell{cell}" for cell in range(1, DOUBLINGS + 1)):
        node = run(f"{name}.up", features)
        out = run(f"{name}.op2", run(f"{name}.op1", node)) + run(f"{name}.op3", run(f"{name}.shortcut", features))
        for earlier, skipped in enumerate(nodes, start=1):
            out = out + run(f"{name}.skip{earlier}", skipped)
        nodes.append(node)
        features = out
    return features


class AlphaGenerator(Described):
    """One generator of AlphaGAN's space, made of plain modules; for options and errors see `AlphaOptions`."""

    Options: ClassVar[type[AlphaOptions]] = AlphaOptions
    options: AlphaOptions
    initial = GLOROT

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.genotype, self.ends = description.checked(self.options.genotype), Ends(self.options)
        built = {edge.name: build(edge, str(self.genotype[edge.name]), self.options) for edge in edges()}
        self.edges = nn.ModuleDict({key_of(name): operation for name, operation in built.items()})

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (N, latent), normally distributed, to images (N, outputs, H, W) in [-1, 1]."""
        images: Tensor = self.ends(noise, partial(through_cells, partial(run_named, self.edges)))
        return images

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return the ends, each edge's operation and each sum of two edges; a piece depends on one choice at most."""
        shape = cls.Options(**options)
        genotype = description.checked(shape.genotype)
        first, last = end_pieces(shape, shape.made(height, width))
        found = [first]
        for edge in edges():
            operation, made = str(genotype[edge.name]), (height // edge.part, width // edge.part)
            size = (1, shape.channels, *(side // edge.factor for side in made))
            how = f"{operation} x{edge.factor} {shape.interpolation}" if edge.factor > 1 else operation
            key = f"alphagan {how} of {'x'.join(map(str, size))}"
            found.append(Piece(key, partial(_piece, edge, operation, shape), size))
            if edge.name.partition(".")[2] not in ("up", "op1", "op2", "shortcut"):  # op3 and skips are added
                size = (1, shape.channels, *made)
                found.append(Piece(f"sum of {'x'.join(map(str, size))}", Twice, size))
        return [*found, last]


def _piece(edge: Edge, operation: str, shape: AlphaShape) -> nn.Module:
    return initialise(build(edge, operation, shape), 0).eval()


class AlphaGanSmall(AlphaGenerator):
    """alphaGAN_(s), as published."""

    Options = description.SmallOptions


class AlphaGanLarge(AlphaGenerator):
    """alphaGAN_(l), as published."""

    Options = description.LargeOptions
