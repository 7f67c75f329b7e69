"""Repeats of a training from different seeds, of which the best is kept and all are told."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from slimgen.search import Objective
from slimgen.tasks import open_task
from slimgen.tasks.task import Job

T = TypeVar("T")
SEEDS = 10  # difference between the seeds of two repeats: more than one training uses
Measure = Callable[[T], Mapping[str, float]]


def again(job: Job, number: int) -> Job:
    """Return the job of a repeat, counting from 0; another seed gives other weights and another order of images."""
    if not number:
        return job
    recipe = job.recipe.model_copy(update={"seed": job.recipe.seed + SEEDS * number})
    return replace(job, recipe=recipe, task=open_task(recipe, job.compute))


def best_of(
    job: Job,
    name: str,
    repeats: int,
    train: Callable[[Job, str, int], T],
    objective: Objective | None = None,
    measure: Measure[T] | None = None,
) -> tuple[T, dict[str, float]]:
    """Train several times, from different seeds, and return the best result with the quality of each.

    Args:
        job: the job of the first repeat.
        name: the name of the training, to which each of several repeats adds its number.
        repeats: how many; with one, nothing is measured.
        train: trains in a job, under a name; the last argument is the repeat's number.
        objective: what decides among several.
        measure: the quality of a result, the objective's metric among it.

    Returns:
        The best result, and facts such as `repeat0_psnr`.
    """
    best, top, facts = None, dict[str, float](), dict[str, float]()
    for number in range(repeats):
        made = train(again(job, number), f"{name}{number}" if repeats > 1 else name, number)
        quality = dict(measure(made)) if repeats > 1 and measure is not None else {}
        facts |= told(number, quality)
        if best is None or (objective is not None and objective.better(quality, top)):
            best, top = made, quality
        if repeats > 1:
            job.tell(f"trainings of {name}", number + 1, repeats, quality)
    assert best is not None
    return best, facts


def told(number: int, quality: Mapping[str, float]) -> dict[str, float]:
    """Return the quality of a repeat as facts, under its number."""
    return {f"repeat{number}_{key}": value for key, value in quality.items()}
