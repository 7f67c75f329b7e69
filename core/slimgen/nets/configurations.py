"""Channel configurations of GAN Compression (Li et al. 2020): eight numbers c0 .. c7 that a generator's widths follow.

They are written `32_32_48_32_48_48_16_16`; where all residual blocks may share one width, also in six numbers: c0 to
c2, the blocks', and the last two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slimgen.errors import RecipeError, nearest
from slimgen.search import Choice, Genotype, Space, Value

Config = tuple[int, ...]
"""c0 .. c7."""


@dataclass(frozen=True)
class Configurations:
    """The configurations of a family of generators, and the spaces of them that the authors searched.

    Attributes:
        noun: what its widths are called, in errors.
        names: the dimensions of a space, c0 to c7.
        spaces: by name, the options of c0 to c7.
        short: whether six numbers are understood.
    """

    noun: str
    example: str
    names: tuple[str, ...]
    spaces: Mapping[str, Sequence[Sequence[int]]]
    short: bool = False

    def parse(self, value: object) -> Config:
        """A configuration as it is written, or from a list of numbers.

        Raises:
            RecipeError: not so many positive whole numbers.
        """
        words = value.split("_") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
        try:
            numbers = tuple(int(str(word)) for word in words)
        except ValueError:
            numbers = ()
        if self.short and len(numbers) == 6:
            numbers = (*numbers[:4], numbers[3], numbers[3], *numbers[4:])
        if len(numbers) != len(self.names) or min(numbers) < 1:
            rule = f"a configuration of {self.noun} is eight positive numbers such as {self.example}"
            hint = "put it in quotes: YAML reads 32_32 as one number" if isinstance(value, int) else None
            raise RecipeError(rule + (", or six" if self.short else ""), repr(value), hint)
        return numbers

    def space(self, options: str | Sequence[Sequence[int]]) -> Space:
        """The space of a name, or of the options of c0 to c7.

        Raises:
            RecipeError: an unknown name, or not eight lists of positive numbers.
        """
        if isinstance(options, str):
            if options not in self.spaces:
                rule = f"a space of {self.noun} has a known name"
                raise RecipeError(rule, repr(options), nearest(options, self.spaces))
            options = self.spaces[options]
        if len(options) != len(self.names) or not all(values and min(values) >= 1 for values in options):
            raise RecipeError(f"a space of {self.noun} lists the options of c0 to c7", repr(options)[:80])
        choices = (Choice(tuple(sorted(set(values)))) for values in options)
        return Space(dict(zip(self.names, choices, strict=True)))

    def config(self, genotype: Mapping[str, Value]) -> Config:
        """The configuration that a genotype stands for."""
        return tuple(int(str(genotype[name])) for name in self.names)

    def genotype(self, config: Sequence[int]) -> Genotype:
        """The genotype of a configuration."""
        return Genotype(dict(zip(self.names, config, strict=True)))


def write_config(config: Sequence[int]) -> str:
    """The configuration in the authors' notation."""
    return "_".join(str(number) for number in config)
