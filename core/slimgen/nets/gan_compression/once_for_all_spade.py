"""The once-for-all network of GAN Compression for GauGAN: every channel configuration in one set of weights."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError, nearest
from slimgen.nets.gates import Arch, pinned
from slimgen.nets.resnet.channels import configurations
from slimgen.nets.spade.cost import Config, configured_cost
from slimgen.nets.spade.generator import MobileSpadeGenerator, SpadeGenerator
from slimgen.nets.supernet import Supernet
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

FAMILIES: dict[str, type[SpadeGenerator]] = {"mobile_spade": MobileSpadeGenerator, "spade": SpadeGenerator}
"""What it can be made of: separable scales and shifts, as the authors searched, or dense ones."""
NAMES = tuple(f"channel.{part}" for part in ("fc", "head", "middle0", "middle1", "up0", "up1", "up2", "up3"))
"""The dimensions of the space, c0 to c7."""
SPACES: dict[str, tuple[tuple[int, ...], ...]] = {
    "channels-48-spade": ((48, 40, 32),) * 5 + ((48, 40, 32, 24),) * 3,
    "channels-64-spade": ((64, 48, 40, 32),) * 5 + ((64, 48, 40, 32, 24),) * 3,
}
"""The options of c0 .. c7 in the spaces that the authors searched on Cityscapes, in their two pipelines."""


def spade_space(options: str | Sequence[Sequence[int]]) -> Space:
    """The space of configurations of a SPADE generator; see `slimgen.nets.resnet.channels.configurations`."""
    return configurations(options, SPACES, NAMES, "SPADE channels")


def to_config(genotype: Mapping[str, Value]) -> Config:
    """The configuration c0 .. c7 that a genotype stands for."""
    return tuple(int(str(genotype[name])) for name in NAMES)


def to_genotype(config: Sequence[int]) -> Genotype:
    """The genotype of a configuration c0 .. c7."""
    return Genotype(dict(zip(NAMES, config, strict=True)))


class OnceForAllSpade(Supernet):
    """A SPADE generator whose sub-networks take the first channels of each weight.

    Its weights are those of the generator at the largest options, under the same names. Running statistics of
    BatchNorm are shared like weights, and moved by whatever configuration trains; those of a sub-network on its own
    are measured anew by `torch.optim.swa_utils.update_bn` over its extraction.

    There is no spectral norm: the largest singular value of a part is not that of the whole, so each configuration
    would need power iterations of its own at every step. The authors' has none either: they train the original with
    it, fold it into the weights (`SpadeGenerator.folded`), and distil from that.

    Args:
        family: a name of `FAMILIES`.
        space: the name of a space, or the options of c0 .. c7.
        inputs: channels of the label maps.
        outputs: channels of the images.
        norm: `batch` or `instance`.
        doublings: 6 or 5; see `SpadeGenerator`.

    Raises:
        RecipeError: an unknown family, or an unknown or malformed space.
        SlimgenError: an option is out of range.
    """

    def __init__(
        self,
        family: str = "mobile_spade",
        space: str | Sequence[Sequence[int]] = "channels-48-spade",
        inputs: int = 36,
        outputs: int = 3,
        norm: str = "batch",
        doublings: int = 6,
    ) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise RecipeError("a once-for-all SPADE is of a known family", repr(family), nearest(family, FAMILIES))
        self.family, self.space = family, spade_space(space)
        self.options: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "norm": norm, "doublings": doublings}
        widest = FAMILIES[family](config=to_config(self.space.largest()), **self.options)
        for name, part in widest.named_children():
            self.add_module(name, part)
        # In a list, so that its parts are registered once, under the generator's own names.
        self._whole = [_Tapped(widest)]

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Label maps (N, inputs, H, W) to images (N, outputs, H, W) of one configuration, as `SpadeGenerator`."""
        return self.features(images, arch)[0]

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares; see `SpadeGenerator.features`."""
        views = {f"net.{name}": view for name, view in self._views(pinned(arch)).items()}
        found: tuple[Tensor, list[Tensor]] = functional_call(self._whole[0], views, (images,))
        return found

    @property
    def tap_channels(self) -> list[int]:
        """How wide those features are at the largest configuration."""
        return self._whole[0].net.tap_channels

    def extract(self, genotype: Genotype) -> SpadeGenerator:
        """The sub-network alone, with copies of its channels.

        Raises:
            SpaceError: a genotype of another space.
        """
        self.space.check(genotype)
        return FAMILIES[self.family].of(self._views(genotype), to_config(genotype), **self.options)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the sub-network costs on one image, in closed form."""
        return configured_cost(self.family == "mobile_spade", to_config(genotype), height, width, **self.options)

    def costs(self, columns: Mapping[str, Any], height: int, width: int) -> Cost:
        """The costs of many configurations at once.

        Args:
            columns: for each dimension an integer array; all of one shape.
            height: image height in pixels.
            width: image width in pixels.

        Returns:
            A Cost whose numbers are of that shape.
        """
        widths = [columns[name] for name in NAMES]
        return configured_cost(self.family == "mobile_spade", widths, height, width, **self.options)

    def _views(self, genotype: Mapping[str, Value]) -> dict[str, Tensor]:
        """The first channels of every weight and running statistic, as views: what trains them trains the whole."""
        own = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        config = to_config(genotype)
        return {
            name: own[name][tuple(slice(side if by is None else side * config[by]) for side, by in sides)]
            for name, sides in _sides(self.family, tuple(self.options.items())).items()
        }


class _Tapped(nn.Module):
    """A generator whose `forward` is its `features`, which is all that `functional_call` can call."""

    def __init__(self, net: SpadeGenerator) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.net.features(images)


@cache
def _sides(family: str, shape: tuple[tuple[str, Any], ...]) -> dict[str, tuple[tuple[int, int | None], ...]]:
    """How the shape of each weight and buffer follows from the configuration; that settles which part of it is used.

    Every side is a number, or a multiple of one of c0 .. c7. Found by widening one of them at a time.

    Returns:
        By name, for each side: the number and None, or the factor and which of c0 .. c7 it multiplies.
    """

    def sides(config: Sequence[int]) -> dict[str, torch.Size]:
        with torch.device("meta"):
            net = FAMILIES[family](config=config, **dict(shape))
        return {name: tensor.shape for name, tensor in net.state_dict().items()}

    places = range(len(NAMES))
    wider = [sides([1 + (place == own) for place in places]) for own in places]
    return {
        name: tuple(
            (side, next((own for own in places if wider[own][name][axis] != side), None))
            for axis, side in enumerate(narrow)
        )
        for name, narrow in sides([1 for _ in places]).items()
    }
