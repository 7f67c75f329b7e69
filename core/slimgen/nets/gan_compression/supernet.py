"""The base class of GAN Compression's once-for-all networks (section 3.3)."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError, nearest
from slimgen.nets.configurations import Config, Configurations
from slimgen.nets.layers import Described, load_copies
from slimgen.nets.supernet import Arch, Supernet
from slimgen.search.genotype import Genotype


class ChannelSupernet(Supernet):
    """All channel configurations of a generator in one set of weights: a sub-network has the first channels of each.

    Its weights are those of the generator at the largest configuration, with the same names. The space is a name, or
    the options of c0 .. c7; the other options are the generator's, without its widths.

    Attributes:
        title: the generators' name in error messages.
        generators: its generators by family.
        mobile: the default family, whose convolutions are separable.
        channels: the configurations.
        searched: the name of the default space.
        shape: the options that a sub-network shares with the recipe's original.
        training_options: options of an original that only matter while it trains; a teacher trained in its place takes
            them over.
        pruned: whether it can start from the strongest channels of a wider generator.
        chain: whether sub-networks can be split into pieces, for a table of latencies.

    Raises:
        RecipeError: the family is unknown, or the space is unknown or malformed.
        SlimgenError: an option is unknown or out of range.
    """

    title: ClassVar[str]
    generators: ClassVar[Mapping[str, type[Described]]]
    mobile: ClassVar[str]
    channels: ClassVar[Configurations]
    searched: ClassVar[str]
    shape: ClassVar[tuple[str, ...]]
    training_options: ClassVar[tuple[str, ...]] = ()
    pruned: ClassVar[bool] = False
    chain: ClassVar[bool] = False

    def __init__(
        self, family: str | None = None, space: str | Sequence[Sequence[int]] | None = None, **options: Any
    ) -> None:
        super().__init__()
        family, space = family or self.mobile, self.searched if space is None else space
        if family not in self.generators:
            rule = f"no once-for-all {self.title} family is called {family!r}"
            raise RecipeError(rule, None, nearest(family, self.generators))
        self.family, self.space = family, self.channels.space(space)
        self.description = self.described(family, options)
        left_out = ("ngf", "config", "widths", *self.training_options)
        names = (field.name for field in fields(self.description) if field.name not in left_out)
        self.options: dict[str, Any] = {name: getattr(self.description, name) for name in names}
        whole = self.generator(self.channels.config(self.space.largest()))
        for name, part in whole.named_children():
            self.add_module(name, part)
        # In a list, so that its parts are registered only once, under the generator's names.
        self._whole = [whole]

    @classmethod
    def described(cls, family: str, options: Mapping[str, Any]) -> Any:
        """Return a generator's description from its options; a key `family` among them is ignored."""
        return cls.generators[family].Options(**{name: value for name, value in options.items() if name != "family"})

    @classmethod
    def shape_of(cls, generator: Mapping[str, Any]) -> dict[str, Any]:
        """Return a generator's options that define its shape."""
        return {name: generator[name] for name in cls.shape if name in generator}

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Map images (N, inputs, H, W) through one configuration to images (N, outputs, H, W)."""
        return self.features(images, arch)[0]

    @abstractmethod
    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """Return the images and the features for distillation, as the generator's `features` does."""

    def generator(self, config: Config) -> Described:
        """Build the generator of a configuration."""
        return self.generators[self.family](config=config, **self.options)

    def extract(self, genotype: Genotype) -> Described:
        """Return the sub-network alone, with copies of its channels.

        Raises:
            SpaceError: the genotype is of another space.
        """
        self.space.check(genotype)
        with torch.device("meta"):  # draws no weights and leaves the global random state unchanged
            net = self.generator(self.channels.config(genotype))
        whole = self.state_dict()
        first = {
            name: whole[name][tuple(slice(side) for side in part.shape)] for name, part in net.state_dict().items()
        }
        load_copies(net, first)
        return net

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return the sub-network's cost on one image, in closed form."""
        cost: Cost = self.description.cost(height, width, self.channels.config(genotype))
        return cost

    def prune_from(self, wide: nn.Module) -> None:
        """Copy the strongest channels of a wider generator.

        Raises:
            RecipeError: this kind of network cannot be pruned.
        """
        raise RecipeError(f"a once-for-all {self.title} cannot be pruned", type(wide).__name__, "set prune false")
