"""A method for tests of pages: the found generator is the original's family at half its width, and not trained."""

from collections.abc import Mapping
from typing import Any

from slimgen.methods.method import REVERSE, Found, Trained
from slimgen.nets import build_generator
from slimgen.search import Genotype, Trial

WIDTHS = ("ngf", "channels")


def check(recipe) -> None:
    """Any recipe will do."""


def supernet(job) -> Mapping[str, float]:
    """There is none."""
    return {"updates": 0.0}


def search(job) -> Found:
    """Nothing is searched."""
    costs = job.task.original_cost().as_dict(job.recipe.budget.convention)
    return Found(Trial(Genotype({}), {name: float(cost) for name, cost in costs.items()}), [])


def finetune(job) -> Mapping[str, Trained]:
    """A narrow generator for each direction."""
    plan = narrow(job.recipe.teach.generator)
    suffixes = ("", REVERSE)[: job.task.traits.directions]
    return {f"found{suffix}": Trained.of(build_generator(**plan), plan, 0) for suffix in suffixes}


def narrow(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The same family and options, with half the width."""
    return {name: value // 2 if name in WIDTHS else value for name, value in plan.items()}
