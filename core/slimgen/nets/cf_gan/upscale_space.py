"""CF-GAN's generators for super-resolution as a space, rows and cost (sections 3.1 and 4.2).

The trellis is progressive: features grow from the size of the input (x1) to that of the output (x2 or x3, or x2 and
then x4). Operators are those of ESRN (Song et al., AAAI 2020), each applied up to four times with the same weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from math import lcm
from typing import ClassVar

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import RecipeError
from slimgen.nets.cf_gan.space import Layer, Path, Shape, parse_path, parts_of, path_name, trellis_cost, trellis_space
from slimgen.nets.options import Few, Width
from slimgen.search.genotype import Genotype, Value

OPERATORS = ("srb", "crb", "grb")  # by increasing cost at equal widths
GROUPS = 4
"""The groups of a grouped convolution; all widths are multiples of it."""
SCALES: Mapping[int, Path] = {2: (2, 1), 3: (3, 1), 4: (4, 2, 1)}
"""The factor of enlargement to the scales of the features, as parts of the output's sides."""


@dataclass(frozen=True)
class UpscaleShape(Shape):
    """The size of a trellis for super-resolution; raises RecipeError where one of its options is out of range.

    A path is named by the factor by which each group's features are larger than the input, such as `1-2-4`.

    Attributes:
        ngf: channels at the size of the output; twice as many at 1/2 of it, four times as many at 1/4.
        inputs: channels of the input images.
        outputs: channels of the output images, which are as many.
        scale: the factor by which height and width grow: 2, 3 or 4.
        recursions: the largest number of times that a block may be applied, with the same weights.
    """

    ngf: Width = 16
    scale: int = 4
    recursions: Few = 4

    family: ClassVar[str] = "upscale_trellis"
    operators: ClassVar[tuple[str, ...]] = OPERATORS
    with_inner: ClassVar[frozenset[Value]] = frozenset[Value](OPERATORS)
    within_blocks: ClassVar[tuple[str, ...]] = ("operator.", "recursion.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.scale) is not int or self.scale not in SCALES:
            raise RecipeError("the scale of a trellis for super-resolution must be 2, 3 or 4", repr(self.scale))
        if self.inputs != self.outputs:
            rule = "a trellis for super-resolution adds its enlarged input to its output, so inputs must equal outputs"
            raise RecipeError(rule, f"inputs {self.inputs}, outputs {self.outputs}")
        if self.recursions < 1:
            raise RecipeError("the recursions of a block must be at least 1", self.recursions)

    @property
    def scales(self) -> Path:
        """See `Shape`."""
        return SCALES[self.scale]

    @property
    def step(self) -> int:
        """The sides of input images in training are multiples of this number of pixels."""
        return 2

    @property
    def times(self) -> tuple[Value, ...]:
        """See `Shape`."""
        return tuple(range(1, self.recursions + 1))

    @property
    def ends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See `Shape`."""
        return (), tuple(f"end{self.scale // part}" for part in self.scales[1:])

    def channels(self, ratio: Value, scale: int) -> int:
        """See `Shape`; a multiple of `GROUPS` channels."""
        multiple = lcm(self.multiple, GROUPS)
        return multiple * max(1, round(float(ratio) * self.ngf * scale / multiple))

    def inner(self, operator: Value, channels: int) -> int:
        """See `Shape`; a shrink residual block has half of its block's inner width."""
        return channels // 2 if operator == "srb" else channels

    def name(self, path: Path) -> str:
        """Return a path's option in the space, such as `1-2-4`."""
        return path_name(tuple(self.scale // part for part in path))

    def parse(self, name: Value) -> Path:
        """See `Shape`."""
        return tuple(self.scale // factor for factor in parse_path(str(name)))

    def layers(self, path: Value) -> tuple[Layer, ...]:
        """See `Shape`."""
        return layers(str(path), self.blocks, self.scale)

    def parts(self, path: Value) -> Mapping[str, int]:
        """See `Shape`."""
        return parts_of(layers, str(path), self.blocks, self.scale)

    def rows(self, kind: str, inputs: int, beside: int, outputs: int, part: int) -> tuple[Row, ...]:
        """See `Shape`."""
        return rows_of(kind, inputs, beside, outputs, part, self.scale)

    @property
    def layer_cost(self) -> Callable[..., Cost]:
        """See `Shape`."""
        return partial(_cost, self.scale)


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(UpscaleShape):
    """The options of one generator: its shape and its genotype.

    Attributes:
        genotype: the path, operators, recursions and channel ratios, such as `path: 1-2-4`, as a search writes them.
    """

    genotype: Mapping[str, Value]

    def __post_init__(self) -> None:
        super().__post_init__()
        trellis_space(self).check(Genotype(self.genotype))

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost on one input image of this size, in pixels."""
        return trellis_cost(self, self.genotype, height, width)


@cache
def layers(path: str, blocks: int, scale: int) -> tuple[Layer, ...]:
    """See `Shape.layers`.

    The stem begins the first group's trunk; every climb adds the stem's feature, enlarged to the climb's size. The last
    features of all scales on the path are aggregated in the end module, from the smallest to the largest.
    """
    coarsest, *finer = SCALES[scale]
    row, trunk, trunks = [Layer("stem", "stem", "stem", "input", "g0", coarsest)], "g0", {coarsest: "g0"}
    for group, factor in enumerate(parse_path(path)):
        if (part := scale // factor) not in trunks:
            before, trunk = trunk, f"g{group}"
            row.append(Layer(f"climbs.{group}", f"climbs.{trunk}x{factor}", "climb", before, trunk, part, "g0"))
        trunks[part] = trunk
        for block in range(blocks):
            source, inner = f"nodes.g{group}x{factor}.{block}", f"g{group}b{block}"
            row.append(Layer(f"groups.{group}.{block}", source, "block", trunk, trunk, part, inner))
    before = trunks[coarsest]
    for number, part in enumerate(finer):
        end, factor = f"end{scale // part}", scale // part
        row.append(Layer(f"ends.{number}", f"ends.{number}", "end", before, end, part))
        if part in trunks:
            row.append(Layer(f"joins.{factor}", f"joins.{factor}", "join", trunks[part], end, part))
        before = end
    return *row, Layer("output", "output", "output", before, "output", 1)


@cache
def rows_of(kind: str, inputs: int, beside: int, outputs: int, part: int, scale: int) -> tuple[Row, ...]:
    """Return the convolutions of a layer, each with a learned scale per channel, except for the output's.

    A climb enlarges before its convolution (`xF` is nearest enlargement by F) and its skip after it. The operators are:

    * `srb`, shrink residual block: 1x1 to half of the inner width, 3x3 there, 1x1 back;
    * `grb`, group residual block: 1x1 to the inner width, two grouped 3x3, and 1x1 back, which mixes the groups;
    * `crb`, contextual residual block: average pooling by 2, 3x3 to the inner width, 3x3 back, enlarged again.
    """
    plain = Row(kind, "convolution", inputs, outputs, 3, part, norm="scale")
    active = plain._replace(after=("relu",))
    enter, leave = active._replace(outputs=beside, kernel=1), plain._replace(inputs=beside, kernel=1)
    half = beside // 2
    shrunk, grouped = active._replace(inputs=half, outputs=half), active._replace(inputs=beside, outputs=beside)
    context, back = (row._replace(kernel=3, part=2 * part) for row in (enter, leave))
    step = f"x{3 if scale == 3 else 2}"
    skip = plain._replace(inputs=beside, kernel=1, part=scale, after=(f"x{scale // part}",))
    kinds: dict[str, tuple[Row, ...]] = {
        "stem": (plain,),
        "climb": (active._replace(before=(step,)), skip),
        "srb": (enter._replace(outputs=half), shrunk, leave._replace(inputs=half)),
        "grb": (enter, *[grouped._replace(groups=GROUPS)] * 2, leave),
        "crb": (context._replace(before=("pool",)), back._replace(after=("x2",))),
        "end": (active._replace(before=(step,)),),
        "join": (plain._replace(kernel=1),),
        "output": (plain._replace(norm=""),),
    }
    return kinds[kind]


@cache
def _cost(
    scale: int, kind: str, inputs: int, beside: int, outputs: int, part: int, height: int, width: int, times: int
) -> Cost:
    # Weights count once, however often they are applied.
    rows = rows_of(kind, inputs, beside, outputs, part, scale)
    # Pooled sides are rounded up; all others are divided exactly.
    whole = (-(-scale * side // rows[0].part) * rows[0].part for side in (height, width))
    params, *macs = cost_of(rows, *whole)
    return Cost(params, *(times * number for number in macs))
