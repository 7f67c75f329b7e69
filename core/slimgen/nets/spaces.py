"""All named spaces of channels, and the family that each is of unless another is asked for."""

from slimgen.nets import channels, once_for_all_spade

SPACES = dict.fromkeys(channels.SPACES, "mobile_resnet") | dict.fromkeys(once_for_all_spade.SPACES, "mobile_spade")
