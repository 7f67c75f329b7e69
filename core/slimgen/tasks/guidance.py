"""One training of a generator against a discriminator, as a record; and what guides it besides its data."""

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
"""Begins the names of what belongs to the reverse direction, from targets to inputs."""
Generate = Callable[[Tensor, Arch, Memo], Tensor]
"""Condition (N, C, H, W), architecture and the memo of its step to images (N, C', H, W) in [-1, 1]."""
Discriminate = Callable[[Tensor, Arch], Tensor]
"""The inputs of a discriminator, and the architecture, to patch scores."""
Term = Callable[[Pair, Tensor, Memo], Mapping[str, Tensor]]
"""Batch, generated images and the memo of their step to weighted terms of the generator's loss, by name.

The batch's targets are then what it should become, wherever that comes from.
"""
Truth = Callable[[Pair], Tensor]
"""The images that a batch should become."""
After = Callable[[Phase, Sequence[Arch]], None]
"""Follows an optimizer's step."""
Groups = Sequence[Mapping[str, Any]]
"""Parameter groups of an optimizer."""


class Gan(NamedTuple):
    """A generator, and the discriminator of its images."""

    generator: nn.Module
    discriminator: nn.Module


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


@dataclass(frozen=True)
class GanTraining:
    """One training of a generator, or of a supernet, against a discriminator.

    Attributes:
        name: for its checkpoints and log.
        generator: trained in place; with `draw` it is a supernet, called with images and an architecture.
        steps: updates of the generator.
        until: after how many of them it stops, to go on later; the rates are those of all `steps`.
        generate: how the generator is called, where not as it is.
        discriminate: how the discriminator is called, where not as the task does.
        draw: the architectures of each step, where the generator is a supernet.
        generator_steps: updates of the generator for each of the discriminator's (CF-GAN, Algorithm 4: k); they see one
            batch, and so does the discriminator's.
        hold: steps in a row that see one batch, where it is not `generator_steps`.
        ema: decay of an average of the generator's weights.
        generator_groups: parameter groups of the generator's optimizer; one of all its weights if not given.
        after_generator: follows each of the generator's updates.
        state: what checkpoints hold besides networks and optimizers.
        stopping: ends the training where it no longer improves, and keeps the best weights of both networks.
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
        """Parameter groups of the generator's optimizer, with what is learned beside it."""
        groups = self.generator_groups or [{"params": list(self.generator.parameters())}]
        beside = [weight for module in self.guidance.modules.values() for weight in module.parameters()]
        return [*groups, {"params": beside}] if beside else groups
