"""A user-defined family of networks: one file and one line, without editing slimgen.

A network is described once, as rows: a row is a layer with its padding, activation and norm. The module is built from
the rows, and the cost is summed over the same rows, in microseconds and for any width. Budgets, searches and the rival
of equal cost (`finetune.rivals: [narrowed]`, for a family with an option `ngf`) therefore need no built network.
Slimgen's own families work in the same way: a folder in `slimgen/nets/` and a line of `GENERATORS` in its
`__init__.py`. The line can also be run elsewhere, before a recipe with `family: hourglass`:

    from slimgen.nets import GENERATORS
    GENERATORS["hourglass"] = "examples.own_family:Hourglass"

It is not needed if a recipe names the class by its import path, `family: "examples.own_family:Hourglass"`. Any subclass
of `torch.nn.Module` can be named in this way; its cost is then counted in a forward pass (see `own_generator.py`). Run
as a program, this file compares widths:

    PYTHONPATH=core:. python examples/own_family.py
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import SlimgenError
from slimgen.nets.layers import Described, Make, layers_of

FREE: dict[str, Make] = {"relu": lambda row: nn.ReLU(), "tanh": lambda row: nn.Tanh()}
"""The layers without weights, by their names in the rows."""


@dataclass(frozen=True)
class HourglassOptions:
    """Options of an hourglass, a network that halves the size while it doubles the channels, and back.

    Attributes:
        ngf: channels at the full size; they double with each halving of the size.
        halvings: number of times that the size is halved.
        blocks: number of convolutions at the smallest size.

    Raises:
        SlimgenError: an option is out of range.
    """

    ngf: int = 32
    halvings: int = 2
    blocks: int = 3

    def __post_init__(self) -> None:
        if min(self.ngf, self.halvings, self.blocks) < 1:
            raise SlimgenError("every option of an hourglass must be at least 1", self)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of the network."""
        widths = [self.ngf << level for level in range(self.halvings + 1)]
        levels = range(self.halvings)
        small = 1 << self.halvings
        inner = {"norm": "affine instance", "after": ("relu",)}
        return (
            Row("stem", "convolution", 3, widths[0], 7, **inner),
            *(
                Row(f"down{level}", "convolution", widths[level], widths[level + 1], part=2 << level, stride=2, **inner)
                for level in levels
            ),
            *(Row(f"block{n}", "convolution", widths[-1], widths[-1], part=small, **inner) for n in range(self.blocks)),
            *(
                Row(f"up{level}", "transposed", widths[level + 1], widths[level], 4, part=1 << level, stride=2, **inner)
                for level in reversed(levels)
            ),
            Row("output", "convolution", widths[0], 3, 7, after=("tanh",)),
        )

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost on one image.

        Raises:
            SlimgenError: the sides of the image are not multiples of the factor by which the size is reduced.
        """
        if height % (1 << self.halvings) or width % (1 << self.halvings):
            rule = f"an hourglass needs sides that are multiples of {1 << self.halvings}"
            raise SlimgenError(rule, f"{height}x{width}")
        return cost_of(self.rows(), height, width)


class Hourglass(Described):
    """An hourglass, from images to images of the same size; for its options, see `HourglassOptions`."""

    Options = HourglassOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.model = nn.Sequential(*(layer for row in self.options.rows() for layer in layers_of(row, FREE)))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to images of the same shape in [-1, 1]."""
        out: Tensor = self.model(images)
        return out


def main() -> None:
    """Print the costs of hourglasses of several widths at 256 px."""
    for ngf in (8, 16, 32, 64):
        cost = Hourglass.cost(256, 256, ngf=ngf)
        print(f"ngf {ngf:3}: {cost.exact / 1e9:6.2f} GMACs, {cost.params / 1e6:5.2f} M parameters")


if __name__ == "__main__":
    main()
