"""Plan of a run: stages, expense, needs, space."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from slimgen.device import Compute
from slimgen.errors import DataError, RunError
from slimgen.methods import open_method
from slimgen.methods.checks import HALVING, RANDOM, RANDOM_PATH, budget_of
from slimgen.methods.effort import PASSES
from slimgen.methods.method import Preview
from slimgen.nets import discriminator_cost
from slimgen.recipe import Recipe
from slimgen.run.folder import StageFolder
from slimgen.run.place import parked, require_apart, require_place
from slimgen.run.record import read_record
from slimgen.search import Budget
from slimgen.stages.checking import check, discriminator_of, wanted
from slimgen.stages.fingerprint import digest_input, fingerprint
from slimgen.stages.table import DATA, Stage, default_out, up_to
from slimgen.tasks import open_task, suited, traits_of
from slimgen.tasks.embedded import find_images
from slimgen.tasks.traits import NOISE

FEW, SAMPLES = 20_000, 500
"""Size of the largest space that is counted one by one; number of genotypes drawn from a larger one to estimate it."""
NOTES = (
    "MACs of a training: 3 x (generator + 3 x discriminator) for each image of each update, because a backward pass "
    "costs twice a forward pass. Those of supernet, search and finetune are upper limits: as if the largest "
    "architecture, or the largest within the budget, were trained throughout; search includes all that it trains, and "
    "finetune all rivals. Those of teach with patience are too: as if it never stopped early.",
    "bytes: weights as float32 and images as uint8, without checkpoints, logs and pictures.",
    "Images are not looked at here; `slimgen data check DIR --recipe RECIPE` looks at each.",
)


@dataclass(frozen=True)
class Expense:
    """Estimates for a stage; None means not yet known, or negligible."""

    updates: int | None = None  # updates of its generators
    macs: float | None = None
    bytes: float | None = None  # on disk


@dataclass(frozen=True)
class Outlook:
    """Plan of a run.

    Attributes:
        recipe: the resolved recipe, as plain values.
        stages: state of each stage by name: finished, resumes or to run, and the results that it would replace.
        wanted: required metrics, networks and files, each with its fault or None.
        budget: the limits as numbers.
        space: number of genotypes, number within the budget, and how these were counted.
        evaluations: largest number of candidates that the search measures.
    """

    recipe: Mapping[str, object]
    stages: Mapping[str, str]
    expenses: Mapping[str, Expense]
    wanted: Mapping[str, str | None]
    budget: Mapping[str, float]
    space: Mapping[str, object]
    evaluations: int | None
    notes: tuple[str, ...] = NOTES


def require_places(recipe: Recipe, data: Path, out: Path, planned: Sequence[Stage]) -> None:
    """Raise RunError if a run must not write its folder, or one of its stages'; see `require_place`."""
    for stage, inputs in _places(recipe, data, out, planned).items():
        require_place(out / stage, stage, inputs)


def is_among(recipe: Recipe, data: Path, out: Path) -> bool:
    """Return whether a run's folder may lie among the images; only the default one may.

    Files that slimgen wrote there are not taken for images.
    """
    return out == default_out(recipe.name) and out.resolve().is_relative_to(data.resolve())


def _places(recipe: Recipe, data: Path | None, out: Path, planned: Sequence[Stage]) -> dict[str, dict[str, Path]]:
    """Return the folders that each stage's must be apart from; raise RunError if the run's lies among images."""
    among = data is not None and is_among(recipe, data, out)
    if data is not None and not among and out.resolve() not in data.resolve().parents:
        require_apart(out, DATA, data)
    images = {} if data is None or among else {DATA: data}
    return {stage.name: {**{name: out / name for name in stage.reads if name != DATA}, **images} for stage in planned}


def without_effect(recipe: Recipe) -> str:
    """Return one line on options without effect; empty if all have one."""
    idle: Callable[[Recipe], tuple[str, ...]] = getattr(open_method(recipe.method), "without_effect", lambda recipe: ())
    names = idle(recipe)
    return f"without effect, because no supernet is trained: {', '.join(names)}" if names else ""


def preview(recipe: Recipe, *, data: Path | None = None, out: Path, until: str | None = None) -> Outlook:
    """Return the plan of `run` with the same arguments. Nothing is written, and no image is decoded.

    Raises:
        SlimgenError: as `check` of the recipe; missing files do not raise, they are in the result's `wanted`.
    """
    check(recipe, complete=False)
    needs = {name: None if fault is None else str(fault) for name, fault in wanted(recipe).items()}
    try:
        images: Path | None = find_images(recipe, data, out)
    except DataError as fault:
        images, needs["images"] = None, str(fault)
    if images is not None and not images.is_dir():
        if data is not None:
            needs["images"] = f"no folder {data}"
        images = None  # otherwise the run draws them first
    method = getattr(open_method(recipe.method), "preview", lambda recipe: None)(recipe)
    states: dict[str, str] = {}
    places = _places(recipe, images, out, up_to(until))
    for stage in up_to(until):
        folders = {name: images if name == DATA else out / name for name in stage.reads}
        try:
            require_place(out / stage.name, stage.name, places[stage.name])
        except RunError as error:
            states[stage.name] = f"refused: {error}"
        else:
            states[stage.name] = _state(stage, recipe, folders, out / stage.name, states)
    counts: dict[str, int] = {}
    if states["prepare"] == "done":
        metrics = read_record(out / "prepare")["metrics"]
        counts = {name: int(float(str(metrics.get(f"{name}_images", 0)))) for name in ("train", "val", "test")}
    expenses, budget = expenses_of(recipe, method, counts), budget_of(recipe)
    return Outlook(
        recipe=recipe.model_dump(mode="json"),
        stages=states,
        expenses={name: expenses.get(name, Expense()) for name in states},
        wanted=needs,
        budget=budget.limits,
        space=_space(method, budget) if method else {},
        evaluations=method.evaluations if method else None,
        notes=(*filter(None, [without_effect(recipe)]), *NOTES),
    )


def _state(
    stage: Stage, recipe: Recipe, folders: Mapping[str, Path | None], out: Path, before: Mapping[str, str]
) -> str:
    """Return whether a stage is finished, resumes or is to run, given the states of the stages before it."""
    record = read_record(out)
    there = f"{'a finished' if record.get('finished') else 'an unfinished'} {record.get('stage')}"
    waits = [name for name, folder in folders.items() if folder is None or before.get(name, "done") != "done"]
    if waits:
        unless = f", in place of {there} unless that has the same inputs" if record else ""
        return f"to do after {waits[0]}{unless}"
    known = {name: folder for name, folder in folders.items() if folder is not None}
    recipe = suited(recipe, known)
    mark = fingerprint(stage, recipe, {name: digest_input(name, folder) for name, folder in known.items()}, known)
    folder = StageFolder(out, stage.name, mark)
    if folder.finished() is not None:
        return "done"
    if folder.finished(parked=True) is not None:
        return "done earlier with these settings, and restored"
    if record.get("fingerprint") == mark:
        return "to do again: outputs are missing" if record.get("finished") else "resumed"
    if read_record(parked(out, mark)):
        return "resumed from an earlier start with these settings"
    return f"to do, in place of {there} of other settings, which is kept" if record else "to do"


def expenses_of(recipe: Recipe, method: Preview | None, counts: Mapping[str, int]) -> dict[str, Expense]:
    """Return the expense of each stage, given the number of images in each split, if known."""
    convention, traits = recipe.budget.convention, traits_of(recipe)
    task = open_task(recipe, Compute(torch.device("cpu")))
    original = task.original_cost()
    beside = discriminator_cost(**recipe.made._asdict(), **discriminator_of(recipe, task))
    teach, finetune = recipe.teach, recipe.finetune

    def known(count: Callable[[int], int]) -> int | None:
        number = count(counts.get("train", 1))
        # A number that depends on the number of images may not be known yet.
        return number if "train" in counts or number == count(1_000_000) else None

    def learning(pictures: int | None, generator: Mapping[str, float]) -> float | None:
        each = PASSES * traits.directions * (generator["macs"] + 3 * beside.macs(convention))
        return None if pictures is None else pictures * each

    def training(count: Callable[[int], int], batch: int, generator: Mapping[str, float]) -> Expense:
        updates, weights = known(count), traits.directions * (generator["bytes"] + beside.bytes)
        return Expense(updates, learning(None if updates is None else updates * batch, generator), weights)

    taught = (lambda images: 0) if teach.generator_checkpoint else teach.steps
    images = sum(counts.values()) * (1 if traits.given == NOISE else 2)
    found = {
        # Whole pictures of their own sizes are not known yet.
        "prepare": Expense(bytes=None if traits.enlarges else images * 3 * math.prod(recipe.size) or None),
        "teach": training(taught, teach.batch, original.as_dict(convention)),
    }
    if method is None:
        return found
    largest = method.costs(method.space.largest())
    limits = budget_of(recipe).limits
    within = {name: min(float(cost), limits.get(name, math.inf)) for name, cost in largest.items()}
    looked = method.evaluations * (recipe.objective.images or recipe.data.validation) * largest["macs"]
    searched = learning(known(method.learned), within)
    supernet = training(method.updates, method.batch * method.archs, largest)
    tuned = training(finetune.steps, finetune.batch, within)
    every = learning(known(lambda images: finetune.batch * trained_anew(recipe, method, images)), within)
    if every is not None and HALVING in finetune.rivals:  # it may spend as many MACs as the found one
        took = [supernet.macs, searched, tuned.macs]
        every = None if None in took else every + sum(filter(None, took))
    return {
        **found,
        "supernet": supernet,
        "search": Expense(macs=None if searched is None else looked + searched),
        "finetune": replace(tuned, macs=every),
        "export": Expense(bytes=within["bytes"]),
    }


def trained_anew(recipe: Recipe, method: Preview, images: int) -> int:
    """Return the updates of all fine-tuning; each rival gets as many as led to the found generator."""
    tuning, own = recipe.finetune, recipe.finetune.steps(images)
    counts = {name: tuning.random if name in (RANDOM, RANDOM_PATH) else 1 for name in tuning.rivals}
    rivals = sum(counts.values()) * (method.before(images) + own)
    return method.repeats * (own * (1 + method.beside) + rivals)


def _space(method: Preview, budget: Budget) -> dict[str, object]:
    """Return the size of a space and of its part within the budget; very long numbers as texts."""
    space, size = method.space, method.space.size
    budget = replace(budget, latency_ms=None)  # latency is measured when the search begins
    if not budget.limits:
        within, how = size, "no limit on a counted cost"
    elif size <= FEW:
        within, how = sum(budget.allows(method.costs(one)) for one in space.enumerate()), "counted"
    else:
        rng = random.Random("preview")
        allowed = sum(budget.allows(method.costs(space.sample(rng))) for _ in range(SAMPLES))
        # If none of the drawn ones is within, at most three in as many are, with 95 % confidence.
        within = size * max(allowed, 3) // SAMPLES
        how = f"{'about' if allowed else 'at most about that'}: {allowed} of {SAMPLES} drawn at random are"
    numbers = {"genotypes": size, "within": within}
    written = {name: n if n < 10**15 else f"10^{math.log10(n):.1f}" for name, n in numbers.items()}
    return {**written, "how": how}
