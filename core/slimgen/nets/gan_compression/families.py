"""What GAN Compression can search: families of generators whose widths follow eight numbers c0 .. c7.

Each has a once-for-all network; families that share one have the same layout, and differ in their convolutions. Only
the network of the family in use is imported.
"""

import importlib
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from slimgen.nets.gan_compression.supernet import ChannelSupernet

Name = Literal["mobile_resnet", "resnet", "mobile_spade", "spade"]

FAMILIES = {
    "mobile_resnet": "slimgen.nets.gan_compression.once_for_all:OnceForAll",
    "resnet": "slimgen.nets.gan_compression.once_for_all:OnceForAll",
    "mobile_spade": "slimgen.nets.gan_compression.once_for_all_spade:OnceForAllSpade",
    "spade": "slimgen.nets.gan_compression.once_for_all_spade:OnceForAllSpade",
}
"""By family of generators: its once-for-all network."""


def searchable(family: str) -> "type[ChannelSupernet]":
    """The once-for-all network of a family, a name of `FAMILIES`."""
    module, _, name = FAMILIES[family].partition(":")
    return cast("type[ChannelSupernet]", getattr(importlib.import_module(module), name))


def alike(one: str, other: str) -> bool:
    """Whether generators of two families show the same features, so that one can distil the other."""
    return one in FAMILIES and FAMILIES[one] == FAMILIES.get(other)
