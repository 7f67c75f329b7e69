"""Every generator of AlphaGAN's space, sharing weights: on each edge all operations, mixed by gates (Eq. 8)."""

from typing import Any

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.alphagan.cost import genotype_cost
from slimgen.nets.alphagan.generator import AlphaGenerator, Ends, key_of, through_cells
from slimgen.nets.alphagan.operations import Normal, edge, mixed_normal
from slimgen.nets.alphagan.space import alphagan_space, check_interpolation, check_sizes, edges
from slimgen.nets.gates import Arch, mixed
from slimgen.nets.initial import GLOROT
from slimgen.nets.supernet import Supernet
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value


class AlphaSupernet(Supernet):
    """The super-generator. Norms inside of operations have no scales of their own while several are mixed.

    Args:
        channels: of all features.
        latent: length of the noise.
        size: side of the images in pixels, a multiple of 8.
        deconvolution: whether `deconv` is an option (without it: Table 6).
        interpolation: `plain`, or `learned` (Table 7).
        recompute: mixed operations are computed a second time going back, instead of being kept.

    Raises:
        RecipeError: an option is out of range.
    """

    initial = GLOROT

    def __init__(
        self,
        channels: int = 256,
        latent: int = 128,
        size: int = 32,
        deconvolution: bool = True,
        interpolation: str = "plain",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        check_interpolation(interpolation)
        self.space = alphagan_space(deconvolution)
        self.channels, self.latent, self.size = channels, latent, size
        self.interpolation, self.recompute = interpolation, recompute
        self.ends = Ends(channels, latent, size)
        self.edges = nn.ModuleDict()
        for name, up, factor in edges():
            choice = self.space[name]
            assert isinstance(choice, Choice)
            self.edges[key_of(name)] = nn.ModuleDict(
                {
                    str(option): edge(up, str(option), channels, factor, interpolation, affine=False)
                    for option in choice.options
                }
            )

    @property
    def options(self) -> dict[str, Any]:
        """What an extracted generator is built with, besides its genotype."""
        return {
            "channels": self.channels,
            "latent": self.latent,
            "size": self.size,
            "interpolation": self.interpolation,
        }

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Noise (N, latent) through one architecture to images (N, 3, size, size) in [-1, 1]."""

        def run(name: str, features: Tensor) -> Tensor:
            operations = self._operations(name)
            if isinstance(operations[str(self.space[name].smallest)], Normal):
                return mixed_normal(arch, name, features, operations, self.recompute)

            def applied(option: Value) -> Tensor:
                out: Tensor = operations[str(option)](features)
                return out

            return mixed(arch, name, applied, self.recompute, lambda option: operations[str(option)])

        return self.ends.leave(through_cells(self.ends.enter(images), run))

    def extract(self, genotype: Genotype) -> AlphaGenerator:
        """The generator of one genotype, with copies of the weights and norms that can be trained, scales at one.

        Raises:
            SpaceError: a genotype of another space.
        """
        self.space.check(genotype)
        net = AlphaGenerator(genotype, **self.options).to(next(self.parameters()).device)
        net.ends.load_state_dict(self.ends.state_dict())
        for name, _, _ in edges():
            taken, own = net.edges[key_of(name)], self._operations(name)[str(genotype[name])]
            # A new norm's scales are ones and its shifts zeros: what the one without them computes.
            taken.load_state_dict({**taken.state_dict(), **own.state_dict()})
        return net.train(self.training)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted generator costs for one image."""
        side = check_sizes(height, width, self.size)
        return genotype_cost(genotype, side, self.channels, self.latent, self.interpolation)

    def _operations(self, name: str) -> nn.ModuleDict:
        operations = self.edges[key_of(name)]
        assert isinstance(operations, nn.ModuleDict)
        return operations
