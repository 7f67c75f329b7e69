"""Channel configurations of GAN Compression (Li et al. 2020): eight numbers c0 .. c7 that set a generator's widths.

They are written `32_32_48_32_48_48_16_16`. Where all residual blocks share one width, six numbers do: c0 to c2, the
blocks' width, and the last two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slimgen.errors import RecipeError, nearest
from slimgen.search import Choice, Genotype, Space, Value

Config = tuple[int, ...]
"""c0 .. c7."""


@dataclass(frozen=True)
class Configurations:
    """The channel configurations of a generator family, and the spaces of them that the paper's authors searched.

    Attributes:
        noun: the word for the widths in error messages.
        example: a configuration to show in error messages.
        names: the dimensions of a space, c0 to c7.
        spaces: name of a space to the options of c0 to c7.
        short: whether the notation with six numbers is accepted.
    """

    noun: str
    example: str
    names: tuple[str, ...]
    spaces: Mapping[str, Sequence[Sequence[int]]]
    short: bool = False

    def parse(self, value: object) -> Config:
        """Parse a configuration from its notation or from a list of numbers.

        Raises:
            RecipeError: it is not eight (or six, where allowed) positive whole numbers.
        """
        words = value.split("_") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
        try:
            numbers = tuple(int(str(word)) for word in words)
        except ValueError:
            numbers = ()
        if self.short and len(numbers) == 6:
            numbers = (*numbers[:4], numbers[3], numbers[3], *numbers[4:])
        if len(numbers) != len(self.names) or min(numbers) < 1:
            rule = f"a configuration of {self.noun} must be eight positive numbers such as {self.example}"
            hint = "put it in quotes: YAML reads 32_32 as one number" if isinstance(value, int) else None
            raise RecipeError(rule + (", or six" if self.short else ""), repr(value), hint)
        return numbers

    def space(self, options: str | Sequence[Sequence[int]]) -> Space:
        """Return the space of this name, or the space with these options of c0 to c7.

        Raises:
            RecipeError: the name is unknown, or the options are not eight lists of positive numbers.
        """
        if isinstance(options, str):
            if options not in self.spaces:
                rule = f"no space of {self.noun} is called {options!r}"
                raise RecipeError(rule, None, nearest(options, self.spaces))
            options = self.spaces[options]
        if len(options) != len(self.names) or not all(values and min(values) >= 1 for values in options):
            raise RecipeError(f"a space of {self.noun} must list the options of c0 to c7", repr(options)[:80])
        choices = (Choice(tuple(sorted(set(values)))) for values in options)
        return Space(dict(zip(self.names, choices, strict=True)))

    def config(self, genotype: Mapping[str, Value]) -> Config:
        """Return a genotype's configuration."""
        return tuple(int(str(genotype[name])) for name in self.names)

    def genotype(self, config: Sequence[int]) -> Genotype:
        """Return a configuration's genotype."""
        return Genotype(dict(zip(self.names, config, strict=True)))


def write_config(config: Sequence[int]) -> str:
    """Write a configuration in the paper's notation."""
    return "_".join(str(number) for number in config)
