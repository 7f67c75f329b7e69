"""What every method offers, and what it gives back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from slimgen.files import GENOTYPE, REVERSE
from slimgen.methods.effort import Effort
from slimgen.recipe import Recipe
from slimgen.run.record import recorded
from slimgen.search import Genotype, Objective, Space, Trial
from slimgen.tasks.task import Job

__all__ = ["REVERSE", "Found", "Method", "Preview", "Trained", "found_genotype", "updates_of"]


@dataclass(frozen=True)
class Found:
    """The outcome of a search: what won, and everything that was evaluated on the validation images, in order.

    Attributes:
        facts: what else is worth keeping: sizes of spaces, seconds a step.
        objective: what the search improved, where that is not the recipe's objective.
    """

    trial: Trial
    trials: list[Trial]
    facts: Mapping[str, float] = field(default_factory=dict)
    objective: Objective | None = None


@dataclass(frozen=True)
class Trained:
    """A finished generator in evaluation mode, and how `slimgen.nets.build_generator` builds it again.

    Attributes:
        updates: of its own training.
        effort: of all trainings that led to it; None where that is not known.
        facts: what else is worth keeping of its training: the quality of every repeat.
    """

    net: nn.Module
    family: str
    options: Mapping[str, Any]
    updates: int
    effort: Effort | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, net: nn.Module, plan: Mapping[str, Any], updates: int, effort: Effort | None = None) -> "Trained":
        """Return a generator in evaluation mode, given its family and options together."""
        options = {name: value for name, value in plan.items() if name != "family"}
        return cls(net.eval(), plan["family"], options, updates, effort)


@dataclass(frozen=True)
class Preview:
    """What a method would do with a recipe, as far as that is known before there are images or networks.

    Attributes:
        space: what it searches in, for one generator.
        evaluations: candidates that are measured, at most.
        updates: of the supernet stage, given the number of training images.
        learned: pictures that generators learn of in the search, at most, likewise.
        archs: architectures that learn of a batch in each update of the supernet.
        before: updates that lead to what is found before its own training, likewise: rivals take as many more.
        repeats: how often all that is fine-tuned is trained.
        beside: networks that are trained beside the found one, as long, and are no rivals of the recipe's.
    """

    space: Space
    costs: Callable[[Genotype], Mapping[str, float]]
    evaluations: int
    updates: Callable[[int], int] = lambda images: 0
    batch: int = 1
    learned: Callable[[int], int] = lambda images: 0
    archs: int = 1
    before: Callable[[int], int] = lambda images: 0
    repeats: int = 1
    beside: int = 0


class Method(Protocol):
    """A method, as a module.

    It may offer `picture_genotype(genotype, path, recipe)`, too, which draws what was found; without, that is a table;
    and `preview(recipe)`, the `Preview` of a sound recipe.
    `without_effect(recipe)` names settings that are given but change nothing, which a run then says in one line.
    With `ALONE`, its generators are compared with no original. `FINETUNE_SECTIONS` names what of a recipe `finetune`
    reads besides what every method's does (see `stages.table`), and `search_reads(recipe)` what `search` does.
    `SECTIONS` maps `supernet` and `search` to the models of these sections; `slimgen recipes --keys` lists their keys.
    """

    def check(self, recipe: Recipe) -> None:
        """Raise RecipeError unless the method's own sections are sound; nothing is computed."""

    def supernet(self, job: Job) -> Mapping[str, float]:
        """Train the weight-sharing network into the stage's folder; what is worth noting of it."""

    def search(self, job: Job) -> Found:
        """Find the architecture."""

    def finetune(self, job: Job) -> Mapping[str, Trained]:
        """Train what was found: `found`, and the recipe's rivals."""


def found_genotype(job: Job) -> Genotype:
    """Return the genotype that the search found."""
    return Genotype.from_json(json.loads((job.inputs["search"] / GENOTYPE).read_bytes())["genotype"])


def updates_of(folder: Path) -> int:
    """Return the generator updates that a finished stage took."""
    return int(float(str(recorded(folder, "metrics", "updates"))))
