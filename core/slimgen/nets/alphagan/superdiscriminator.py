"""Every discriminator of AlphaGAN's ablation (Tian et al., Table 3), sharing weights."""

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.alphagan.operations import mixed_normal
from slimgen.nets.gates import Arch
from slimgen.nets.initial import GLOROT
from slimgen.nets.sngan.discriminator import (
    NoiseDiscriminator,
    build_ends,
    build_operation,
    discriminator_space,
    judge,
    key_of,
    noise_discriminator_cost,
    operations,
)
from slimgen.nets.supernet import Supernet
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype


class NoiseSuperDiscriminator(Supernet):
    """The super-discriminator: in every block all normal operations, mixed by gates.

    Args:
        inputs: channels of the images.
        channels: of all features.
        recompute: mixed operations are computed a second time going back, instead of being kept.

    Raises:
        RecipeError: a number of channels below 1.
    """

    initial = GLOROT

    def __init__(self, inputs: int = 3, channels: int = 128, recompute: bool = False) -> None:
        super().__init__()
        self.space = discriminator_space()
        self.inputs, self.channels, self.recompute = inputs, channels, recompute
        self.shortcuts, self.score = build_ends(inputs, channels)
        self.operations = nn.ModuleDict()
        for name, raising in operations():
            choice = self.space[name]
            assert isinstance(choice, Choice)
            self.operations[key_of(name)] = nn.ModuleDict(
                {
                    str(option): build_operation(name, str(option), inputs if raising else channels, channels)
                    for option in choice.options
                }
            )

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W), at least 4 pixels a side, through one architecture to scores (N, 1)."""

        def run(name: str, features: Tensor) -> Tensor:
            return mixed_normal(arch, name, features, self._operations(name), self.recompute)

        return judge(images, run, self.shortcuts, self.score)

    def extract(self, genotype: Genotype) -> NoiseDiscriminator:
        """The discriminator of one genotype, with copies of the weights.

        Raises:
            SpaceError: a genotype of another space.
        """
        self.space.check(genotype)
        net = NoiseDiscriminator(genotype, self.inputs, self.channels).to(next(self.parameters()).device)
        net.shortcuts.load_state_dict(self.shortcuts.state_dict())
        net.score.load_state_dict(self.score.state_dict())
        for name in self.space:
            net.operations[key_of(name)].load_state_dict(self._operations(name)[str(genotype[name])].state_dict())
        return net.train(self.training)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted discriminator costs on one image."""
        return noise_discriminator_cost(height, width, genotype=genotype, inputs=self.inputs, channels=self.channels)

    def _operations(self, name: str) -> nn.ModuleDict:
        found = self.operations[key_of(name)]
        assert isinstance(found, nn.ModuleDict)
        return found
