"""Checks and preview of a GAN Compression recipe."""

from collections.abc import Mapping
from dataclasses import replace

from slimgen.errors import RecipeError
from slimgen.methods.checks import (
    HALVING,
    NAIVE,
    NARROWED,
    NARROWED_LATENCY,
    RANDOM,
    budget_of,
    check_effects,
    check_elite,
    check_halving,
    check_metrics,
    check_rivals,
    check_tuning,
    idle,
    imported_alone,
)
from slimgen.methods.gan_compression.options import (
    COUNTABLE,
    OF_FEATURES,
    SEPARABLE,
    SearchOptions,
    SupernetOptions,
    band,
    costs_at,
    prunable,
    pruning,
    shape_of,
    teacher_options,
)
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.method import Preview
from slimgen.nets.configurations import write_config
from slimgen.nets.gan_compression.families import alike, searchable
from slimgen.nets.pieces import InPieces
from slimgen.recipe import Recipe, Schedule, section
from slimgen.search import Genotype, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE

_TRAINED = ("calibration", "prune")


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the sections `supernet` and `search` are sound."""
    if traits_of(recipe).given == NOISE:
        rule = "gan_compression needs a task that turns images into images"
        raise RecipeError(rule, f"the task {recipe.task}", "use alphagan")
    if traits_of(recipe).enlarges:
        rule = "gan_compression searches networks whose outputs are as large as their inputs"
        raise RecipeError(rule, f"the task {recipe.task}", "choose another method or task")
    options = section(SupernetOptions, recipe.supernet, "supernet")
    search = section(SearchOptions, recipe.search, "search")
    check_metrics(recipe, search.racing)
    evolving, halving, exhaustive = (search.kind == kind for kind in ("evolution", HALVING, "exhaustive"))
    check_halving(recipe, halving, options)
    needs = {
        "search.candidates": (halving, "search.kind halving"),
        "search.proposed": (halving, "search.kind halving"),
        "search.evaluations": (not halving, "another search.kind than halving"),
        "search.tune": (not halving, "another search.kind than halving"),
        "search.population": (not halving, "another search.kind than halving"),
        "supernet.distill": (options.distillation != "none", "another supernet.distillation than none"),
        "supernet.separable": (options.family == SEPARABLE, f"supernet.family {SEPARABLE}"),
        "search.band": (exhaustive and bool(budget_of(recipe).limits), "search.kind exhaustive and a limit in budget"),
        "search.elite": (evolving, "search.kind evolution"),
        "search.mutation": (evolving, "search.kind evolution"),
        "search.crossover": (evolving, "search.kind evolution"),
        "search.racing": (evolving or not search.racing, "search.kind evolution, whose elite is the rival"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit budget.latency_ms"),
    }
    check_effects({"supernet": options, "search": search}, needs)
    check_tuning(recipe, search.tune)
    check_elite(search, search.elite, search.population)
    if halving and options.student is not None:
        rule = "search.kind halving trains every candidate by itself and needs no student"
        raise RecipeError(rule, "supernet.student", "leave it out")
    if halving and recipe.finetune.discriminator is not None:
        rule = "search.kind halving trains the found generator against the same discriminator as its candidates"
        raise RecipeError(rule, "finetune.discriminator", "leave it out and set supernet.keep_discriminator")
    _check_pipeline(recipe, options)
    check_rivals(recipe, (NARROWED, NARROWED_LATENCY, NAIVE, RANDOM, HALVING), ("teacher", "supernet", "fresh"))
    family = searchable(options.family)
    if recipe.budget.latency_ms is not None and not family.chain:
        rule = "budget.latency_ms needs a family whose latency is the sum of its pieces' latencies"
        raise RecipeError(rule, options.family, "limit macs instead")
    # Latency is measured when the search begins; only then is it known which limits are reachable.
    budget = replace(budget_of(recipe), latency_ms=None)
    planned = preview(recipe)
    require_reachable(planned.space, planned.costs, budget)
    if exhaustive and (budget.limits or recipe.budget.latency_ms is None):
        if planned.space.size > COUNTABLE:
            rule = f"search.kind exhaustive can count at most {COUNTABLE:,} configurations"
            raise RecipeError(rule, f"{planned.space.size:,}", "narrow supernet.space, or set search.kind to evolution")
        every = range(planned.space.size)
        search.require_few(band(recipe, options, search, planned.space, budget) if budget.limits else every)


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the space of channels, and the updates of teacher, student and supernet."""
    options = section(SupernetOptions, recipe.supernet, "supernet")
    search = section(SearchOptions, recipe.search, "search")
    family, trainings = searchable(options.family), [options, options.teacher, options.student]

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return costs_at(recipe, options, family.channels.config(genotype))

    def updates(images: int) -> int:
        return sum(training.steps(images) for training in trainings if training is not None)

    def learned(images: int) -> int:
        tuning, counts = recipe.finetune, (search.candidates, search.proposed)
        if search.kind == HALVING:
            return pictures(counts, tuning.steps(images), tuning.batch)
        return min(search.evaluations, space.size) * search.tune * tuning.batch

    space = family.channels.space(options.space)
    asked = search.evaluations if search.kind != HALVING else measurements(search.candidates, search.proposed)

    def networks() -> InPieces:
        return family(options.family, options.space, **shape_of(recipe, options)).eval()

    looked = min(asked, space.size)
    return Preview(space, costs, looked, updates, options.batch, learned, before=updates, networks=networks)


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the once-for-all network's training where it is not trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == HALVING
    options = section(SupernetOptions, recipe.supernet, "supernet")
    return idle(options, set(SupernetOptions.model_fields) - {*Schedule.model_fields, *_TRAINED}) if halving else ()


def _check_pruning(recipe: Recipe, options: SupernetOptions, teacher: str) -> None:
    if not pruning(recipe, options):
        return
    kind = searchable(options.family)
    if not prunable(recipe, options):
        rule = "supernet.prune needs a teacher of the same ResNet family, with the same separable parts"
        raise RecipeError(rule, f"{options.family} under {teacher}", "leave supernet.prune out")
    have = kind.described(teacher, teacher_options(recipe, options))
    need = kind.channels.config(kind.channels.space(options.space).largest())
    if not have.covers(need):
        rule = "supernet.prune needs a teacher at least as wide as the space"
        hint = "set supernet.prune to false, or narrow supernet.space"
        raise RecipeError(rule, f"{write_config(need)} of {have.parts}", hint)


def _check_pipeline(recipe: Recipe, options: SupernetOptions) -> None:
    if not (pairs := traits_of(recipe).pairs) and not options.pseudo_pairs(pairs):
        rule = "supernet.truth must be teacher where the data have no pairs"
        raise RecipeError(rule, options.truth, "leave it out")
    family = recipe.teach.generator["family"]
    if options.pipeline == "full":
        for name in ("teacher", "student"):
            if getattr(options, name) is None:
                raise RecipeError(f"supernet.pipeline full needs the section supernet.{name}")
        family = searchable(options.family).mobile
    elif options.teacher or options.student:
        rule = "supernet.teacher and supernet.student need supernet.pipeline full"
        raise RecipeError(rule, "pipeline fast", "leave them out")
    if options.distillation in OF_FEATURES and options.distill and not alike(family, options.family):
        rule = f"distilling features of {options.family} needs a {searchable(options.family).title} teacher"
        raise RecipeError(rule, repr(family), "set supernet.distillation to output or none")
    _check_pruning(recipe, options, family)
    keeps = options.pipeline == "fast" and options.keep_discriminator and recipe.losses.adversarial
    if keeps and imported_alone(recipe):
        rule = "supernet.keep_discriminator needs the discriminator of an imported teacher"
        hint = "set teach.discriminator_checkpoint, or set supernet.keep_discriminator to false"
        raise RecipeError(rule, "none", hint)
