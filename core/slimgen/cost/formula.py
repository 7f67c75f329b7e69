"""Network costs in closed form: plain integers, layer by layer, under every convention at once.

The literature counts MACs in several ways, none of them wrong. They differ in few places:

================== =========================================== ==================================
convention         transposed convolution                      besides weights
================== =========================================== ==================================
`exact`            at its input size, as really computed       nothing
`torchprofile`     at its output size                          nothing
`gan-compression`  at its output size                          one operation per output element of
                                                               InstanceNorm and of a product
`thop`             at its output size                          one per output element with a bias
                                                               and of LeakyReLU, two of BatchNorm
================== =========================================== ==================================

The `torchprofile` count is the one behind the "56.8G" of the ResNet generator with 9 blocks at 256 x 256 in GAN
Compression (Li et al. 2020) and its followers. `thop` is the count of the package of that name, version 0.0.31, behind
the "1176.67G" of ESRGAN and the "166.66G" of SRResNet in CF-GAN's Table 3; its later versions ignore biases. It also
counts average pooling and bilinear enlargement, which are left out here. A bias costs nothing under the other three,
and neither does that of a linear layer under `thop`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from slimgen.errors import SlimgenError, nearest

CONVENTIONS = {"exact": "exact", "torchprofile": "torchprofile", "gan-compression": "gan_compression", "thop": "thop"}
"""Each convention's name to the field of `Cost` that holds it."""


class Cost(NamedTuple):
    """Parameters, and multiply-accumulates (MACs) under each convention of this module; `total` adds them up."""

    params: int = 0
    exact: int = 0
    torchprofile: int = 0
    gan_compression: int = 0
    thop: int = 0

    def macs(self, convention: str) -> int:
        """Return the multiply-accumulates under a convention of `CONVENTIONS`; raise SlimgenError for any other."""
        if convention not in CONVENTIONS:
            rule = "unknown convention for counting MACs"
            raise SlimgenError(rule, repr(convention), nearest(convention, CONVENTIONS))
        number: int = getattr(self, CONVENTIONS[convention])
        return number

    @property
    def bytes(self) -> int:
        """Size of the parameters as 32-bit floats, in bytes."""
        return 4 * self.params

    def as_dict(self, convention: str) -> dict[str, int]:
        """Return the costs that a budget may limit and that are cheap to count: `macs`, `params` and `bytes`."""
        return {"macs": self.macs(convention), "params": self.params, "bytes": self.bytes}


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of costs; zero for none."""
    params = exact = torchprofile = gan_compression = thop = 0
    for p, e, t, g, h in costs:
        params += p
        exact += e
        torchprofile += t
        gan_compression += g
        thop += h
    return Cost(params, exact, torchprofile, gan_compression, thop)
