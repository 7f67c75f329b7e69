"""AlphaGAN's supernets: all operations of every choice, with shared weights, mixed by gates (Tian et al., Eq. 8)."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.formula import Cost
from slimgen.nets.alphagan.description import AlphaShape, alphagan_space, edges
from slimgen.nets.alphagan.generator import AlphaGenerator, build, through_cells
from slimgen.nets.functional import blended
from slimgen.nets.initial import GLOROT
from slimgen.nets.noise import Ends, Normal, key_of
from slimgen.nets.sngan import discriminator
from slimgen.nets.supernet import Arch, Supernet, branches, mixed, weighted_sum
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space


class Choices(nn.ModuleDict):
    """All operations of all choices of a space.

    Args:
        space: must consist of choices only.
        build: a choice's name and an option to its module.
        recompute: see `mixed`.
    """

    def __init__(self, space: Space, build: Callable[[str, str], nn.Module], recompute: bool) -> None:
        super().__init__()
        self.recompute = recompute
        for name, choice in space.items():
            assert isinstance(choice, Choice)
            self[key_of(name)] = nn.ModuleDict({str(option): build(name, str(option)) for option in choice.options})

    def run(self, arch: Arch, name: str, features: Tensor) -> Tensor:
        """Apply the operation, or the mixture of operations, that an architecture has for a choice."""
        operations = self.of(name)
        if isinstance(next(iter(operations.values())), Normal):
            return mixed_normal(arch, name, features, operations, self.recompute)

        def module(option: Value) -> nn.Module:
            return operations[str(option)]

        return mixed(arch, name, lambda option: module(option)(features), self.recompute, module)

    def of(self, name: str) -> nn.ModuleDict:
        """Return the operations of one choice, by option."""
        operations = self[key_of(name)]
        assert isinstance(operations, nn.ModuleDict)
        return operations

    def copy_into(self, net: nn.ModuleDict, genotype: Genotype) -> None:
        """Copy the weights of a genotype's operations into a network that consists of these operations.

        The network's norms also have scales and shifts; these stay 1 and 0, so it computes what the supernet does.
        """
        for name, option in genotype.items():
            thin = net[key_of(name)]
            thin.load_state_dict({**thin.state_dict(), **self.of(name)[str(option)].state_dict()})


def mixed_normal(arch: Arch, name: str, features: Tensor, operations: nn.ModuleDict, recompute: bool) -> Tensor:
    """Apply a choice among normal operations as `mixed` does, with fewer computations.

    All operations begin with the same layer, which is computed once. Convolutions are linear, so the dense ones are
    mixed as kernels: 25 taps instead of 35, and autograd keeps one feature map instead of three.

    Args:
        arch: see `mixed`.
        name: of the choice.
        features: (N, inputs, H, W).
        operations: option to `Normal`.
        recompute: see `mixed`; the mixed kernel keeps little anyway.
    """

    def operation(option: Value) -> Normal:
        normal = operations[str(option)]
        assert isinstance(normal, Normal)
        return normal

    weighted = [(option, weight) for option, weight in branches(arch, name) if weight is not None]
    dense = [(operation(option)[1], weight) for option, weight in weighted if len(operation(option)) == 2]
    if len(dense) < 2:
        return mixed(arch, name, lambda option: operation(option)(features), recompute, operation)
    begun: Tensor = operation(weighted[0][0])[0](features)
    kernel, bias, reach = blended(dense)
    out = functional.conv2d(begun, kernel, bias, padding=reach)

    def rest(option: Value) -> Tensor:
        reached: Tensor = begun
        for layer in list(operation(option))[1:]:
            reached = layer(reached)
        return reached

    others = [(option, weight) for option, weight in weighted if len(operation(option)) > 2]
    return out + weighted_sum(others, rest, recompute, operation) if others else out


class AlphaSupernet(Supernet):
    """The super-generator; for the arguments see `alphagan_space` and `mixed`. Norms in operations have no scales."""

    initial = GLOROT

    def __init__(self, shape: AlphaShape, deconvolution: bool = True, recompute: bool = False) -> None:
        super().__init__()
        self.space, self.shape = alphagan_space(deconvolution), shape
        self.ends = Ends(self.shape)
        by_name = {edge.name: edge for edge in edges()}
        self.edges = Choices(
            self.space, lambda name, option: build(by_name[name], option, self.shape, "plain batch"), recompute
        )

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Map noise (N, latent) through one architecture to images (N, outputs, H, W) in [-1, 1]."""
        out: Tensor = self.ends(images, partial(through_cells, partial(self.edges.run, arch)))
        return out

    def extract(self, genotype: Genotype) -> AlphaGenerator:
        """See `Supernet`; the norms of the result have trainable scales, which start at 1."""
        self.space.check(genotype)
        net = AlphaGenerator(genotype=genotype, **asdict(self.shape)).to(next(self.parameters()).device)
        net.ends.load_state_dict(self.ends.state_dict())
        self.edges.copy_into(net.edges, genotype)
        return net.train(self.training)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """See `Supernet`."""
        return self.shape.cost_at(genotype, height, width)


class NoiseSuperDiscriminator(Supernet):
    """The super-discriminator of the ablation (Table 3): every block has all normal operations.

    For arguments and errors see `NoiseDiscriminatorOptions` and `mixed`.
    """

    initial = GLOROT

    def __init__(self, inputs: int = 3, channels: int = 128, recompute: bool = False) -> None:
        super().__init__()
        self.space = discriminator.SPACE
        self.shape = discriminator.NoiseDiscriminatorOptions(None, inputs, channels)
        self.shortcuts, self.score = discriminator.build_fixed(self.shape)
        by_name = {slot.name: slot for slot in discriminator.slots()}

        def build(name: str, option: str) -> Normal:
            return Normal(by_name[name].rows(option, inputs, channels), spectral_norm)

        self.operations = Choices(self.space, build, recompute)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Map images (N, inputs, H, W), at least 4 pixels a side, through one architecture to scores (N, 1)."""
        return discriminator.score_blocks(images, partial(self.operations.run, arch), self.shortcuts, self.score)

    def extract(self, genotype: Genotype) -> discriminator.NoiseDiscriminator:
        """See `Supernet`."""
        self.space.check(genotype)
        options = {**asdict(self.shape), "genotype": genotype}
        net = discriminator.NoiseDiscriminator(**options).to(next(self.parameters()).device)
        net.shortcuts.load_state_dict(self.shortcuts.state_dict())
        net.score.load_state_dict(self.score.state_dict())
        self.operations.copy_into(net.operations, genotype)
        return net.train(self.training)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """See `Supernet`."""
        return replace(self.shape, genotype=genotype).cost(height, width)
