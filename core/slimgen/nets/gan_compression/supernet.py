"""What the once-for-all networks of GAN Compression (section 3.3) share, whatever their generators."""

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
    """Every channel configuration of a generator in one set of weights: sub-networks take the first channels of each.

    Its weights are those of the generator at the largest configuration, under the same names. A space is named, or
    given as the options of c0 .. c7; the other options are the generator's, without its widths.

    Attributes:
        title: what people call its generators.
        mobile: the name of the one whose convolutions are separable: the default.
        channels: their configurations.
        searched: the name of the default space.
        shape: the options that a sub-network has from the recipe's original.
        training_options: those of an original that matter while it is trained; a teacher in its place takes them.
        pruned: whether it can begin with the strongest channels of a wider generator.
        chain: whether sub-networks are chains of pieces, for a table of latencies.

    Raises:
        RecipeError: an unknown family, or an unknown or malformed space.
        SlimgenError: an option is not known or out of range.
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
            rule = f"a once-for-all {self.title} must be of a known family"
            raise RecipeError(rule, repr(family), nearest(family, self.generators))
        self.family, self.space = family, self.channels.space(space)
        self.description = self.described(family, options)
        left_out = ("ngf", "config", "widths", *self.training_options)
        names = (field.name for field in fields(self.description) if field.name not in left_out)
        self.options: dict[str, Any] = {name: getattr(self.description, name) for name in names}
        whole = self.generator(self.channels.config(self.space.largest()))
        for name, part in whole.named_children():
            self.add_module(name, part)
        # In a list, so that its parts are registered once, under the generator's own names.
        self._whole = [whole]

    @classmethod
    def described(cls, family: str, options: Mapping[str, Any]) -> Any:
        """The description of a generator, given its options; a key `family` among them is passed over."""
        return cls.generators[family].Options(**{name: value for name, value in options.items() if name != "family"})

    @classmethod
    def shape_of(cls, generator: Mapping[str, Any]) -> dict[str, Any]:
        """The shape among a generator's options."""
        return {name: generator[name] for name in cls.shape if name in generator}

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) of one configuration."""
        return self.features(images, arch)[0]

    @abstractmethod
    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares; as those of the generator."""

    def generator(self, config: Config) -> Described:
        """The generator of a configuration."""
        return self.generators[self.family](config=config, **self.options)

    def extract(self, genotype: Genotype) -> Described:
        """The sub-network alone, with copies of its channels.

        Raises:
            SpaceError: a genotype of another space.
        """
        self.space.check(genotype)
        with torch.device("meta"):  # so that no weights are drawn, and the global random state is left alone
            net = self.generator(self.channels.config(genotype))
        whole = self.state_dict()
        first = {
            name: whole[name][tuple(slice(side) for side in part.shape)] for name, part in net.state_dict().items()
        }
        load_copies(net, first)
        return net

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the sub-network costs on one image, in closed form."""
        cost: Cost = self.description.cost(height, width, self.channels.config(genotype))
        return cost

    def prune_from(self, wide: nn.Module) -> None:
        """Begins with the strongest channels of a wider generator.

        Raises:
            RecipeError: networks of this kind cannot.
        """
        raise RecipeError(f"a once-for-all {self.title} cannot be pruned", type(wide).__name__, "set prune false")
