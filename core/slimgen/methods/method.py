"""The interface of methods, and their results."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from slimgen.files import GENOTYPE, REVERSE
from slimgen.methods.effort import Effort
from slimgen.nets.pieces import InPieces
from slimgen.recipe import Recipe
from slimgen.run.record import recorded
from slimgen.search import Genotype, Objective, Space, Trial
from slimgen.tasks.task import Job

__all__ = ["REVERSE", "Found", "Method", "Preview", "Trained", "found_genotype", "updates_of"]


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        trial: the winner.
        trials: all trials on the validation images, in order.
        facts: further numbers worth keeping, such as sizes of spaces and seconds per step.
        objective: the objective of the search, where it is not the recipe's.
        steps: the steps of the trials that the winner was chosen among; its own step where none are named.
    """

    trial: Trial
    trials: list[Trial]
    facts: Mapping[str, float] = field(default_factory=dict)
    objective: Objective | None = None
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A finished generator in evaluation mode, with the arguments of `slimgen.nets.build_generator` that rebuild it.

    Attributes:
        updates: updates of its own training.
        effort: the effort of all trainings that led to it; None where unknown.
        facts: further numbers of its training worth keeping, such as the quality of every repeat.
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
    """The work of a method for a recipe, as far as it is known before there are images or networks.

    Attributes:
        space: the space that is searched, for one generator.
        costs: maps a genotype to its costs.
        evaluations: the largest number of candidates that are measured.
        updates: maps the number of training images to the updates of the supernet stage.
        batch: images per update of the supernet.
        learned: maps the number of training images to the most pictures that a search trains generators on.
        archs: architectures trained on each batch of the supernet.
        before: maps the number of training images to the updates behind the found generator before its own training;
            rivals get as many on top.
        repeats: how many times the found generators are trained.
        beside: further networks that are trained as long as the found one and are not among the recipe's rivals.
        networks: returns the space's networks in pieces, with drawn weights, to measure their latency; None where that
            is not known so early.
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
    networks: Callable[[], InPieces] | None = None


class Method(Protocol):
    """A method, as a module.

    Optional functions and constants of the module:

    - `picture_genotype(genotype, path, recipe)` draws the found architecture; without it, a table is drawn.
    - `name_genotype(genotype)` names the found architecture in a word or two.
    - `preview(recipe)` returns the `Preview` of a sound recipe.
    - `without_effect(recipe)` returns settings that were given but change nothing; a run reports them in one line.
    - `ALONE`: if true, its generators are not compared with an original.
    - `FINETUNE_SECTIONS` names the parts of a recipe that `finetune` reads, besides those that every method's reads
      (see `stages.table`); `supernet_reads(recipe)`, `search_reads(recipe)` and `finetune_reads(recipe)` do the same
      for each stage, where it depends on the recipe.
    - `SECTIONS` maps `supernet` and `search` to their models, whose keys `slimgen recipes --keys` lists.
    """

    def check(self, recipe: Recipe) -> None:
        """Raise RecipeError unless the method's own sections are sound; compute nothing."""

    def supernet(self, job: Job) -> Mapping[str, float]:
        """Train the supernet into the stage's folder and return metrics of the training."""

    def search(self, job: Job) -> Found:
        """Search the supernet and return the outcome."""

    def finetune(self, job: Job) -> Mapping[str, Trained]:
        """Train the found generator, `found`, and the recipe's rivals, and return them by name."""


def found_genotype(job: Job) -> Genotype:
    """Return the genotype that the search found."""
    return Genotype.from_json(json.loads((job.inputs["search"] / GENOTYPE).read_bytes())["genotype"])


def updates_of(folder: Path) -> int:
    """Return the generator updates that a finished stage took."""
    return int(float(str(recorded(folder, "metrics", "updates"))))
