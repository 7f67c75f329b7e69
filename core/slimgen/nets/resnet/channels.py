"""Channel configurations of GAN Compression (Li et al. 2020): how wide each part of a ResNet generator is.

A configuration is c0 .. c7: the stem has c0 channels, the first halving 2 c1, the trunk 4 c2; the inner channels of the
residual blocks are 4 c3 in the first third of them, 4 c4 in the second and 4 c5 in the last; the doublings have 2 c6
and c7. Block input and output stay at the trunk's width. It is written `32_32_48_32_48_48_16_16`, or in the paper's
shorter form with one width for all blocks: c0 c1 c2 c3 and the two doublings.
"""

from collections.abc import Mapping, Sequence

from slimgen.errors import RecipeError, nearest
from slimgen.search import Choice, Genotype, Space, Value

NAMES = tuple(f"channel.{part}" for part in ("stem", "down1", "trunk", "blocks1", "blocks2", "blocks3", "up1", "up2"))
"""The dimensions of a space of configurations, c0 to c7."""
Config = tuple[int, ...]
"""c0 .. c7."""

SPACES: dict[str, tuple[Config, ...]] = {
    "channels-48": ((48, 32),) * 2 + ((48, 40, 32),) * 4 + ((48, 32, 24, 16),) * 2,
    "channels-32": ((32, 24, 16),) * 8,
    "channels-64-cycleGAN": ((64, 48, 32, 24, 16),) * 8,
    "channels-64-pix2pix": ((64, 56, 48, 40, 32, 24, 16),) * 8,
}
"""The options of c0 .. c7 in the spaces that the authors searched."""


def parse_config(value: object) -> Config:
    """A configuration from `32_32_48_32_48_48_16_16`, from the six-number form, or from a list of numbers.

    Raises:
        RecipeError: neither six nor eight positive whole numbers.
    """
    words = value.split("_") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    try:
        numbers = tuple(int(str(word)) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) == 6:
        numbers = (*numbers[:4], numbers[3], numbers[3], *numbers[4:])
    if len(numbers) != len(NAMES) or min(numbers) < 1:
        rule = "a channel configuration is eight positive numbers such as 32_32_48_32_48_48_16_16, or six"
        hint = "put it in quotes: YAML reads 32_32 as one number" if isinstance(value, int) else None
        raise RecipeError(rule, repr(value), hint)
    return numbers


def write_config(config: Sequence[int], short: bool = False) -> str:
    """The configuration in the authors' notation.

    Args:
        config: c0 .. c7.
        short: in six numbers.

    Raises:
        RecipeError: the short form is asked for, but the blocks are not of one width.
    """
    if short:
        if len(set(config[3:6])) > 1:
            raise RecipeError("the form of six numbers has one width for all blocks", "_".join(map(str, config)))
        config = (*config[:4], *config[6:])
    return "_".join(str(number) for number in config)


def to_config(genotype: Mapping[str, Value]) -> Config:
    """The configuration that a genotype of a `channel_space` stands for."""
    return tuple(int(str(genotype[name])) for name in NAMES)


def to_genotype(config: Sequence[int]) -> Genotype:
    """The genotype of a configuration."""
    return Genotype(dict(zip(NAMES, config, strict=True)))


def channel_space(options: str | Sequence[Sequence[int]]) -> Space:
    """The space of configurations of a ResNet generator; see `configurations`."""
    return configurations(options, SPACES, NAMES, "channels")


def configurations(
    options: str | Sequence[Sequence[int]],
    named: Mapping[str, Sequence[Sequence[int]]],
    names: Sequence[str],
    noun: str,
) -> Space:
    """The space of the configurations of a family of generators.

    Args:
        options: a name of `named`, or the options of c0 .. c7.
        named: the family's spaces.
        names: its dimensions, c0 to c7.
        noun: what its widths are called, in errors.

    Raises:
        RecipeError: an unknown name, or not eight lists of positive numbers.
    """
    if isinstance(options, str):
        if options not in named:
            raise RecipeError(f"a space of {noun} has a known name", repr(options), nearest(options, named))
        options = named[options]
    if len(options) != len(names) or not all(values and min(values) >= 1 for values in options):
        raise RecipeError(f"a space of {noun} lists the options of c0 to c7", repr(options)[:80])
    return Space({name: Choice(tuple(sorted(set(values)))) for name, values in zip(names, options, strict=True)})
