"""The generator families that GAN Compression can search: eight numbers c0 .. c7 set their widths.

Each has a once-for-all network. Families that share one have the same layout and differ only in their convolutions.
The module of a once-for-all network is imported only when it is used.
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
"""Once-for-all networks by generator family."""


def searchable(family: str) -> "type[ChannelSupernet]":
    """Return the once-for-all network of a family, a key of `FAMILIES`."""
    module, _, name = FAMILIES[family].partition(":")
    return cast("type[ChannelSupernet]", getattr(importlib.import_module(module), name))


def alike(one: str, other: str) -> bool:
    """Return whether two families have the same features, so that one can be distilled into the other."""
    return one in FAMILIES and FAMILIES[one] == FAMILIES.get(other)
