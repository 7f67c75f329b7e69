"""Checks of AlphaGAN's sections of a recipe."""

from slimgen.errors import RecipeError
from slimgen.methods.alphagan.options import SearchOptions, SupernetOptions, alone
from slimgen.methods.checks import (
    BY_HAND,
    HALVING,
    LIMITS,
    check_anew,
    check_effects,
    check_limits,
    check_metrics,
    check_rivals,
)
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.alphagan.description import PUBLISHED
from slimgen.nets.noise import bottom
from slimgen.nets.sngan.discriminator import check_size
from slimgen.recipe import Recipe, section
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe suits this method."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    if traits_of(recipe).given != NOISE:
        rule = "alphagan needs a task whose generator makes images from noise"
        raise RecipeError(rule, f"the task {recipe.task}", "set task to unconditional")
    bottom(recipe.size)
    check_size(*recipe.size)
    if recipe.losses.gan not in ("hinge", "vanilla") and training.iterations:
        rule = "the gap between G and D needs a loss that falls as scores rise, so losses.gan must be hinge or vanilla"
        raise RecipeError(rule, repr(recipe.losses.gan))
    check_limits(recipe, LIMITS)
    check_anew(recipe)
    check_rivals(recipe, (BY_HAND,))
    _check_search(recipe, training, options)


def _check_search(recipe: Recipe, training: SupernetOptions, options: SearchOptions) -> None:
    drawing, halving = options.kind == "random", options.kind == HALVING
    needs = {
        "search.candidates": (halving, "search.kind halving"),
        "search.proposed": (halving, "search.kind halving"),
        "search.random": (
            not halving and options.repeats == 1,
            "another search.kind than halving, and search.repeats 1: the best of several compares with the best of as "
            "many random ones, which search.kind random finds",
        ),
        "search.repeats": (options.kind in ("gradient", "random"), "search.kind gradient or random"),
        "search.judged": (options.repeats > 1, "search.repeats above 1"),
        "search.genotype": (options.kind == "published", "search.kind published"),
        "search.params": (drawing, "search.kind random"),
        "search.equal_size": (drawing or options.random > 0, "search.kind random or search.random"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit budget.latency_ms"),
    }
    check_effects({"search": options}, needs)
    if options.kind == "published":
        if options.genotype is None:
            raise RecipeError("search.kind published needs search.genotype", None, f"known: {', '.join(PUBLISHED)}")
        options.imported()
        if training.iterations:
            rule = "a published architecture needs no search"
            raise RecipeError(rule, f"supernet.iterations {training.iterations}", "set supernet.iterations to 0")
        if not training.deconvolution:
            rule = "supernet.deconvolution has no effect on a published architecture"
            raise RecipeError(rule, "false", "leave it out")
    elif halving:
        _check_halving(recipe, training)
    elif training.iterations == 0 and options.kind == "gradient":
        rule = "search.kind gradient needs supernet.iterations above 0"
        raise RecipeError(rule, 0, "set supernet.iterations, or choose search.kind random or published")
    if drawing and training.iterations == 0 and options.params is None:
        rule = "random architectures need a size: search.params, or the winner of a gradient search"
        raise RecipeError(rule, "neither", "set search.params or supernet.iterations")
    if options.discriminator == "found" and options.repeats > 1:
        rule = "search.discriminator found needs search.repeats 1, since all repeats are compared in the same training"
        raise RecipeError(rule, options.repeats, "set search.discriminator to original")
    if options.discriminator == "found" and (training.discriminator == "fixed" or options.kind != "gradient"):
        rule = "search.discriminator found needs supernet.discriminator searched and search.kind gradient"
        raise RecipeError(rule, f"{training.discriminator} and {options.kind}", "leave it out")
    if options.discriminator == "found" and (family := recipe.teach.discriminator.get("family")) != "sngan":
        rule = "search.discriminator found needs teach.discriminator of family sngan, which it replaces"
        raise RecipeError(rule, repr(family), "set search.discriminator to original")
    compares = alone(recipe) or recipe.finetune.repeats > 1
    if recipe.objective.model_fields_set and not compares:
        rule = f"search.kind {options.kind} ranks architectures by their logits and not by a metric"
        raise RecipeError(rule, f"objective.metric {recipe.objective.metric}", "leave the section objective out")
    if compares:
        _check_objective(recipe)


def _check_halving(recipe: Recipe, training: SupernetOptions) -> None:
    if training.iterations:
        rule = "search.kind halving trains every candidate by itself and needs no supernet"
        raise RecipeError(rule, f"supernet.iterations {training.iterations}", "set supernet.iterations to 0")


def _check_objective(recipe: Recipe) -> None:
    """Raise RecipeError unless trained generators can be compared by the objective."""
    check_metrics(recipe)
    if isinstance(find(recipe.objective.metric), PerImage):
        rule = "objective.metric must be a metric of whole sets for images from noise"
        raise RecipeError(rule, repr(recipe.objective.metric), "set it to fid, kid, is, or fd:NAME")
