"""Record of one training of a generator against a discriminator, and of its guidance beyond the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.nets.supernet import Arch
from slimgen.recipe import Schedule
from slimgen.training.draws import Draw
from slimgen.training.early_stopping import EarlyStopping
from slimgen.training.fit import Memo, Phase, Stateful

REVERSE = "reverse_"
"""Prefix of names that belong to the reverse direction, from targets to inputs."""
Generate = Callable[[Tensor, Arch, Memo], Tensor]
"""Function from condition (N, C, H, W), architecture and the step's memo to images (N, C', H, W) in [-1, 1]."""
Discriminate = Callable[[Tensor, Arch], Tensor]
"""Function from a discriminator's inputs and the architecture to patch scores."""
Term = Callable[[Pair, Tensor, Memo], Mapping[str, Tensor]]
"""Function from batch, generated images and the step's memo to weighted terms of the generator's loss, by name.

The batch's targets are the wanted outputs, from the data or from the original.
"""
Truth = Callable[[Pair], Tensor]
"""Function from a batch to its wanted outputs."""
After = Callable[[Phase, Sequence[Arch]], None]
"""Function called after an optimizer's step."""
Groups = Sequence[Mapping[str, Any]]
"""Parameter groups of an optimizer."""


class Gan(NamedTuple):
    """Generator and the discriminator of its images."""

    generator: nn.Module
    discriminator: nn.Module


@dataclass(frozen=True)
class Guidance:
    """Additions to the losses of a task's phases.

    Attributes:
        terms: further terms of the generator's loss.
        truth: function from a batch to its wanted outputs (GAN Compression, Eq. 1); None uses the batch's targets.
        modules: modules trained with the generator, such as the adaptors of a distillation; by name, for checkpoints.
    """

    terms: Sequence[Term] = ()
    truth: Truth | None = None
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def plus(self, other: "Guidance") -> "Guidance":
        """Combine two guidances; the other's truth takes precedence."""
        return Guidance((*self.terms, *other.terms), other.truth or self.truth, {**self.modules, **other.modules})


@dataclass(frozen=True)
class GanTraining:
    """One training of a generator, or of a supernet, against a discriminator.

    Attributes:
        name: name of its checkpoints and log.
        generator: trained in place; with `draw` it is a supernet, called with images and an architecture.
        steps: updates of the generator.
        until: updates after which it pauses, to be resumed later; learning rates follow all `steps`.
        generate: function that calls the generator; None calls it directly.
        discriminate: function that calls the discriminator; None calls it as the task does.
        draw: the architectures of each step, where the generator is a supernet.
        generator_steps: generator updates for each discriminator update (k in CF-GAN, Algorithm 4); all of them see the
            same batch.
        hold: consecutive steps that see the same batch; None: `generator_steps`.
        ema: decay of a moving average of the generator's weights; None: no average.
        generator_groups: parameter groups of the generator's optimizer; None: one group of all its weights.
        after_generator: function called after each generator update.
        after_discriminator: function called after each discriminator update.
        state: state for checkpoints besides networks and optimizers.
        stopping: early stopping, which ends the training and keeps the best weights of both networks.
    """

    name: str
    generator: nn.Module
    discriminator: nn.Module
    schedule: Schedule
    steps: int
    generate: Generate | None = None
    discriminate: Discriminate | None = None
    guidance: Guidance = Guidance()
    draw: Draw | None = None
    generator_steps: int = 1
    hold: int | None = None
    ema: float | None = None
    generator_groups: Groups | None = None
    after_generator: After | None = None
    after_discriminator: After | None = None
    state: Mapping[str, Stateful] = field(default_factory=dict)
    until: int | None = None
    stopping: EarlyStopping | None = None

    @property
    def moved(self) -> Groups:
        """Parameter groups of the generator's optimizer, including the modules of the guidance."""
        groups = self.generator_groups or [{"params": list(self.generator.parameters())}]
        beside = [weight for module in self.guidance.modules.values() for weight in module.parameters()]
        return [*groups, {"params": beside}] if beside else groups
