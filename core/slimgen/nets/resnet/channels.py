"""Channel configurations of a ResNet generator: how wide each part of it is.

The stem has c0 channels, the first halving 2 c1, the trunk 4 c2; the inner channels of the residual blocks are 4 c3 in
the first third of them, 4 c4 in the second and 4 c5 in the last; the doublings have 2 c6 and c7. Block input and output
stay at the trunk's width.
"""

from slimgen.nets.configurations import Config, Configurations

_SPACES: dict[str, tuple[Config, ...]] = {
    "channels-48": ((48, 32),) * 2 + ((48, 40, 32),) * 4 + ((48, 32, 24, 16),) * 2,
    "channels-32": ((32, 24, 16),) * 8,
    "channels-64-cycleGAN": ((64, 48, 32, 24, 16),) * 8,
    "channels-64-pix2pix": ((64, 56, 48, 40, 32, 24, 16),) * 8,
}
_PARTS = ("stem", "down1", "trunk", "blocks1", "blocks2", "blocks3", "up1", "up2")
CHANNELS = Configurations(
    noun="channels",
    example="32_32_48_32_48_48_16_16",
    names=tuple(
        f"channel.{part}" for part in ("stem", "down1", "trunk", "blocks1", "blocks2", "blocks3", "up1", "up2")
    ),
    spaces=_SPACES,
    short=True,
)
