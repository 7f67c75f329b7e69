"""CF-GAN's generators for image translation as space, rows and cost (section 3.1): paths, operators, channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import RecipeError
from slimgen.nets.options import Few, Ratio, Repeats, Width
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

OPERATORS = ("dws", "conv3x3", "resblock")  # in increasing order of cost at equal widths
WITH_INNER = frozenset[Value](("dws", "resblock"))  # the operators that have an inner width


@dataclass(frozen=True)
class Shape:
    """The size of a trellis; raises RecipeError where there are no groups, blocks or channels.

    Attributes:
        ngf: channels at full resolution; twice as many at 1/2, four times at 1/4.
        groups: searchable groups; each lies at one scale.
        blocks: of each group.
        ratios: the widths to choose from, as parts of the nominal one, in increasing order.
        multiple: each width is the nearest multiple of so many channels, or one of them.
        inputs: channels of the images that enter.
        outputs: channels of the images that leave.
    """

    ngf: Width = 64
    groups: Few = 3
    blocks: Repeats = 3
    ratios: tuple[Ratio, ...] = (0.25, 0.5, 0.75, 1.0)
    multiple: Width = 1
    inputs: Width = 3
    outputs: Width = 3

    def __post_init__(self) -> None:
        if self.groups < 1 or self.blocks < 1 or self.ngf < 1:
            raise RecipeError("a trellis has at least one group, one block and one channel", self)

    def channels(self, ratio: Value, scale: int) -> int:
        """How many channels a ratio stands for at 1/scale of the image's size."""
        return self.multiple * max(1, round(float(ratio) * self.ngf * scale / self.multiple))


Path = tuple[int, ...]
"""The scale of each group, as the part of the image's side: (4, 2, 1) climbs to the full size."""


def paths(groups: int) -> list[Path]:
    """Every path: it starts at 1/4, and each group lies at the scale of the one before or at twice that."""
    steps: list[Path] = [(4,)]
    for _ in range(groups - 1):
        steps = [(*path, scale) for path in steps for scale in ((path[-1], path[-1] // 2) if path[-1] > 1 else (1,))]
    return sorted(set(steps), key=lambda path: sum(4 / scale for scale in path))


def path_name(path: Path) -> str:
    """A path as its option in the space: `4-2-1`."""
    return "-".join(map(str, path))


@cache
def parse_path(name: str) -> Path:
    """The path that an option stands for."""
    return tuple(map(int, name.split("-")))


def trellis_space(shape: Shape) -> Space:
    """The three dimensions of CF-GAN: `path`, `operator.*` and `channel.*`.

    A group's trunk has a width to choose where the path climbs into it; elsewhere the trunk before goes on. A block
    has an inner width where its operator has one.
    """
    every, ratios = paths(shape.groups), Choice(shape.ratios)
    blocks = [f"g{group}b{block}" for group, block in product(range(shape.groups), range(shape.blocks))]
    trunks = [f"g{group}" for group in range(shape.groups)]
    dimensions: dict[str, Dimension] = {"path": Choice(tuple(map(path_name, every)))}
    dimensions |= {f"operator.{block}": Choice(OPERATORS) for block in blocks}
    dimensions |= {f"channel.{name}": ratios for name in ("stem", "down", *trunks, *blocks, "end2", "end1")}
    conditions: dict[str, tuple[str, frozenset[Value]]] = {}
    for group in range(1, shape.groups):
        climbing = frozenset[Value](path_name(path) for path in every if path[group] != path[group - 1])
        conditions[f"channel.g{group}"] = ("path", climbing)
    conditions |= {f"channel.{block}": (f"operator.{block}", WITH_INNER) for block in blocks}
    return Space(dimensions, conditions)


class Layer(NamedTuple):
    """One layer of a generator.

    A feature is named as its width is in the space: `stem`, `down`, a trunk `g0`, the inner one of a block `g0b1`. The
    layer that writes it first ranks its channels by its scale factors.

    Attributes:
        name: where a generator has it.
        source: where the super-generator has it.
        kind: as `rows_of` knows it; `block` where the genotype chooses an operator.
        reads: the feature that enters.
        writes: the feature that leaves, or that a join is added to.
        part: as of `Row`.
        beside: the stem's feature that enters a climb, too; or a block's inner one.
    """

    name: str
    source: str
    kind: str
    reads: str
    writes: str
    part: int
    beside: str = ""

    def rows(self, kind: str, channels: Mapping[str, int]) -> tuple[Row, ...]:
        """Its convolutions, with the operator that is chosen as `kind`, and the channels of every feature."""
        return rows_of(kind, channels[self.reads], channels[self.beside], channels[self.writes], self.part)

    def kind_in(self, genotype: Mapping[str, Value]) -> str:
        """The kind of the layer; of a block the operator."""
        return str(genotype[f"operator.{self.beside}"]) if self.kind == "block" else self.kind


@cache
def layers(path: str, blocks: int) -> tuple[Layer, ...]:
    """The layers of all generators of one path; what one reads was written by one before."""
    row = [
        Layer("stem", "stem", "stem", "input", "stem", 1),
        Layer("downs.0", "downs.0", "down", "stem", "down", 2),
        Layer("downs.1", "downs.1", "down", "down", "g0", 4),
    ]
    trunk, trunks = "g0", {4: "g0"}
    for group, part in enumerate(parse_path(path)):
        if part not in trunks:
            before, trunk = trunk, f"g{group}"
            stem = "stem" if part == 1 else "down"
            row.append(Layer(f"climbs.{group}", f"climbs.{trunk}s{part}", "climb", before, trunk, part, stem))
        trunks[part] = trunk
        for block in range(blocks):
            source, inner = f"nodes.g{group}s{part}.{block}", f"g{group}b{block}"
            row.append(Layer(f"groups.{group}.{block}", source, "block", trunk, trunk, part, inner))
    for number, (part, before, end) in enumerate(((2, trunks[4], "end2"), (1, "end2", "end1"))):
        row.append(Layer(f"ends.{number}", f"ends.{number}", "end", before, end, part))
        if part in trunks:
            row.append(Layer(f"joins.{part}", f"joins.{part}", "join", trunks[part], end, part))
    return *row, Layer("output", "output", "output", "end1", "output", 1)


@cache
def _parts(path: str, blocks: int) -> dict[str, int]:
    """The features whose widths are chosen, each with its part of the image's sides."""
    row = layers(path, blocks)
    inner = {layer.beside: layer.part for layer in row if layer.kind == "block"}
    return {layer.writes: layer.part for layer in row[:-1]} | inner


def channels_of(shape: Shape, genotype: Mapping[str, Value]) -> dict[str, int]:
    """How many channels each feature of a genotype's generator has."""
    parts = _parts(str(genotype["path"]), shape.blocks)
    chosen = {name: shape.channels(genotype[f"channel.{name}"], part) for name, part in parts.items()}
    return {"": 0, "input": shape.inputs, **chosen, "output": shape.outputs}


@dataclass(frozen=True, kw_only=True)
class TrellisOptions(Shape):
    """The options of one generator: its choices, by the names of the space, besides its shape."""

    genotype: Mapping[str, Value]

    def __post_init__(self) -> None:
        super().__post_init__()
        trellis_space(self).check(Genotype(self.genotype))

    def cost(self, height: int, width: int) -> Cost:
        """As `trellis_cost`."""
        return trellis_cost(self, self.genotype, height, width)


def trellis_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """What the generator of a genotype costs on one image (inputs, height, width), both multiples of 4."""
    channels, costs = channels_of(shape, genotype), []
    for layer in layers(str(genotype["path"]), shape.blocks):
        widths = channels[layer.reads], channels[layer.beside], channels[layer.writes]
        costs.append(_cost(layer.kind_in(genotype), *widths, layer.part, height, width))
    return total(costs)


@cache
def _cost(kind: str, inputs: int, beside: int, outputs: int, part: int, height: int, width: int) -> Cost:
    # Layers repeat between the candidates of a search, so each is worked out once.
    return cost_of(rows_of(kind, inputs, beside, outputs, part), height, width)


def rows_of(kind: str, inputs: int, beside: int, outputs: int, part: int) -> tuple[Row, ...]:
    """The convolutions of a layer; images are reflected at their borders, features have zeros beyond."""
    plain = Row(kind, "convolution", inputs, outputs, 3, part)
    normed = plain._replace(bias=False, norm="affine instance", after=("relu",))
    enter, leave = normed._replace(outputs=beside), normed._replace(inputs=beside, after=())
    inner = enter._replace(kind="depthwise", inputs=beside)
    kinds: dict[str, tuple[Row, ...]] = {
        "stem": (normed._replace(kernel=7, before=("reflect",)),),
        "down": (normed._replace(stride=2),),
        "climb": (normed, plain._replace(inputs=beside, kernel=1)),
        "conv3x3": (normed,),
        "resblock": (enter, leave),
        "dws": (enter._replace(kernel=1), inner, leave._replace(kernel=1)),
        "end": (normed,),
        "join": (plain._replace(kernel=1),),
        "output": (plain._replace(kernel=7, before=("reflect",)),),
    }
    return kinds[kind]
