"""The PatchGAN discriminator and its multi-scale form as options, rows and cost. No torch."""

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
        inputs: channels of the input: 6 for a pair of images, 3 for an image.
        ndf: channels of the first convolution; doubled by each next one up to eight-fold.
        layers: convolutions of stride 2.
        norm: `instance` (not affine), `batch` or `none`.
        spectral: spectral normalisation of every convolution (Miyato et al. 2018); free, as it folds into the weights.

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
            raise SlimgenError("a PatchGAN needs a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if min(self.inputs, self.ndf, self.layers) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}, layers={self.layers}"
            raise SlimgenError("a PatchGAN needs inputs, ndf and layers of at least 1", got)

    def rows(self) -> list[Row]:
        """The convolutions from the image to the logits; a bias is left out where a BatchNorm follows."""
        widths = [self.ndf * min(2**layer, 8) for layer in range(self.layers + 1)]
        # Identity keeps its place where there is no norm, so that the names do not depend on it.
        after = _LEAKY if NORMS[self.norm] else ("identity", *_LEAKY)
        rows = [Row("layer0", "convolution", self.inputs, self.ndf, _KERNEL, stride=2, after=_LEAKY)]
        for layer, (before, outputs) in enumerate(pairwise(widths), start=1):
            row = Row(f"layer{layer}", "convolution", before, outputs, _KERNEL, norm=NORMS[self.norm], after=after)
            rows.append(row._replace(stride=2 if layer < self.layers else 1, bias=self.norm != "batch"))
        return [*rows, Row("logits", "convolution", widths[-1], 1, _KERNEL)]

    def check_size(self, height: int, width: int) -> None:
        """Raises SlimgenError where images of this size are too small."""
        side = min(height, width)
        if _fits(side, self.layers):
            return
        fewer = [layers for layers in range(1, self.layers) if _fits(side, layers)]
        raise SlimgenError(
            f"a PatchGAN of {self.layers} layers needs images of at least {3 * 2**self.layers} pixels a side",
            f"{height} x {width}",
            f"use layers={fewer[-1]}" if fewer else "use larger images",
        )

    def cost(self, height: int, width: int) -> Cost:
        """What the discriminator costs on one image; raises as `check_size`."""
        self.check_size(height, width)
        return self._single(height, width)

    def _single(self, height: int, width: int) -> Cost:
        sizes = zip(_sides(height, self.layers), _sides(width, self.layers), strict=True)
        return total(cost_of((row,), *size) for row, size in zip(self.rows(), sizes, strict=True))


def _sides(side: int, layers: int) -> Iterator[int]:
    """Side of the output of every convolution: `layers` of stride 2, then two of stride 1, all padded by 1."""
    for layer in range(layers + 2):
        side = (side + 2 - _KERNEL) // (2 if layer < layers else 1) + 1
        yield side


def _fits(side: int, layers: int) -> bool:
    return side >= 2 and min(_sides(side, layers)) >= 1


@dataclass(frozen=True)
class MultiScaleOptions(PatchGANOptions):
    """The options of a multi-scale discriminator: of its PatchGANs, whose input is label maps and image, joined."""

    inputs: Width = 39
    spectral: bool = True
    scales: Few = 2

    def __post_init__(self) -> None:
        if min(self.inputs, self.ndf, self.layers, self.scales) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}, layers={self.layers}, scales={self.scales}"
            raise SlimgenError("a multi-scale discriminator needs inputs, ndf, layers and scales of at least 1", got)
        super().__post_init__()

    def check_size(self, height: int, width: int) -> None:
        """Raises SlimgenError where images of this size are too small."""
        # Its halvings, rounded up, end at the least of a PatchGAN.
        least = (3 * 2**self.layers - 1) * 2 ** (self.scales - 1) + 1
        if min(height, width) < least:
            these = f"{self.scales} scales of PatchGANs of {self.layers} layers"
            rule = f"{these} need images of at least {least} pixels a side"
            raise SlimgenError(rule, f"{height} x {width}", "use fewer scales or layers, or larger images")

    def cost(self, height: int, width: int) -> Cost:
        """What the discriminator costs on one image; pooling is free."""
        self.check_size(height, width)
        costs = []
        for _ in range(self.scales):
            costs.append(self._single(height, width))
            height, width = (height + 1) // 2, (width + 1) // 2
        return total(costs)
