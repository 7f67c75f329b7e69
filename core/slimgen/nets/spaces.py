"""All named spaces: of channels, with the family that each is of unless another is asked for, and of operations."""

from slimgen.nets.alphagan.space import alphagan_space
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, space_of
from slimgen.nets.gan_compression import once_for_all_spade
from slimgen.nets.resnet import channels
from slimgen.nets.sngan.discriminator import discriminator_space

SPACES = dict.fromkeys(channels.SPACES, "mobile_resnet") | dict.fromkeys(once_for_all_spade.SPACES, "mobile_spade")
OPERATION_SPACES = {
    "alphagan": alphagan_space(),
    "alphagan-no-deconvolution": alphagan_space(deconvolution=False),
    "alphagan-discriminator": discriminator_space(),
    "cyclegan_nas": space_of(GeneratorShape()),
    "cyclegan_nas-discriminator": space_of(DiscriminatorShape()),
}
"""What the differentiable methods choose from: of CycleGANAS, which has two of each, one generator's and one
discriminator's."""
