"""Whether a recipe of GAN Compression makes sense, and what would be done with it."""

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
    teacher_options,
)
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.method import Preview
from slimgen.nets.configurations import write_config
from slimgen.nets.gan_compression.families import alike, searchable
from slimgen.recipe import Recipe, Schedule, section
from slimgen.search import Genotype, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE

_TRAINED = ("calibration", "prune")


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the sections `supernet` and `search` are sound."""
    if traits_of(recipe).given == NOISE:
        raise RecipeError("gan_compression makes images of images", f"the task {recipe.task}", "use alphagan")
    options = section(SupernetOptions, recipe.supernet, "supernet")
    search = section(SearchOptions, recipe.search, "search")
    check_metrics(recipe, search.racing)
    evolving, halving, exhaustive = (search.kind == kind for kind in ("evolution", HALVING, "exhaustive"))
    check_halving(recipe, halving, options)
    needs = {
        "search.candidates": (halving, "kind halving"),
        "search.proposed": (halving, "kind halving"),
        "search.evaluations": (not halving, "a search inside the supernet"),
        "search.tune": (not halving, "a search inside the supernet"),
        "search.population": (not halving, "a search inside the supernet"),
        "supernet.distill": (options.distillation != "none", "a distillation"),
        "supernet.separable": (options.family == SEPARABLE, f"the family {SEPARABLE}"),
        "search.band": (exhaustive and bool(budget_of(recipe).limits), "kind exhaustive, and a limit to lie below"),
        "search.elite": (evolving, "kind evolution"),
        "search.mutation": (evolving, "kind evolution"),
        "search.crossover": (evolving, "kind evolution"),
        "search.racing": (evolving or not search.racing, "kind evolution, whose elite is the rival"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit on latency_ms"),
    }
    check_effects({"supernet": options, "search": search}, needs)
    check_tuning(recipe, search.tune)
    check_elite(search, search.elite, search.population)
    if halving and options.student is not None:
        rule = "search.kind halving trains every candidate alone, and needs no student"
        raise RecipeError(rule, "supernet.student", "leave it out")
    if halving and recipe.finetune.discriminator is not None:
        rule = "what search.kind halving finds is trained against what its candidates were"
        raise RecipeError(rule, "finetune.discriminator", "set supernet.keep_discriminator")
    _check_pipeline(recipe, options)
    check_rivals(recipe, (NARROWED, NARROWED_LATENCY, NAIVE, RANDOM, HALVING), ("teacher", "supernet", "fresh"))
    family = searchable(options.family)
    if recipe.budget.latency_ms is not None and not family.chain:
        hint = "limit macs instead"
        raise RecipeError("a limit on latency_ms needs networks that are chains of pieces", options.family, hint)
    # Milliseconds are measured when the search begins, which then says what is reachable.
    budget = replace(budget_of(recipe), latency_ms=None)
    planned = preview(recipe)
    require_reachable(planned.space, planned.costs, budget)
    if exhaustive and (budget.limits or recipe.budget.latency_ms is None):
        if planned.space.size > COUNTABLE:
            rule = f"an exhaustive search counts at most {COUNTABLE:,} configurations"
            raise RecipeError(rule, f"{planned.space.size:,}", "narrow supernet.space, or search by evolution")
        every = range(planned.space.size)
        search.require_few(band(recipe, options, search, planned.space, budget) if budget.limits else every)


def preview(recipe: Recipe) -> Preview:
    """Return the space of channels, and how long teacher, student and once-for-all network are trained."""
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
    return Preview(space, costs, min(asked, space.size), updates, options.batch, learned, before=updates)


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """What is given of the once-for-all network's training where it is not trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == HALVING
    options = section(SupernetOptions, recipe.supernet, "supernet")
    return idle(options, set(SupernetOptions.model_fields) - {*Schedule.model_fields, *_TRAINED}) if halving else ()


def _check_pruning(recipe: Recipe, options: SupernetOptions, teacher: str) -> None:
    if not pruning(recipe, options):
        return
    kind = searchable(options.family)
    if not prunable(recipe, options):
        rule = "the strongest channels are those of a teacher of the same ResNet family, with the same separable parts"
        raise RecipeError(rule, f"{options.family} under {teacher}", "leave supernet.prune out")
    have = kind.described(teacher, teacher_options(recipe, options))
    need = kind.channels.config(kind.channels.space(options.space).largest())
    if not have.covers(need):
        rule = "a teacher whose strongest channels are taken must be at least as wide as the space"
        hint = "set supernet.prune false, or narrow the space"
        raise RecipeError(rule, f"{write_config(need)} of {have.parts}", hint)


def _check_pipeline(recipe: Recipe, options: SupernetOptions) -> None:
    if not (pairs := traits_of(recipe).pairs) and not options.pseudo_pairs(pairs):
        rule = "two sets have no pairs, so that the teacher's images are what L1 compares with"
        raise RecipeError(rule, f"supernet.truth {options.truth}", "leave it out")
    family = recipe.teach.generator["family"]
    if options.pipeline == "full":
        for name in ("teacher", "student"):
            if getattr(options, name) is None:
                raise RecipeError(f"the full pipeline of gan_compression needs the section supernet.{name}")
        family = searchable(options.family).mobile
    elif options.teacher or options.student:
        raise RecipeError("supernet.teacher and supernet.student belong to the full pipeline", "pipeline fast")
    if options.distillation in OF_FEATURES and options.distill and not alike(family, options.family):
        rule = f"features of {options.family} are distilled from a {searchable(options.family).title} generator"
        raise RecipeError(rule, repr(family), "set supernet.distillation to output or none")
    _check_pruning(recipe, options, family)
    keeps = options.pipeline == "fast" and options.keep_discriminator and recipe.losses.adversarial
    if keeps and imported_alone(recipe):
        hint = "name teach.discriminator_checkpoint, or set supernet.keep_discriminator false"
        raise RecipeError("an imported teacher's discriminator is kept only if it is imported too", "none", hint)
