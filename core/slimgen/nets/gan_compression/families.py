"""What GAN Compression can search: families of generators whose widths are eight numbers c0 .. c7.

Such a generator takes the options `ngf`, all eight equal, or `config`, and further ones, its shape, that no search
changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from slimgen.cost.formula import Cost
from slimgen.nets.gan_compression import once_for_all_spade
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.gan_compression.once_for_all_spade import OnceForAllSpade
from slimgen.nets.resnet import channels
from slimgen.nets.resnet import cost as resnet_cost
from slimgen.nets.resnet.channels import Config
from slimgen.nets.resnet.generator import taps
from slimgen.nets.spade import cost as spade_cost
from slimgen.nets.spade.generator import TAPS
from slimgen.search import Genotype, Space

Net = OnceForAll | OnceForAllSpade
Options = str | Sequence[Sequence[int]]
Name = Literal["mobile_resnet", "resnet", "mobile_spade", "spade"]


def _resnet_taps(config: Config, shape: Mapping[str, Any]) -> list[int]:
    return [4 * config[2]] * len(taps(shape.get("blocks", 9)))


def _spade_taps(config: Config, shape: Mapping[str, Any]) -> list[int]:
    return [block.outputs for block in spade_cost.layout(config, shape.get("doublings", 6)) if block.name in TAPS]


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        title: what people call it.
        mobile: the family of the same layout whose convolutions are separable; also tells which families are alike.
        supernet: makes the once-for-all network from family, space and shape.
        space: a name of a space, or the options of c0 .. c7, to the space.
        names: the dimensions of the space, c0 to c7.
        shape: options of the generator that its sub-networks share.
        parse: c0 .. c7 from an option `config`.
        cost_of: widths, numbers or arrays of them, height, width and shape to a cost.
        taps_of: widths and shape to the channels of the features that distillation compares.
        training: options of an original that matter while it is trained alone, and that a teacher in its place takes.
        pruned: whether a narrower network can begin with the strongest channels of a wider one.
        chain: whether sub-networks are chains of pieces, for a table of latencies.
    """

    title: str
    mobile: str
    supernet: Callable[..., Net]
    space: Callable[[Options], Space]
    names: tuple[str, ...]
    shape: tuple[str, ...]
    parse: Callable[[object], Config]
    cost_of: Callable[..., Cost]
    taps_of: Callable[[Config, Mapping[str, Any]], list[int]]
    training: tuple[str, ...] = ()
    pruned: bool = True
    chain: bool = True

    def shape_of(self, generator: Mapping[str, Any]) -> dict[str, Any]:
        """The shape among a generator's options."""
        return {name: generator[name] for name in self.shape if name in generator}

    def config(self, genotype: Genotype) -> Config:
        """The widths c0 .. c7 that a genotype stands for."""
        return tuple(int(str(genotype[name])) for name in self.names)

    def tap_channels(self, generator: Mapping[str, Any]) -> list[int]:
        """How wide the features are that distillation compares, of a generator with these options."""
        config = generator.get("config")
        widths = (int(generator.get("ngf", 64)),) * len(self.names) if config is None else self.parse(config)
        taps = self.taps_of(widths, generator)
        # A ResNet that was cut filter by filter says its widths one by one; all its taps are the trunk.
        cut = generator.get("widths")
        return taps if cut is None else [int(cut["trunk"])] * len(taps)


def _resnet(convolution: resnet_cost.Convolution) -> Family:
    return Family(
        title="ResNet",
        mobile="mobile_resnet",
        supernet=OnceForAll,
        space=channels.channel_space,
        names=channels.NAMES,
        shape=("blocks", "inputs", "outputs"),
        parse=channels.parse_config,
        cost_of=partial(resnet_cost.configured_cost, convolution),
        taps_of=_resnet_taps,
    )


def _spade(mobile: bool) -> Family:
    return Family(
        title="SPADE",
        mobile="mobile_spade",
        supernet=OnceForAllSpade,
        space=once_for_all_spade.spade_space,
        names=once_for_all_spade.NAMES,
        shape=("inputs", "outputs", "norm", "doublings"),
        parse=spade_cost.parse_config,
        cost_of=partial(spade_cost.configured_cost, mobile),
        taps_of=_spade_taps,
        training=("spectral",),
        pruned=False,
        chain=False,
    )


FAMILIES: dict[str, Family] = {
    "mobile_resnet": _resnet(resnet_cost.separable),
    "resnet": _resnet(resnet_cost.dense),
    "mobile_spade": _spade(mobile=True),
    "spade": _spade(mobile=False),
}
"""By name of the generator's family."""


def alike(one: str, other: str) -> bool:
    """Whether generators of two families show the same features, so that one can distil the other."""
    return one in FAMILIES and other in FAMILIES and FAMILIES[one].mobile == FAMILIES[other].mobile
