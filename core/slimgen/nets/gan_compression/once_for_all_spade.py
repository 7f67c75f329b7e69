"""The once-for-all network of GAN Compression for GauGAN: every channel configuration in one set of weights."""

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from slimgen.nets.gan_compression.supernet import ChannelSupernet
from slimgen.nets.spade.description import CHANNELS
from slimgen.nets.spade.generator import MobileSpadeGenerator, SpadeGenerator
from slimgen.nets.supernet import Arch, pinned


class OnceForAllSpade(ChannelSupernet):
    """A once-for-all SPADE generator; scales and shifts are separable, as published, or dense. See `ChannelSupernet`.

    Running statistics of BatchNorm are shared like weights, and every training step updates them, whatever its
    configuration; for an extracted sub-network, measure them again with `torch.optim.swa_utils.update_bn`.

    There is no spectral norm: the largest singular value of a slice is not that of the whole, so each configuration
    would need its own power iterations at every step. The paper's authors have none either: they train the original
    with it, fold it into the weights (`SpadeGenerator.folded`), and distil from that.
    """

    title = "SPADE"
    generators: ClassVar = {"mobile_spade": MobileSpadeGenerator, "spade": SpadeGenerator}
    mobile = "mobile_spade"
    channels = CHANNELS
    searched = "channels-48-spade"
    shape = ("inputs", "outputs", "norm", "doublings")
    training_options = ("spectral",)

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """Return the images and the features for distillation; see `SpadeGenerator.features`."""
        whole = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        config = self.channels.config(pinned(arch))
        # Views of the first channels of every weight and running statistic, so training them trains the whole.
        views = {
            f"net.{name}": whole[name][tuple(slice(side if by is None else side * config[by]) for side, by in sides)]
            for name, sides in _sides(self.family, tuple(self.options.items())).items()
        }
        features: tuple[Tensor, list[Tensor]] = functional_call(_Tapped(self._whole[0]), views, (images,))
        return features


class _Tapped(nn.Module):
    """A generator whose `forward` is `features`, because `functional_call` calls only `forward`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        assert isinstance(self.net, SpadeGenerator)
        return self.net.features(images)


@cache
def _sides(family: str, options: tuple[tuple[str, Any], ...]) -> dict[str, tuple[tuple[int, int | None], ...]]:
    """Return the shapes of weights and buffers: each side's factor, and which of c0 .. c7 it multiplies (None: none).

    They are found by widening one of c0 .. c7 at a time.
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
