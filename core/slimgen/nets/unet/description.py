"""The U-Net generator as options, rows and cost. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Norm, Row, cost_of, weights_at
from slimgen.errors import RecipeError, SlimgenError, nearest
from slimgen.nets.options import Few, Probability, Width

NORMS: dict[str, Norm] = {"batch": "batch", "instance": "instance"}
_KERNEL = 4
_EIGHTFOLD = 3  # the scale, counted from 0, at which channels double for the last time


@dataclass(frozen=True)
class UnetOptions:
    """The options of a U-Net generator.

    Attributes:
        inputs: channels of the input images.
        outputs: channels of the output images.
        ngf: channels at half the size; each next scale doubles them, up to eight times as many.
        depth: number of halvings; the sides of images must be multiples of 2**depth.
        norm: `batch`, or `instance` (without scale and shift).
        dropout: dropout probability in the decoder's widest scales except the deepest (0.5 in pix2pix).
        widths: the channels of every scale in place of `ngf`, as pruning leaves them: a mapping with `down` for the
            encoder and `up` for the decoder, at 1/2, 1/4 ... of the size. The decoder has one number less, as its last
            scale makes the image.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the widths are malformed.
    """

    inputs: Width = 3
    outputs: Width = 3
    ngf: Width = 64
    depth: Few = 8
    norm: str = "batch"
    dropout: Probability = 0.0
    widths: object = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise SlimgenError("a U-Net must have a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if min(self.inputs, self.outputs, self.ngf) < 1 or self.depth < 2 or not 0 <= self.dropout < 1:
            raise SlimgenError(
                "a U-Net must have channels of at least 1, a depth of at least 2 and dropout in [0, 1)",
                f"inputs={self.inputs}, outputs={self.outputs}, ngf={self.ngf}, depth={self.depth}, "
                f"dropout={self.dropout}",
            )

    @cached_property
    def parts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The channels of encoder and decoder: the option `widths`, or doubling from `ngf` up to eight times.

        Raises:
            RecipeError: keys are wrong, or there is not one whole number of at least 1 for each scale.
        """
        if self.widths is None:
            channels = tuple(self.ngf * min(2**level, 2**_EIGHTFOLD) for level in range(self.depth))
            return channels, channels[:-1]
        lengths = {"down": self.depth, "up": self.depth - 1}
        rule = f"widths of a U-Net must have down ({self.depth} numbers) and up ({self.depth - 1}), each at least 1"
        if not isinstance(self.widths, Mapping) or set(self.widths) != set(lengths):
            raise RecipeError(rule, repr(self.widths)[:120])
        for name, length in lengths.items():
            numbers = self.widths[name]
            listed = isinstance(numbers, Sequence) and len(numbers) == length
            if not listed or not all(isinstance(number, int) and number >= 1 for number in numbers):
                raise RecipeError(rule, f"{name} {numbers!r}")
        return tuple(self.widths["down"]), tuple(self.widths["up"])

    def scales(self) -> list[tuple[Row, Row]]:
        """Return the rows of each scale, the outermost first: one that halves the size, and one that doubles it again.

        A doubling reads the next scale's output and, by a skip, the halving's. Convolutions have a bias exactly where
        the norm is InstanceNorm. The outermost scale has no norm around it, and the deepest none between its two
        convolutions.
        """
        (down, up), bias = self.parts, self.norm == "instance"
        scales = []
        for level in range(self.depth):
            outermost, deepest = level == 0, level == self.depth - 1
            inputs, made = (self.inputs, self.outputs) if outermost else (down[level - 1], up[level - 1])
            halve = Row(f"down{level}", "convolution", inputs, down[level], _KERNEL, 2 << level, 2, bias=bias)
            around = down[level] + (0 if deepest else up[level])
            double = Row(f"up{level}", "transposed", around, made, _KERNEL, 1 << level, 2, before=("relu",))
            if outermost:
                double = double._replace(after=("tanh",))
            else:
                halve = halve._replace(before=("leaky",), norm="" if deepest else NORMS[self.norm])
                # Dropout is in the scales with eight times `ngf` except the deepest.
                drops = self.dropout and level > _EIGHTFOLD and not deepest
                double = double._replace(bias=bias, norm=NORMS[self.norm], after=("dropout",) if drops else ())
            scales.append((halve, double))
        return scales

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError unless the network can take images of this size."""
        multiple = 2**self.depth
        if height < 1 or width < 1 or height % multiple or width % multiple:
            raise SlimgenError(
                f"the sides of images for a U-Net of depth {self.depth} must be multiples of {multiple} pixels",
                f"{height} x {width}",
                "choose another size, or a smaller depth",
            )

    def cost(self, height: int, width: int) -> Cost:
        """Return the generator's cost on one image; raises as `check_size`."""
        self.check_size(height, width)
        return cost_of((row for scale in self.scales() for row in scale), height, width)

    def writers(self) -> dict[str, str]:
        """Return row name to its convolution, as the state dict names it."""
        names: dict[str, str] = {}
        scale = "model.model"
        for halve, double in self.scales():
            # The next scale's module comes between the two, except in the deepest.
            deepest = halve.name == f"down{self.depth - 1}"
            rows = [halve, *([] if deepest else [Row("next", "block", halve.outputs, double.inputs)]), double]
            names |= {name: f"{scale}.{index}" for name, index in weights_at(rows).items()}
            scale = f"{names.pop('next', '')}.model"
        return names

    def cut(self, outputs: Callable[[str], int]) -> dict[str, Any]:
        """Return the option `widths` of this generator after a cut; `outputs` gives each convolution's kept outputs."""
        kept = {name: outputs(writer) for name, writer in self.writers().items()}
        down, up = ([kept[f"{way}{level}"] for level in range(self.depth)] for way in ("down", "up"))
        return {"down": down, "up": up[1:]}
