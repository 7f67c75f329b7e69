"""GAN Compression's own sections of a recipe, and whether they make sense."""

from collections.abc import Callable, Mapping, Sized
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from slimgen.errors import RecipeError
from slimgen.methods.checks import (
    HALVING,
    NARROWED,
    RANDOM,
    budget_of,
    check_effects,
    check_halving,
    check_metrics,
    check_rivals,
    imported_alone,
)
from slimgen.methods.method import Preview
from slimgen.methods.tuning import WHOLE
from slimgen.nets.configurations import write_config
from slimgen.nets.gan_compression.families import Name, alike, searchable
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import Budget, Genotype, Space, require_reachable
from slimgen.search.grid import Grid
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


class TeacherOptions(Schedule):
    """The mobile teacher of the full pipeline, trained from scratch."""

    ngf: int = Field(default=64, ge=1)


class SupernetOptions(Schedule):
    """Section `supernet`: the once-for-all training, and what comes before it in the full pipeline.

    Attributes:
        pipeline: `full` trains a mobile `teacher`, distils a `student`, and trains the once-for-all network out of it;
            `fast` trains the once-for-all network under the original itself.
        family: of residual blocks that are separable or dense (Table 4), or of SPADE's blocks, whose modulations are.
        space: a name of the family's spaces (see `slimgen spaces`), or the options of c0 .. c7.
        teacher: of the full pipeline.
        student: training of the largest configuration, of the full pipeline.
        prune: begin with the strongest channels of the teacher ("Pr." of Table 3); left out, wherever teacher and
            student are of one ResNet family.
        distillation: of inner features (Eq. 3), of the output (Aguinaldo et al., Figure 8), or none.
        distill: its weight, lambda_distill of Eq. 4.
        keep_discriminator: begin with the teacher's discriminator ("Keep D" of Table 3).
        truth: what L1 compares with (Eq. 1): the data's target where there are pairs, else the teacher's image. The
            teacher's image can be asked for where there are pairs, too.
        calibration: images over which the BatchNorms of a sub-network, if it has any, are measured anew.
    """

    updates: int | None = Field(default=None, ge=0)
    pipeline: Literal["full", "fast"] = "fast"
    family: Name = "mobile_resnet"
    space: str | tuple[tuple[int, ...], ...] = "channels-48"
    teacher: TeacherOptions | None = None
    student: Schedule | None = None
    prune: bool | None = None
    distillation: Literal["intermediate", "output", "none"] = "intermediate"
    distill: float = Field(default=1.0, ge=0)
    keep_discriminator: bool = True
    truth: Literal["data", "teacher"] | None = None
    calibration: int = Field(default=128, ge=1)

    def pseudo_pairs(self, pairs: bool) -> bool:
        """Whether inputs and the teacher's images are the pairs to learn from, given whether others are known."""
        return self.truth == "teacher" or (self.truth is None and not pairs)


class SearchOptions(Section):
    """Section `search`.

    Attributes:
        kind: `exhaustive` measures every configuration of the band; `evolution` and `random` as many as `evaluations`;
            `halving` trains random ones alone, as many as `candidates`, and lets the better half go on again and again:
            `supernet.updates` is then 0.
        proposed: so many more, which a predictor proposes after the first have been measured, compete with them.
        band: the exhaustive search leaves out what costs less than this part of the budget's MACs.
        evaluations: how many configurations are measured; by an exhaustive search, at most.
        elite: how many of the best are parents.
        mutation: probability that a channel number is drawn anew.
        crossover: the part of a round that is crossed.
        racing: leave a candidate once it is hopelessly behind the elite's worst.
        latency_networks: whole networks that a latency table is fitted to; half as many check it.
    """

    kind: Literal["exhaustive", "evolution", "random", "halving"] = "evolution"
    candidates: int = Field(default=16, ge=2)
    proposed: int = Field(default=0, ge=0)
    band: float = Field(default=0.0, ge=0, lt=1)
    evaluations: int = Field(default=50_000, ge=1)
    population: int = Field(default=100, ge=2)
    elite: int = Field(default=25, ge=1)
    mutation: float = Field(default=0.2, gt=0, le=1)
    crossover: float = Field(default=0.5, ge=0, le=1)
    racing: bool = False
    latency_networks: int = Field(default=16, ge=4)

    def require_few(self, places: Sized) -> None:
        """Raises RecipeError where an exhaustive search would measure more than it may."""
        if len(places) > self.evaluations:
            rule = f"an exhaustive search within {self.evaluations:,} evaluations"
            hint = "raise search.band or search.evaluations, or search by evolution"
            raise RecipeError(rule, f"{len(places):,} configurations inside the budget and the band", hint)


def check(recipe: Recipe) -> None:
    """Raises RecipeError unless the sections `supernet` and `search` are sound."""
    if traits_of(recipe).given == NOISE:
        raise RecipeError("gan_compression makes images of images", f"the task {recipe.task}", "use alphagan")
    options = section(SupernetOptions, recipe.supernet, "supernet")
    search = section(SearchOptions, recipe.search, "search")
    check_metrics(recipe, search.racing)
    evolving, halving = search.kind == "evolution", search.kind == "halving"
    check_halving(recipe, halving, options)
    needs = {
        "search.candidates": (halving, "kind halving"),
        "search.proposed": (halving, "kind halving"),
        "search.evaluations": (not halving, "a search inside the supernet"),
        "search.population": (not halving, "a search inside the supernet"),
        "supernet.distill": (options.distillation != "none", "a distillation"),
        "search.band": (search.kind == "exhaustive", "kind exhaustive"),
        "search.elite": (evolving, "kind evolution"),
        "search.mutation": (evolving, "kind evolution"),
        "search.crossover": (evolving, "kind evolution"),
        "search.racing": (evolving or not search.racing, "kind evolution, whose elite is the rival"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit on latency_ms"),
    }
    check_effects({"supernet": options, "search": search}, needs)
    _check_pipeline(recipe, options)
    check_rivals(recipe, (NARROWED, RANDOM, HALVING), ("teacher", "supernet", "fresh"))
    family = searchable(options.family)
    if recipe.budget.latency_ms is not None and not family.chain:
        hint = "limit macs instead"
        raise RecipeError("a limit on latency_ms needs networks that are chains of pieces", options.family, hint)
    # Milliseconds are measured when the search begins, which then says what is reachable.
    budget = replace(budget_of(recipe), latency_ms=None)
    planned = preview(recipe)
    require_reachable(planned.space, planned.costs, budget)
    if search.kind == "exhaustive" and budget.limits:
        search.require_few(band(recipe, options, search, planned.space, budget))


def preview(recipe: Recipe) -> Preview:
    """The space of channels, and how long teacher, student and once-for-all network are trained."""
    options = section(SupernetOptions, recipe.supernet, "supernet")
    search = section(SearchOptions, recipe.search, "search")
    family, trainings = searchable(options.family), [options, options.teacher, options.student]

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return costs_at(recipe, options, family.channels.config(genotype))

    def updates(images: int) -> int:
        return sum(training.steps(images) for training in trainings if training is not None)

    space = family.channels.space(options.space)
    asked = search.candidates + search.proposed if search.kind == "halving" else search.evaluations
    return Preview(space, costs, min(asked, space.size), updates, options.batch)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how networks are trained that are halved."""
    return WHOLE if section(SearchOptions, recipe.search, "search").kind == "halving" else ()


def pruning(recipe: Recipe, options: SupernetOptions) -> bool:
    """Whether the once-for-all network begins with channels of its teacher."""
    alike = teacher_options(recipe, options)["family"] == options.family and searchable(options.family).pruned
    return alike if options.prune is None else options.prune


def _check_pruning(recipe: Recipe, options: SupernetOptions, teacher: str) -> None:
    if not pruning(recipe, options):
        return
    kind = searchable(options.family)
    if not kind.pruned or teacher != options.family:
        rule = "the strongest channels are those of a teacher of the same ResNet family"
        raise RecipeError(rule, f"{options.family} under {teacher}", "leave supernet.prune out")
    have = kind.described(teacher, teacher_options(recipe, options))
    need = kind.channels.config(kind.channels.space(options.space).largest())
    if not have.covers(need):
        rule = "a teacher whose strongest channels are taken must be at least as wide as the space"
        hint = "set supernet.prune false, or narrow the space"
        raise RecipeError(rule, f"{write_config(need)} of {have.parts}", hint)


def shape_of(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """What all sub-networks share, as in the original where that says it."""
    return searchable(options.family).shape_of(recipe.teach.generator)


def tap_channels(recipe: Recipe, options: SupernetOptions) -> tuple[list[int], list[int]]:
    """How wide the features are that distillation compares: of the widest student, and of its teacher."""
    kind, teacher = searchable(options.family), teacher_options(recipe, options)
    config = kind.channels.config(kind.channels.space(options.space).largest())
    student = kind.described(options.family, {**shape_of(recipe, options), "config": config})
    return student.tap_channels, searchable(teacher["family"]).described(teacher["family"], teacher).tap_channels


def costs_at(recipe: Recipe, options: SupernetOptions, config: Any) -> Mapping[str, Any]:
    """The cheap costs of one configuration, or of arrays of them."""
    description = searchable(options.family).described(options.family, shape_of(recipe, options))
    costs: Mapping[str, Any] = description.cost(recipe.size, recipe.size, config).as_dict(recipe.budget.convention)
    return costs


def band(
    recipe: Recipe,
    options: SupernetOptions,
    search: SearchOptions,
    space: Space,
    budget: Budget,
    latency: Callable[[Mapping[str, Any]], Any] | None = None,
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The places in the space's grid that an exhaustive search measures, the costliest first.

    The budget has at least one limit; `latency` maps columns of widths to milliseconds, where it limits them.
    """

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        counted = costs_at(recipe, options, [columns[name] for name in searchable(options.family).channels.names])
        return counted if latency is None else {**counted, "latency_ms": latency(columns)}

    return Grid(space).band(costs, budget, search.band)


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
    if options.distillation == "intermediate" and options.distill and not alike(family, options.family):
        rule = f"features of {options.family} are distilled from a {searchable(options.family).title} generator"
        raise RecipeError(rule, repr(family), "set supernet.distillation to output or none")
    _check_pruning(recipe, options, family)
    keeps = options.pipeline == "fast" and options.keep_discriminator and recipe.losses.adversarial
    if keeps and imported_alone(recipe):
        hint = "name teach.discriminator_checkpoint, or set supernet.keep_discriminator false"
        raise RecipeError("an imported teacher's discriminator is kept only if it is imported too", "none", hint)


def teacher_options(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """Family and options of the generator that teaches."""
    original = recipe.teach.generator
    if options.pipeline == "fast":
        return dict(original)
    assert options.teacher is not None
    family = searchable(options.family)
    trained = {name: original[name] for name in family.training_options if name in original}
    return {"family": family.mobile, "ngf": options.teacher.ngf, **shape_of(recipe, options), **trained}
