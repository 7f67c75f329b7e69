"""Checks and preview of a CF-GAN recipe."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product

from slimgen.errors import RecipeError
from slimgen.methods.cf_gan.options import (
    SearchOptions,
    SupernetOptions,
    by_hand,
    options_of,
    paths_of,
    space_of,
    training_of,
)
from slimgen.methods.checks import (
    HALVING,
    LIMITS,
    NAIVE,
    NARROWED,
    NARROWED_LATENCY,
    RANDOM,
    RANDOM_PATH,
    budget_of,
    check_effects,
    check_elite,
    check_halving,
    check_limits,
    check_metrics,
    check_rivals,
    check_tuning,
    idle,
    imported_alone,
    priced,
)
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.method import Preview
from slimgen.methods.tuning import SCHEDULE, WHOLE
from slimgen.nets.cf_gan.space import trellis_cost
from slimgen.recipe import Recipe, section
from slimgen.search import Allows, Genotype, Space, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import IMAGES, NOISE

_CONFIGURATIONS = 1_000
_SHAPE = ("ngf", "groups", "blocks", "ratios", "multiple", "recursions", "ndf", "path", "operators", "matching")
_OF_SUPERNET = [
    f"search.{name}"
    for name in (
        *("training", "judge_width", "tune", "finalists", "variation"),
        *("population", "elite", "mutation", "evaluations", "operator_share", "racing"),
    )
]


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the sections `supernet` and `search` are sound."""
    if (given := traits_of(recipe).given) != IMAGES:
        hint = "use alphagan" if given == NOISE else "use gan_compression, or give the labels as colour images"
        raise RecipeError("cf_gan needs a task that turns images into images", f"the task {recipe.task}", hint)
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    if any(side % training.shape.step for side in recipe.size):
        raise RecipeError(f"cf_gan needs a size whose sides are multiples of {training.shape.step}", recipe.size)
    check_limits(recipe, LIMITS)
    _check_halving(recipe, options, training)
    check_metrics(recipe, options.racing)
    planned = preview(recipe)
    # Latency is measured when the search begins; only then is it known which limits are reachable.
    require_reachable(planned.space, planned.costs, replace(budget_of(recipe), latency_ms=None))
    inherited = ("supernet",) if recipe.finetune.inherit else ()
    if options.kind == "supernet" and options.order == "coarse-to-fine":
        _check_channels(recipe, options, planned)
    check_rivals(recipe, (NARROWED, NARROWED_LATENCY, NAIVE, RANDOM, RANDOM_PATH, HALVING), (*inherited, "fresh"))
    losses = recipe.losses
    if imported_alone(recipe) and losses.perceptual and losses.perceptual_network == "discriminator":
        rule = "a perceptual loss in the discriminator's features needs teach.discriminator_checkpoint"
        raise RecipeError(rule, "none", "set it, or name another losses.perceptual_network")


def _check_channels(recipe: Recipe, options: SearchOptions, planned: Preview) -> None:
    """Raise RecipeError where some path and operator would leave the channel step too few configurations."""
    space, budget = planned.space, replace(budget_of(recipe), latency_ms=None)
    wanted = min(_CONFIGURATIONS, options.evaluations - options.operator_evaluations)
    widest = {name: dimension.largest for name, dimension in space.items()}
    # The operator step can choose fewer recursions, but it cannot make an operator cheaper than with one.
    widest |= {name: dimension.smallest for name, dimension in space.items() if name.startswith("recursion.")}
    blocks = [name for name in space if name.startswith("operator.")]
    for path, operator in product(options_of(space, "path"), options_of(space, blocks[0])):
        operators = {name: operator for name in blocks if operator in options_of(space, name)}
        channels = space.pin({**widest, "path": path, **operators}, free="channel.")
        found = few(channels, lambda genotype: budget.allows(planned.costs(genotype)), wanted)
        if 0 < found < min(wanted, channels.size):
            rule = f"every path and operator must leave the channel step {wanted:,} configurations within the budget"
            hint = "lower supernet.ratios, or raise the budget"
            raise RecipeError(rule, f"{found:,} for path {path} with {operator}", hint)


def few(space: Space, allows: Allows, enough: int) -> int:
    """Return the number of allowed genotypes, counted up to `enough`.

    With an allowed genotype, all smaller ones are allowed too, so each is reached from the smallest, step by step.
    """
    waiting = [space.smallest()] if allows(space.smallest()) else []
    seen, found = set(waiting), len(waiting)
    while waiting and found < enough:
        for other in space.neighbours(waiting.pop()):
            if other not in seen and found < enough:
                seen.add(other)
                if allows(other):
                    waiting.append(other)
                    found += 1
    return found


def _check_halving(recipe: Recipe, options: SearchOptions, training: SupernetOptions) -> None:
    supernet = options.kind == "supernet"
    needs = dict.fromkeys(_OF_SUPERNET, (supernet, "search.kind supernet"))
    for name in ("training", "judge_width", "tune", "finalists") if supernet and options.order == "joint" else ():
        needs[f"search.{name}"] = (False, "search.order coarse-to-fine")
    needs["search.latency_networks"] = (recipe.budget.latency_ms is not None, "a limit budget.latency_ms")
    needs["search.candidates"] = needs["search.proposed"] = (not supernet, "search.kind halving")
    needs["supernet.recursions"] = (bool(training.shape.times), "super-resolution, a task with data.scale")
    needs["supernet.widths"] = (supernet, "search.kind supernet")
    needs["search.path"] = (training.path is None, "a supernet of all paths")
    needs["search.operators"] = (training.operators is None, "a supernet of all operators")
    check_effects({"supernet": training, "search": options}, needs)
    check_halving(recipe, not supernet, training)
    check_tuning(recipe, options.tune)
    check_elite(options, options.elite, options.population)
    if options.finalists == 1:
        raise RecipeError("search.finalists must be 0 or at least 2", 1, "raise it or leave it out")
    if options.finalists and recipe.finetune.updates == 0:
        rule = "search.finalists trains candidates as the section finetune says, so that must train"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the space of trellises, and the numbers of updates and evaluations."""
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    shape = training.shape
    whole, size = shape.space, recipe.size
    trained, space = by_hand("supernet", training, whole), space_of(recipe, whole)
    paths, blocks = len(options_of(space, "path")), [name for name in space if name.startswith("operator.")]
    archs = max(len(options_of(trained, name)) for name in blocks)

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(trellis_cost(shape, genotype, *size), recipe)

    parts = len(paths_of(options, space))
    updates = partial(training.cycles, len(options_of(trained, "path")))
    evaluations = paths + options.evaluations + (options.order == "coarse-to-fine" and options.judge_width == "budget")
    if options.kind == HALVING:
        evaluations = measurements(options.candidates, options.proposed, parts)

    def path_updates(images: int) -> int:
        return 0 if options.training is None else options.training.steps(images)

    def learned(images: int) -> int:
        tuning, counts = recipe.finetune, (options.candidates, options.proposed)
        if options.kind == HALVING:
            return pictures(counts, tuning.steps(images), tuning.batch, parts)
        path = 0 if options.training is None else path_updates(images) * options.training.batch * archs
        tuned = (options.evaluations + 1) * options.tune * tuning.batch
        last = pictures((options.finalists, 0), tuning.steps(images), tuning.batch) if options.finalists else 0
        return path + tuned + last

    def before(images: int) -> int:
        return updates(images) + path_updates(images)

    return Preview(space, costs, evaluations, updates, training.batch, learned, archs, before)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    options = section(SearchOptions, recipe.search, "search")
    if options.kind == "halving":
        return WHOLE
    if options.finalists:
        return (*WHOLE, "finetune.inherit", "finetune.discriminator")
    return SCHEDULE if options.tune else ()


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the supernet's training where it is not trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == HALVING
    return idle(training_of(recipe), _SHAPE) if halving else ()
