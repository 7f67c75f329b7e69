"""Channel configurations of a SPADE generator, as the authors of GAN Compression write them.

The first convolution has 16 c0 channels, which are the trunk of the three blocks after it; their inner widths are
16 c1, 16 c2 and 16 c3; the four upper blocks leave 8 c4, 4 c5, 2 c6 and c7. The SPADE layers of a block see the labels
through twice its c. The named spaces are those searched on Cityscapes, in the authors' two pipelines.
"""

from slimgen.nets.configurations import Config, Configurations

_SPACES: dict[str, tuple[Config, ...]] = {
    "channels-48-spade": ((48, 40, 32),) * 5 + ((48, 40, 32, 24),) * 3,
    "channels-64-spade": ((64, 48, 40, 32),) * 5 + ((64, 48, 40, 32, 24),) * 3,
}
CHANNELS = Configurations(
    noun="SPADE channels",
    example="32_40_40_32_40_24_32_24",
    names=tuple(f"channel.{part}" for part in ("fc", "head", "middle0", "middle1", "up0", "up1", "up2", "up3")),
    spaces=_SPACES,
)
