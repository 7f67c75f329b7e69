"""What networks of cells cost, in closed form. No torch."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from slimgen.cost.formula import Cost, convolution, instance_norm, total, transposed
from slimgen.errors import SlimgenError
from slimgen.nets.cyclegan_nas.space import (
    CONVOLUTIONS,
    TRANSPOSED,
    DiscriminatorShape,
    GeneratorShape,
    Kind,
    Shape,
    chosen,
)
from slimgen.search.genotype import Value

_LEAST = {GeneratorShape: (4, 8), DiscriminatorShape: (16, 32)}
"""What the sides must be multiples of, and their least number of pixels: a norm needs more than one pixel, and
reflection two."""


def check_size(shape: Shape, height: int, width: int) -> None:
    """Raises SlimgenError unless a network of this shape can take images of this size."""
    multiple, least = _LEAST[type(shape)]
    if height % multiple or width % multiple or min(height, width) < least:
        noun = "generator" if isinstance(shape, GeneratorShape) else "discriminator"
        rule = f"a {noun} of cells needs sides that are multiples of {multiple}, {least} pixels at the least"
        raise SlimgenError(rule, f"{height} x {width}", "choose another size in the recipe")


def cells_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """What the network of a genotype costs on one image.

    Raises:
        SlimgenError: the network cannot take images of this size.
        SpaceError: an operation is missing or unknown.
    """
    check_size(shape, height, width)
    terms = []
    for place, option in zip(shape.row, chosen(shape, genotype), strict=True):
        height, width = _after(place.kind, height), _after(place.kind, width)
        terms.append(operation_cost(option, place.kind, place.inputs, place.outputs, height, width))
        if place.normed:
            terms.append(instance_norm(place.outputs, height, width))
    return total(terms)


@cache
def operation_cost(option: str, kind: Kind, inputs: int, outputs: int, height: int, width: int) -> Cost:
    """What one operation costs, at the height and width of its output."""
    if option == TRANSPOSED:
        return transposed(inputs, outputs, 3, height // 2, width // 2, height, width)
    # Pools and interpolations are free, but for the pointwise convolution after them.
    kernel = CONVOLUTIONS[option].kernel if option in CONVOLUTIONS else 1
    return convolution(inputs, outputs, kernel, height, width)


def generator_cost(height: int, width: int, genotype: Mapping[str, Value], spectral: bool = True, **shape: Any) -> Cost:
    """The cost of `CellsGenerator` in closed form; arguments as of its constructor.

    A spectral norm is free: it folds into the weights.
    """
    return cells_cost(GeneratorShape(**shape), genotype, height, width)


def discriminator_cost(
    height: int, width: int, genotype: Mapping[str, Value], spectral: bool = True, **shape: Any
) -> Cost:
    """The cost of `CellsDiscriminator` in closed form; likewise."""
    return cells_cost(DiscriminatorShape(**shape), genotype, height, width)


def _after(kind: Kind, side: int) -> int:
    return {"encoding": side // 2, "residual": side, "decoding": 2 * side}[kind]
