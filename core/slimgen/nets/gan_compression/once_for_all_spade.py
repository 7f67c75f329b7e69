"""The once-for-all network of GAN Compression for GauGAN: every channel configuration in one set of weights."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from slimgen.nets.gan_compression.supernet import ChannelSupernet
from slimgen.nets.spade.description import CHANNELS
from slimgen.nets.spade.generator import MobileSpadeGenerator, SpadeGenerator
from slimgen.nets.supernet import Arch, pinned
from slimgen.search.genotype import Value


class OnceForAllSpade(ChannelSupernet):
    """A SPADE generator, its scales and shifts separable, as the authors searched, or dense; see `ChannelSupernet`.

    Running statistics of BatchNorm are shared like weights, and moved by whatever configuration trains; those of a
    sub-network on its own are measured anew by `torch.optim.swa_utils.update_bn` over its extraction.

    There is no spectral norm: the largest singular value of a part is not that of the whole, so each configuration
    would need power iterations of its own at every step. The authors' has none either: they train the original with
    it, fold it into the weights (`SpadeGenerator.folded`), and distil from that.

    Args:
        family: `mobile_spade` or `spade`.
        space: the name of a space, or the options of c0 .. c7.
        options: `inputs`, `outputs`, `norm` and `doublings` of the generator.
    """

    title = "SPADE"
    generators: ClassVar = {"mobile_spade": MobileSpadeGenerator, "spade": SpadeGenerator}
    mobile = "mobile_spade"
    channels = CHANNELS
    shape = ("inputs", "outputs", "norm", "doublings")
    training_options = ("spectral",)

    def __init__(
        self,
        family: str = "mobile_spade",
        space: str | Sequence[Sequence[int]] = "channels-48-spade",
        **options: Any,
    ) -> None:
        super().__init__(family, space, **options)
        whole = self.generator(self.channels.config(self.space.largest()))
        assert isinstance(whole, SpadeGenerator)
        for name, part in whole.named_children():
            self.add_module(name, part)
        # In a list, so that its parts are registered once, under the generator's own names.
        self._whole = [_Tapped(whole)]

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares; see `SpadeGenerator.features`."""
        views = {f"net.{name}": view for name, view in self._views(pinned(arch)).items()}
        features: tuple[Tensor, list[Tensor]] = functional_call(self._whole[0], views, (images,))
        return features

    def _views(self, genotype: Mapping[str, Value]) -> dict[str, Tensor]:
        """The first channels of every weight and running statistic, as views: what trains them trains the whole."""
        whole = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        config = self.channels.config(genotype)
        sides_of = _sides(self.family, tuple(self.options.items()))
        return {
            name: whole[name][tuple(slice(side if by is None else side * config[by]) for side, by in sides)]
            for name, sides in sides_of.items()
        }


class _Tapped(nn.Module):
    """A generator whose `forward` is its `features`, which is all that `functional_call` can call."""

    def __init__(self, net: SpadeGenerator) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.net.features(images)


@cache
def _sides(family: str, options: tuple[tuple[str, Any], ...]) -> dict[str, tuple[tuple[int, int | None], ...]]:
    """How the shape of each weight and buffer follows from the configuration; that settles which part of it is used.

    Every side is a number, or a multiple of one of c0 .. c7. Found by widening one of them at a time.

    Returns:
        By name, for each side: the number and None, or the factor and which of c0 .. c7 it multiplies.
    """

    def sides(config: Sequence[int]) -> dict[str, torch.Size]:
        with torch.device("meta"):
            net = OnceForAllSpade.generators[family](config=config, **dict(options))
        return {name: tensor.shape for name, tensor in net.state_dict().items()}

    numbers = range(len(CHANNELS.names))
    wider = [sides([1 + (other == number) for other in numbers]) for number in numbers]
    return {
        name: tuple(
            (side, next((number for number in numbers if wider[number][name][axis] != side), None))
            for axis, side in enumerate(narrow)
        )
        for name, narrow in sides([1 for _ in numbers]).items()
    }
