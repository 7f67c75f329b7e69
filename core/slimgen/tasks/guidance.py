"""What guides a generator in training besides its data and its judge: a teacher, a feature network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.nets.gates import Arch
from slimgen.training.fit import Memo, Phase

Generate = Callable[[Tensor, Arch, Memo], Tensor]
"""Condition (N, C, H, W), architecture and the notes of its step to images (N, C', H, W) in [-1, 1]."""
Judge = Callable[[Tensor, Arch], Tensor]
"""What the discriminator is shown, and the architecture, to patch scores."""
Term = Callable[[Pair, Tensor, Memo], Mapping[str, Tensor]]
"""Batch, generated images and the notes of their step to weighted terms of the generator's loss, by name.

The batch's targets are then what it should become, wherever that comes from.
"""
Truth = Callable[[Pair], Tensor]
"""The images that a batch should become."""
After = Callable[[Phase, Sequence[Arch]], None]
"""What follows an optimizer's step."""


@dataclass(frozen=True)
class Guidance:
    """What a task's phases add to their own losses.

    Attributes:
        terms: of the generator's loss.
        truth: what a batch should become (GAN Compression, Eq. 1), where not its targets.
        modules: learned with the generator, such as the adaptors of a distillation; by name, for checkpoints.
    """

    terms: Sequence[Term] = ()
    truth: Truth | None = None
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def plus(self, other: "Guidance") -> "Guidance":
        """Both; the truth is the other's where it has one."""
        return Guidance((*self.terms, *other.terms), other.truth or self.truth, {**self.modules, **other.modules})

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is learned with the generator."""
        return [weight for module in self.modules.values() for weight in module.parameters()]


def plain(net: nn.Module) -> Generate:
    """A generator of one architecture as a function that ignores which."""

    def run(images: Tensor, arch: Arch, memo: Memo) -> Tensor:
        out: Tensor = net(images)
        return out

    return run


def at_architecture(net: nn.Module) -> Generate:
    """A supernet as a function."""

    def run(images: Tensor, arch: Arch, memo: Memo) -> Tensor:
        out: Tensor = net(images, arch)
        return out

    return run


def judging(net: nn.Module) -> Judge:
    """A discriminator of one architecture as a function that ignores which."""

    def run(shown: Tensor, arch: Arch) -> Tensor:
        out: Tensor = net(shown)
        return out

    return run
