"""PatchGAN and multi-scale discriminators as options, rows and cost. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Norm, Row, cost_of
from slimgen.errors import SlimgenError, nearest
from slimgen.nets.options import Few, Width

NORMS: dict[str, Norm] = {"instance": "instance", "batch": "batch", "none": ""}
_KERNEL = 4
_LEAKY = ("leaky",)


@dataclass(frozen=True)
class PatchGANOptions:
    """The options of a PatchGAN.

    Attributes:
        inputs: channels of the input: 6 for a pair of images, 3 for one image.
        ndf: channels of the first convolution; each next one doubles them, up to eight times as many.
        layers: number of convolutions with stride 2.
        norm: `instance` (without scale and shift), `batch` or `none`.
        spectral: whether every convolution has spectral norm (Miyato et al. 2018); it costs nothing, as it folds into
            the weights.

    Raises:
        SlimgenError: an option is out of range.
    """

    inputs: Width = 6
    ndf: Width = 64
    layers: Few = 3
    norm: str = "instance"
    spectral: bool = False

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise SlimgenError("a PatchGAN must have a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if min(self.inputs, self.ndf, self.layers) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}, layers={self.layers}"
            raise SlimgenError("inputs, ndf and layers of a PatchGAN must be at least 1", got)

    def rows(self) -> list[Row]:
        """Return the convolutions from the image to the logits; those before a BatchNorm have no bias."""
        widths = [self.ndf * min(2**layer, 8) for layer in range(self.layers + 1)]
        # Without a norm an identity takes its place, so that the names in the state dict stay the same.
        after = _LEAKY if NORMS[self.norm] else ("identity", *_LEAKY)
        rows = [Row("layer0", "convolution", self.inputs, self.ndf, _KERNEL, stride=2, after=_LEAKY)]
        for layer, (before, outputs) in enumerate(pairwise(widths), start=1):
            row = Row(f"layer{layer}", "convolution", before, outputs, _KERNEL, norm=NORMS[self.norm], after=after)
            rows.append(row._replace(stride=2 if layer < self.layers else 1, bias=self.norm != "batch"))
        return [*rows, Row("logits", "convolution", widths[-1], 1, _KERNEL)]

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError where images of this size are too small."""
        side = min(height, width)
        if _fits(side, self.layers):
            return
        fewer = [layers for layers in range(1, self.layers) if _fits(side, layers)]
        raise SlimgenError(
            f"images for a PatchGAN with {self.layers} layers must have at least {3 * 2**self.layers} pixels a side",
            f"{height} x {width}",
            f"use layers={fewer[-1]}" if fewer else "use larger images",
        )

    def cost(self, height: int, width: int) -> Cost:
        """Return the discriminator's cost on one image; raises as `check_size`."""
        self.check_size(height, width)
        return self._single(height, width)

    def _single(self, height: int, width: int) -> Cost:
        sizes = zip(_sides(height, self.layers), _sides(width, self.layers), strict=True)
        return total(cost_of((row,), *size) for row, size in zip(self.rows(), sizes, strict=True))


def _sides(side: int, layers: int) -> Iterator[int]:
    """Yield the side of each convolution's output: `layers` with stride 2, then two with stride 1, all padded by 1."""
    for layer in range(layers + 2):
        side = (side + 2 - _KERNEL) // (2 if layer < layers else 1) + 1
        yield side


def _fits(side: int, layers: int) -> bool:
    return side >= 2 and min(_sides(side, layers)) >= 1


@dataclass(frozen=True)
class MultiScaleOptions(PatchGANOptions):
    """The options of a multi-scale discriminator: those of its PatchGANs, and how many there are.

    Attributes:
        inputs: channels of the label maps and the image together.
        spectral: whether every convolution has spectral norm (Miyato et al. 2018); it costs nothing, as it folds into
            the weights.
        scales: number of PatchGANs, each on images of half the size of the one before.
    """

    inputs: Width = 39
    spectral: bool = True
    scales: Few = 2

    def __post_init__(self) -> None:
        if min(self.inputs, self.ndf, self.layers, self.scales) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}, layers={self.layers}, scales={self.scales}"
            raise SlimgenError("inputs, ndf, layers and scales of a multi-scale discriminator must be at least 1", got)
        super().__post_init__()

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError where images of this size are too small."""
        # Halved for every further scale, rounding up, the side ends at the minimum of a PatchGAN.
        least = (3 * 2**self.layers - 1) * 2 ** (self.scales - 1) + 1
        if min(height, width) < least:
            these = f"{self.scales} PatchGANs with {self.layers} layers"
            rule = f"images for {these} must have at least {least} pixels a side"
            raise SlimgenError(rule, f"{height} x {width}", "use fewer scales or layers, or larger images")

    def cost(self, height: int, width: int) -> Cost:
        """Return the discriminator's cost on one image; pooling is free."""
        self.check_size(height, width)
        costs = []
        for _ in range(self.scales):
            costs.append(self._single(height, width))
            height, width = (height + 1) // 2, (width + 1) // 2
        return total(costs)
