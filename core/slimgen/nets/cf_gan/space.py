"""CF-GAN's generators for image translation as a space, rows and cost (section 3.1): paths, operators, channels.

What all spaces of the method have in common is here too; `upscale_space` describes those for super-resolution.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import ClassVar, NamedTuple

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import RecipeError
from slimgen.nets.options import Few, Ratio, Repeats, Width
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

OPERATORS = ("dws", "conv3x3", "resblock")  # by increasing cost at equal widths
WITH_INNER = frozenset[Value](("dws", "resblock"))  # the operators that have an inner width


Path = tuple[int, ...]
"""The scale of each group: 4 is 1/4 of the output's sides, so (4, 2, 1) climbs to the full size."""


@dataclass(frozen=True)
class Shape:
    """The size of a trellis; raises RecipeError where it has no groups, blocks or channels.

    It is also what the method asks about the space; a subclass describes another one, with the same questions.

    Attributes:
        ngf: channels at full resolution; twice as many at 1/2 of the size, four times as many at 1/4.
        groups: number of searchable groups; each lies at one scale.
        blocks: number of blocks in each group.
        ratios: the widths to choose from, as fractions of the nominal width, in increasing order.
        multiple: each width is rounded to a multiple of this number of channels, and is at least this number.
        inputs: channels of the input images.
        outputs: channels of the output images.
    """

    ngf: Width = 64
    groups: Few = 3
    blocks: Repeats = 3
    ratios: tuple[Ratio, ...] = (0.25, 0.5, 0.75, 1.0)
    multiple: Width = 1
    inputs: Width = 3
    outputs: Width = 3

    family: ClassVar[str] = "trellis"
    operators: ClassVar[tuple[str, ...]] = OPERATORS
    with_inner: ClassVar[frozenset[Value]] = WITH_INNER
    within_blocks: ClassVar[tuple[str, ...]] = ("operator.",)
    """The prefixes of what the operator step of the search chooses."""

    def __post_init__(self) -> None:
        if self.groups < 1 or self.blocks < 1 or self.ngf < 1:
            raise RecipeError("a trellis must have at least one group, one block and one channel", self)

    @property
    def scales(self) -> Path:
        """All scales, the coarsest first, at which a path starts."""
        return 4, 2, 1

    @property
    def step(self) -> int:
        """The sides of images that the super-discriminator takes are multiples of this number of pixels."""
        return 8

    @property
    def times(self) -> tuple[Value, ...]:
        """The numbers of times that a block may be applied, to choose from; none where each is applied once."""
        return ()

    @property
    def ends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The features with widths of their own before and after the searchable groups."""
        return ("stem", "down"), ("end2", "end1")

    def channels(self, ratio: Value, scale: int) -> int:
        """Return the number of channels of a ratio at 1/scale of the image's size."""
        return self.multiple * max(1, round(float(ratio) * self.ngf * scale / self.multiple))

    def inner(self, operator: Value, channels: int) -> int:
        """Return the channels of an operator's inner feature in a block with this inner width."""
        return channels

    def paths(self) -> list[Path]:
        """Return every path, the cheapest first."""
        return paths(self.groups, self.scales)

    def name(self, path: Path) -> str:
        """Return a path's option in the space."""
        return path_name(path)

    def parse(self, name: Value) -> Path:
        """Return the path of an option."""
        return parse_path(str(name))

    @property
    def space(self) -> Space:
        """The space of its genotypes."""
        return trellis_space(self)

    def layers(self, path: Value) -> "tuple[Layer, ...]":
        """Return the layers of a path's generators, in an order in which each input is written before it is read."""
        return layers(str(path), self.blocks)

    def parts(self, path: Value) -> Mapping[str, int]:
        """Return the features whose widths are chosen, each with its part of the output's sides."""
        return parts_of(layers, str(path), self.blocks)

    def rows(self, kind: str, inputs: int, beside: int, outputs: int, part: int) -> tuple[Row, ...]:
        """Return the convolutions of a layer."""
        return rows_of(kind, inputs, beside, outputs, part)

    @property
    def layer_cost(self) -> Callable[..., Cost]:
        """The cost of a layer by the arguments of `rows` and the height and width of the generator's input.

        Where blocks may be applied several times, by that number too.
        """
        return _cost


def paths(groups: int, scales: Path = (4, 2, 1)) -> list[Path]:
    """Return every path: it starts at the first scale, and each group keeps the scale before it or takes the next."""
    after = dict(pairwise(scales))
    steps: list[Path] = [scales[:1]]
    for _ in range(groups - 1):
        steps = [(*path, scale) for path in steps for scale in {path[-1]: 0, after.get(path[-1], path[-1]): 0}]
    return sorted(set(steps), key=lambda path: sum(scales[0] / scale for scale in path))


def path_name(path: Path) -> str:
    """Return a path's option in the space, such as `4-2-1`."""
    return "-".join(map(str, path))


@cache
def parse_path(name: str) -> Path:
    """Return the path of an option."""
    return tuple(map(int, name.split("-")))


def trellis_space(shape: Shape) -> Space:
    """Return the space with CF-GAN's three dimensions: `path`, `operator.*` and `channel.*`.

    A group's trunk has a width of its own only where the path climbs into it; otherwise it keeps the width before. A
    block has an inner width only where its operator has one. Blocks that may be applied several times have a fourth
    dimension, `recursion.*`.
    """
    every, ratios = shape.paths(), Choice(shape.ratios)
    blocks = [f"g{group}b{block}" for group, block in product(range(shape.groups), range(shape.blocks))]
    trunks = [f"g{group}" for group in range(shape.groups)]
    dimensions: dict[str, Dimension] = {"path": Choice(tuple(map(shape.name, every)))}
    dimensions |= {f"operator.{block}": Choice(shape.operators) for block in blocks}
    dimensions |= {f"recursion.{block}": Choice(shape.times) for block in blocks if shape.times}
    before, after = shape.ends
    dimensions |= {f"channel.{name}": ratios for name in (*before, *trunks, *blocks, *after)}
    conditions: dict[str, tuple[str, frozenset[Value]]] = {}
    for group in range(1, shape.groups):
        climbing = frozenset[Value](shape.name(path) for path in every if path[group] != path[group - 1])
        conditions[f"channel.g{group}"] = ("path", climbing)
    conditions |= {f"channel.{block}": (f"operator.{block}", shape.with_inner) for block in blocks}
    return Space(dimensions, conditions)


class Layer(NamedTuple):
    """One layer of a generator.

    A feature has the name of its width in the space: `stem`, `down`, a trunk `g0`, a block's inner feature `g0b1`. The
    scale factors of the layers that write a feature rank its channels.

    Attributes:
        name: its module name in a generator.
        source: its module name in the super-generator.
        kind: a kind of `Shape.rows`, or `block` where the genotype chooses an operator.
        reads: its input feature.
        writes: its output feature, or the one that a join is added to.
        part: as in `Row`.
        beside: a climb's second input, the stem's feature; or a block's inner feature.
    """

    name: str
    source: str
    kind: str
    reads: str
    writes: str
    part: int
    beside: str = ""

    def rows(self, shape: Shape, kind: str, channels: Mapping[str, int]) -> tuple[Row, ...]:
        """Return its convolutions, given the kind (the chosen operator of a block) and each feature's channels."""
        return shape.rows(kind, channels[self.reads], channels[self.beside], channels[self.writes], self.part)

    def times_in(self, genotype: Mapping[str, Value]) -> int:
        """Return the number of times that a block is applied; 1 for other layers."""
        return int(genotype.get(f"recursion.{self.beside}", 1)) if self.kind == "block" else 1

    def kind_in(self, genotype: Mapping[str, Value]) -> str:
        """Return the layer's kind; for a block, the operator that the genotype chooses."""
        return str(genotype[f"operator.{self.beside}"]) if self.kind == "block" else self.kind


@cache
def layers(path: str, blocks: int) -> tuple[Layer, ...]:
    """See `Shape.layers`."""
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
def parts_of(layers_of: Callable[..., tuple[Layer, ...]], *about: object) -> dict[str, int]:
    """See `Shape.parts`; `layers_of` returns the layers of what is described by its arguments."""
    row = layers_of(*about)
    inner = {layer.beside: layer.part for layer in row if layer.kind == "block"}
    return {layer.writes: layer.part for layer in row[:-1]} | inner


def channels_of(shape: Shape, genotype: Mapping[str, Value]) -> dict[str, int]:
    """Return the number of channels of each feature in a genotype's generator."""
    parts = shape.parts(genotype["path"])
    chosen = {name: shape.channels(genotype[f"channel.{name}"], part) for name, part in parts.items()}
    return {"": 0, "input": shape.inputs, **chosen, "output": shape.outputs}


@dataclass(frozen=True, kw_only=True)
class TrellisOptions(Shape):
    """The options of one generator: its shape and its genotype.

    Attributes:
        genotype: the path, operators and channel ratios, such as `path: 4-2-1`, as a search writes them.
    """

    genotype: Mapping[str, Value]

    def __post_init__(self) -> None:
        super().__post_init__()
        trellis_space(self).check(Genotype(self.genotype))

    def cost(self, height: int, width: int) -> Cost:
        """See `trellis_cost`."""
        return trellis_cost(self, self.genotype, height, width)


def trellis_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """Return the cost of a genotype's generator on one image; for translation, its sides are multiples of 4."""
    channels, costs = channels_of(shape, genotype), []
    layer_cost, repeating = shape.layer_cost, bool(shape.times)
    for layer in shape.layers(genotype["path"]):
        widths = channels[layer.reads], channels[layer.beside], channels[layer.writes]
        times = (layer.times_in(genotype),) if repeating else ()
        costs.append(layer_cost(layer.kind_in(genotype), *widths, layer.part, height, width, *times))
    return total(costs)


@cache
def _cost(kind: str, inputs: int, beside: int, outputs: int, part: int, height: int, width: int) -> Cost:
    # Candidates of a search share layers, so each layer is computed once.
    return cost_of(rows_of(kind, inputs, beside, outputs, part), height, width)


def rows_of(kind: str, inputs: int, beside: int, outputs: int, part: int) -> tuple[Row, ...]:
    """Return the convolutions of a layer; images are padded by reflection, features by zeros."""
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
