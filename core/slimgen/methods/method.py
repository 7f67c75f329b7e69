"""What every method offers, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from slimgen.recipe import Recipe
from slimgen.search import Objective, Trial
from slimgen.tasks.task import Job


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        trial: the architecture that won, its costs and its quality on the validation images.
        trials: everything that was evaluated, in order.
        limits: the budget as numbers.
        facts: what else is worth keeping: sizes of spaces, seconds a step.
        objective: what the search improved, where that is not the recipe's objective.
    """

    trial: Trial
    trials: list[Trial]
    limits: Mapping[str, float]
    facts: Mapping[str, float] = field(default_factory=dict)
    objective: Objective | None = None


@dataclass(frozen=True)
class Trained:
    """A finished generator.

    Attributes:
        net: in evaluation mode.
        family: how `slimgen.nets.build_generator` builds it again.
        options: likewise.
        updates: generator updates that went into it.
        facts: what else is worth keeping of its training: the quality of every repeat.
    """

    net: nn.Module
    family: str
    options: Mapping[str, Any]
    updates: int
    facts: Mapping[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A method, as a module.

    It may offer `picture_genotype(genotype, path, recipe)`, too, which draws what was found; without, that is a table.
    """

    def check(self, recipe: Recipe) -> None:
        """Raises RecipeError unless the method's own sections are sound; nothing is computed."""

    def supernet(self, job: Job) -> Mapping[str, float]:
        """Trains the weight-sharing network into the stage's folder; what is worth noting of it."""

    def search(self, job: Job) -> Found:
        """Finds the architecture."""

    def finetune(self, job: Job) -> Mapping[str, Trained]:
        """Trains what was found: `found`, and `uniform` where the recipe asks for it."""
