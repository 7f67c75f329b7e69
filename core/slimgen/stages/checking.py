"""Checks of a recipe before anything is computed: values, files, networks and user-defined code."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import torch

from slimgen.device import Compute, require_device
from slimgen.errors import CheckpointError, RecipeError, SlimgenError, WeightsError, reason
from slimgen.export.opset import require_opset
from slimgen.methods import open_method
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.probe import probe
from slimgen.metrics.registry import METRICS, find
from slimgen.metrics.registry import check as check_metric
from slimgen.nets import DISCRIMINATOR, GENERATOR, discriminator_cost, generator_cost, require_buildable
from slimgen.nets.probe import ANY, Probe, probed
from slimgen.recipe import Recipe
from slimgen.recipe.trainings import LossesSection
from slimgen.size import Size
from slimgen.stages.fingerprint import checkpoints
from slimgen.stages.table import STAGES
from slimgen.tasks import check_recipe, open_task, traits_of
from slimgen.tasks.importing import try_imports
from slimgen.tasks.task import Task
from slimgen.tasks.traits import NOISE
from slimgen.training.losses import feature_network, find_network

_ORDER = list(STAGES)


def check(recipe: Recipe, *, complete: bool = True, stage: str | None = None) -> None:
    """Try everything in a recipe that needs no images; everything `wanted` must exist if `complete`.

    With a `stage`, only the needs of this stage and later ones count.

    Raises:
        RecipeError: an unknown task, method or metric, options that do not fit together, or code that fails.
        WeightsError: the file of a feature network is missing, or the network returns unusable features.
        CheckpointError: a file of weights to import is missing, or holds those of another network.
        BudgetError: a budget that no network of the method's space can meet.
    """
    if complete:
        require_device(recipe.compute.device)
    for one in foreign(recipe):
        probed(one)
    check_recipe(recipe)
    task = open_task(recipe, Compute(torch.device("cpu")))
    require_buildable(GENERATOR, task.original_cost())
    method = open_method(recipe.method)
    if not getattr(method, "ALONE", False):  # adopted generators are not trained
        judge = discriminator_of(recipe, task)
        if (own := _judge(recipe, judge)) is not None:
            probed(own)
        require_buildable(DISCRIMINATOR, discriminator_cost(**recipe.made._asdict(), **judge))
    require_opset(recipe.export.opset)
    _try_tolerance(recipe)
    _try_shapes(recipe)
    for fault in wanted(recipe, stage).values():
        if fault is not None and complete:
            raise fault
    method.check(recipe)
    if complete:
        _try_networks(recipe, stage)


def _try_tolerance(recipe: Recipe) -> None:
    """Raise RecipeError for a change of quality in `export.tolerance` that would be an improvement."""
    for metric, limit in recipe.export.tolerance.items():
        more = find(metric.partition("/")[0]).goal == "max"
        if limit > 0 if more else limit < 0:
            rule = f"export.tolerance: {metric} must be {'at most' if more else 'at least'} 0, a change for the worse"
            raise RecipeError(rule, f"{limit:g}", f"write {metric}: {-limit:g}")


def _try_shapes(recipe: Recipe) -> None:
    """Raise RecipeError for a shape of `export.static` that the original does not take, as a found one would not."""
    family, options = _parted(recipe.teach.generator)
    for shape in recipe.export.static:
        size, rule = Size(*shape[1:]), f"export.static: {list(shape)} must be a shape that generators take"
        if traits_of(recipe).given == NOISE:
            if size != recipe.size:
                raise RecipeError(rule, f"another size than {recipe.size}, of the images from noise", "give that size")
        elif family and ":" not in family:
            try:
                generator_cost(family, *size, **options)
            except SlimgenError as error:
                raise RecipeError(rule, f"{error.rule}; {error.got}", error.hint) from None


def discriminator_of(recipe: Recipe, task: Task) -> dict[str, Any]:
    """Return family and options of the recipe's discriminator, with its input channels."""
    shape = {} if traits_of(recipe).given == NOISE else {"inputs": task.discriminator_inputs}
    return {**recipe.teach.discriminator, **shape}


def foreign(recipe: Recipe) -> Iterator[Probe]:
    """Return the user's code in a recipe: first the modules, then the generator as the task runs it."""
    metrics = [recipe.objective.metric, *recipe.evaluate.metrics, *filter(None, [recipe.teach.metric])]
    families = {metric.partition(":")[0] for metric in METRICS}
    named = [("task", recipe.task), ("method", recipe.method)]
    named += [("network", _parted(about)[0]) for about in (recipe.teach.generator, recipe.teach.discriminator)]
    named += [("metric", metric) for metric in metrics if metric.partition(":")[0] not in families]
    if modules := tuple((noun, path) for noun, path in named if ":" in path or "." in path):
        yield Probe(modules)
    family, options = _parted(recipe.teach.generator)
    if ":" in family:
        noise, seen = traits_of(recipe).given == NOISE, recipe.seen
        inputs, outputs = (_number(options, name, ANY) for name in ("inputs", "outputs")) if seen is None else seen
        given = (_number(options, "latent", 1),) if noise else (inputs, *recipe.size)
        yield Probe((), GENERATOR, family, json.dumps(options), given, (outputs, *recipe.made))


def _judge(recipe: Recipe, options: Mapping[str, Any]) -> Probe | None:
    """Return a user-defined discriminator, with the options that the task gives it."""
    family, rest = _parted(options)
    if ":" not in family:
        return None
    given = (_number(rest, "inputs", ANY), *recipe.made)
    return Probe((), DISCRIMINATOR, family, json.dumps(rest), given)


def _parted(about: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return family and options; no family if there is no text."""
    family = about.get("family")
    options = {name: value for name, value in about.items() if name != "family"}
    return family if isinstance(family, str) else "", options


def _number(options: Mapping[str, Any], name: str, usual: int) -> int:
    given = options.get(name)
    return given if isinstance(given, int) and 0 < given < 1 << 16 else usual


def wanted(recipe: Recipe, stage: str | None = None) -> dict[str, SlimgenError | None]:
    """Return a run's needs besides its images, each with its fault or None: metrics, loss networks, weights to import.

    With a `stage`, only the needs of this stage and later ones count.

    Raises:
        RecipeError: an unknown metric, or options of its network that make no sense.
    """
    looks: dict[str, Callable[[], object]] = {}
    if _needed("teach", stage):
        looks |= {path: partial(try_imports, recipe, path) for path in checkpoints(recipe)}
    looks |= {network: partial(find_network, network) for network in _perceptual(recipe, stage)}
    for metric in _metrics(recipe, stage):
        if getattr(find(metric), "check", None) is not PerImage._field_defaults["check"]:  # pixels need no network
            looks[metric] = partial(check_metric, metric, recipe.evaluate.features)
    found: dict[str, SlimgenError | None] = {}
    for name, look in looks.items():
        try:
            look()
            found[name] = None
        except (WeightsError, CheckpointError) as error:
            found[name] = error
    return found


def _needed(by: str, stage: str | None) -> bool:
    """Return whether a need of one stage remains when a run begins at another."""
    return stage is None or _ORDER.index(stage) <= _ORDER.index(by)


def _metrics(recipe: Recipe, stage: str | None) -> list[str]:
    taught = [recipe.teach.metric] if recipe.teach.metric is not None and _needed("teach", stage) else []
    searched = [recipe.objective.metric] if _needed("finetune", stage) else []
    return list(dict.fromkeys([*taught, *searched, *(recipe.evaluate.metrics if _needed("evaluate", stage) else ())]))


def _perceptual(recipe: Recipe, stage: str | None) -> list[str]:
    """Return the feature networks of losses, without the discriminator."""
    sections: list[LossesSection | None] = [recipe.losses] if _needed("finetune", stage) else []
    sections += [recipe.teach.losses] if _needed("teach", stage) else []
    used = [losses.perceptual_network for losses in sections if losses is not None and losses.perceptual]
    return [network for network in dict.fromkeys(used) if network != "discriminator"]


def _try_networks(recipe: Recipe, stage: str | None) -> None:
    """Run the feature networks of metrics and losses on a few images."""
    size = (3 if recipe.seen is None else recipe.seen.wanted, *recipe.made)
    for network in _perceptual(recipe, stage):
        _try_perceptual(network, size)
    probe(_metrics(recipe, stage), recipe.evaluate.features, size)


@cache
def _try_perceptual(network: str, size: tuple[int, int, int]) -> None:
    net, rule = feature_network(network), f"losses.perceptual_network {network} must turn pictures into features"
    try:
        with torch.inference_mode():
            found = net(torch.rand((1, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1)
    except Exception as error:  # a user's network may raise anything
        raise WeightsError(rule, f"{reason(error)}, from a picture of {' x '.join(map(str, size))}") from error
    maps = [found] if isinstance(found, torch.Tensor) else list(found) if isinstance(found, tuple | list) else []
    if not maps or not all(isinstance(one, torch.Tensor) and one.is_floating_point() for one in maps):
        raise WeightsError(rule, f"a {type(found).__name__}", "let it return one tensor or several, of floats")
    if not all(bool(one.isfinite().all()) for one in maps):
        raise RecipeError(rule, "NaN or infinity")
