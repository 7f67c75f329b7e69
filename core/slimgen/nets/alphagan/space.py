"""The search space of AlphaGAN's conventional generator, and its two published architectures. No torch."""

from collections.abc import Iterator, Mapping

from slimgen.errors import RecipeError, nearest
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

CELLS = 3
NORMAL = ("conv_1x1", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_3x3", "conv_5x5")
"""Normal operations (Tian et al., section 4.2), in the order of their size."""
UP = ("nearest", "bilinear", "deconv")
"""Up-sampling operations, in the order of their size."""
INTERPOLATIONS = ("plain", "learned")
"""What nearest and bilinear are: interpolations, or interpolations with a 1x1 convolution (section 5.4.2)."""
SIDES: int = 2**CELLS
"""Pixels of a side for each pixel that the generator begins with."""


def normal_edges(cell: int) -> tuple[str, str, str]:
    """Names of a cell's normal operations: node 1 to 2, node 2 to 4, and node 3, the shortcut's, to 4."""
    return f"cell{cell}.op1", f"cell{cell}.op2", f"cell{cell}.op3"


def up_edges(cell: int) -> tuple[str, str]:
    """Names of a cell's up operations: from its input to node 1, and to node 3."""
    return f"cell{cell}.up", f"cell{cell}.shortcut"


def skip_edges(cell: int) -> Iterator[tuple[str, int]]:
    """Names of the up operations from earlier cells' node 1 to a cell's node 4, each with the cell it comes from."""
    for earlier in range(1, cell):
        yield f"cell{cell}.skip{earlier}", earlier


def edges() -> Iterator[tuple[str, bool, int]]:
    """Every edge of the generator: its name, whether it is an up operation, and by how much that enlarges."""
    for cell in range(1, CELLS + 1):
        for name in normal_edges(cell):
            yield name, False, 1
        for name in up_edges(cell):
            yield name, True, 2
        for name, earlier in skip_edges(cell):
            # Node 1 of a cell is as large as its output already.
            yield name, True, 2 ** (cell - earlier)


def alphagan_space(deconvolution: bool = True) -> Space:
    """(6^3 x 3^2)^3 x 3^3 generators, about 2 x 10^11.

    Args:
        deconvolution: without it, the variant of Table 6, in which no search fails.
    """
    ups = UP if deconvolution else tuple(option for option in UP if option != "deconv")
    return Space({name: Choice(ups if up else NORMAL) for name, up, _ in edges()})


SPACE = alphagan_space()
"""The whole of it: whatever the variant, its genotypes are of this space."""


def checked(genotype: Mapping[str, Value]) -> Genotype:
    """A genotype of the space from whatever mapping a recipe or a file gives.

    Raises:
        SpaceError: an edge is missing or unknown, or has another operation than the space's.
    """
    own = Genotype(genotype)
    SPACE.check(own)
    return own


def bottom(size: int) -> int:
    """Pixels of a side that the generator begins with: 4 for images of 32, 6 for 48.

    Raises:
        RecipeError: sides that three doublings do not reach.
    """
    if size < SIDES or size % SIDES:
        raise RecipeError(f"the sides of images made of noise are multiples of {SIDES} pixels", size)
    return size // SIDES


def check_sizes(height: int, width: int, size: int | None) -> int:
    """The side of the images, known to be square and, where it is given, as the network's option says.

    Raises:
        RecipeError: images that are not square, or of another size than the network's.
    """
    if height != width:
        raise RecipeError("generators of noise make square images", f"{height} x {width}")
    if size is not None and size != height:
        raise RecipeError(f"this generator makes images of {size} x {size}", f"{height} x {width}")
    return height


def check_interpolation(interpolation: str) -> None:
    """Raises RecipeError where there is no such kind of interpolation."""
    if interpolation not in INTERPOLATIONS:
        hint = nearest(interpolation, INTERPOLATIONS)
        raise RecipeError("interpolation is plain or learned", repr(interpolation), hint)


def _published(*operations: str) -> Genotype:
    """A genotype from operations in the order of `edges`."""
    return checked({name: operation for (name, _, _), operation in zip(edges(), operations, strict=True)})


PUBLISHED = {
    "alphagan_s": _published(
        *("conv_1x1", "sep_conv_3x3", "conv_1x1", "bilinear", "deconv"),
        *("sep_conv_5x5", "sep_conv_3x3", "sep_conv_3x3", "deconv", "deconv", "nearest"),
        *("sep_conv_5x5", "sep_conv_3x3", "sep_conv_3x3", "deconv", "nearest", "deconv", "bilinear"),
    ),
    "alphagan_l": _published(
        *("conv_5x5", "conv_5x5", "sep_conv_5x5", "deconv", "bilinear"),
        *("conv_5x5", "conv_1x1", "conv_3x3", "deconv", "bilinear", "nearest"),
        *("conv_1x1", "conv_5x5", "sep_conv_3x3", "nearest", "bilinear", "bilinear", "nearest"),
    ),
}
"""What Tian et al. found on CIFAR-10 (supplement, Figures 1 and 2)."""
