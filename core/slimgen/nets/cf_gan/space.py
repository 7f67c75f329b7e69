"""The search space of CF-GAN for image translation: paths, operators, channels (section 3.1). No torch."""

from dataclasses import dataclass
from functools import cache
from itertools import product

from slimgen.errors import RecipeError
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Value
from slimgen.search.space import Space

OPERATORS = ("dws", "conv3x3", "resblock")
"""In increasing order of cost at equal widths."""
WITH_INNER = frozenset[Value](("dws", "resblock"))
"""The operators that have an inner width."""


@dataclass(frozen=True)
class Shape:
    """The size of a trellis.

    Attributes:
        ngf: channels at full resolution; twice as many at 1/2, four times at 1/4.
        groups: searchable groups; each lies at one scale.
        blocks: blocks a group.
        ratios: the widths to choose from, as parts of the nominal one, in increasing order.
        inputs: channels of the images that enter.
        outputs: channels of the images that leave.

    Raises:
        RecipeError: there are no groups, blocks or channels.
    """

    ngf: int = 64
    groups: int = 3
    blocks: int = 3
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    inputs: int = 3
    outputs: int = 3

    def __post_init__(self) -> None:
        if self.groups < 1 or self.blocks < 1 or self.ngf < 1:
            raise RecipeError("a trellis has at least one group, one block and one channel", self)

    def channels(self, ratio: Value, scale: int) -> int:
        """How many channels a ratio stands for at 1/scale of the image's size."""
        return max(1, round(float(ratio) * self.ngf * scale))


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
