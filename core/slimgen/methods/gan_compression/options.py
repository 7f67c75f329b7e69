"""GAN Compression's own sections of a recipe, and whether they make sense."""

import sys
from collections.abc import Callable, Mapping, Sized
from typing import Any, Literal

import numpy as np
from pydantic import Field

from slimgen.errors import RecipeError
from slimgen.methods.tuning import SCHEDULE, WHOLE
from slimgen.nets.gan_compression.families import Name, searchable
from slimgen.nets.options import Width
from slimgen.nets.resnet.description import Part
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import Budget, Space
from slimgen.search.grid import Grid

SEPARABLE = "mobile_resnet"  # the family whose separable parts are a choice
COUNTABLE = 20_000_000
"""Configurations that are counted in less than a minute; the largest published space has 5,764,801."""
OF_FEATURES = ("intermediate", "fsp")  # the distillations that compare inner features


class TeacherOptions(Schedule):
    """The mobile teacher of the full pipeline, trained from scratch."""

    ngf: Width = 64


class SupernetOptions(Schedule):
    """Section `supernet`: the once-for-all training, and what comes before it in the full pipeline.

    Attributes:
        pipeline: `full` trains a mobile `teacher`, distils a `student`, and trains the once-for-all network out of it;
            `fast` trains the once-for-all network under the original itself.
        family: of ResNet generators, some of whose parts are separable, or none (Table 4); or of SPADE's, whose
            modulations are.
        separable: those parts of a mobile ResNet, of its teacher too: of `downsample`, `resblocks` and `upsample`.
        space: a name of the family's spaces (see `slimgen spaces`), or the options of c0 .. c7.
        teacher: of the full pipeline.
        student: training of the largest configuration, of the full pipeline.
        prune: begin with the strongest channels of the teacher ("Pr." of Table 3); left out, wherever teacher and
            student are of one ResNet family.
        distillation: of inner features (Eq. 3); of the output (Aguinaldo et al., Figure 8); of `fsp`, how features flow
            from layer to layer (Yim et al., Table 7); or none.
        distill: its weight, lambda_distill of Eq. 4. Of fsp, which sums over entries where the others average, a small
            one: 3e-4 where the teacher has 128 channels, less by their square where it has more.
        keep_discriminator: begin with the teacher's discriminator ("Keep D" of Table 3).
        truth: what L1 compares with (Eq. 1): the data's target where there are pairs, else the teacher's image. The
            teacher's image can be asked for where there are pairs, too.
        calibration: images over which the BatchNorms of a sub-network, if it has any, are measured anew.
    """

    updates: int | None = Field(default=None, ge=0)
    pipeline: Literal["full", "fast"] = "fast"
    family: Name = "mobile_resnet"
    separable: tuple[Part, ...] = ("resblocks",)
    space: str | tuple[tuple[Width, ...], ...] = "channels-48"
    teacher: TeacherOptions | None = None
    student: Schedule | None = None
    prune: bool | None = None
    distillation: Literal["intermediate", "output", "fsp", "none"] = "intermediate"
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
        tune: updates of every candidate, without adversarial loss, before it is measured.
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
    tune: int = Field(default=0, ge=0)
    racing: bool = False
    latency_networks: int = Field(default=16, ge=4)

    def require_few(self, places: Sized) -> None:
        """Raise RecipeError where an exhaustive search would measure more than it may."""
        if len(places) > self.evaluations:
            rule = f"an exhaustive search within {self.evaluations:,} evaluations"
            hint = "raise search.band or search.evaluations, or search by evolution"
            raise RecipeError(rule, f"{len(places):,} configurations inside the budget and the band", hint)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how candidates are trained."""
    options = section(SearchOptions, recipe.search, "search")
    if options.kind == "halving":
        return WHOLE
    return SCHEDULE if options.tune else ()


def pruning(recipe: Recipe, options: SupernetOptions) -> bool:
    """Return whether the once-for-all network begins with channels of its teacher."""
    return prunable(recipe, options) if options.prune is None else options.prune


def prunable(recipe: Recipe, options: SupernetOptions) -> bool:
    """Return whether student and teacher are of one ResNet family, with the same layers."""
    teacher, kind = teacher_options(recipe, options), searchable(options.family)
    if teacher["family"] != options.family or not kind.pruned:
        return False
    both = (kind.described(options.family, about) for about in (teacher, shape_of(recipe, options)))
    theirs, ours = ((set(getattr(one, "separable", ())), getattr(one, "norm", None)) for one in both)
    return theirs == ours


def shape_of(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """What all sub-networks share, as in the original where that says it."""
    separable = {"separable": options.separable} if options.family == SEPARABLE else {}
    return {**searchable(options.family).shape_of(recipe.teach.generator), **separable}


def tap_channels(recipe: Recipe, options: SupernetOptions) -> tuple[list[int], list[int]]:
    """How wide the features are that distillation compares: of the widest student, and of its teacher."""
    kind, teacher = searchable(options.family), teacher_options(recipe, options)
    config = kind.channels.config(kind.channels.space(options.space).largest())
    student = kind.described(options.family, {**shape_of(recipe, options), "config": config})
    return student.tap_channels, searchable(teacher["family"]).described(teacher["family"], teacher).tap_channels


def costs_at(recipe: Recipe, options: SupernetOptions, config: Any) -> Mapping[str, Any]:
    """Return the cheap costs of one configuration, or of arrays of them."""
    description = searchable(options.family).described(options.family, shape_of(recipe, options))
    costs: Mapping[str, Any] = description.cost(*recipe.size, config).as_dict(recipe.budget.convention)
    return costs


def band(
    recipe: Recipe,
    options: SupernetOptions,
    search: SearchOptions,
    space: Space,
    budget: Budget,
    latency: Callable[[Mapping[str, Any]], Any] | None = None,
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the places in the space's grid that an exhaustive search measures, the costliest first.

    Of a budget without limits, that is every one. `latency` maps columns of widths to milliseconds, where it limits
    them.
    """

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        counted = costs_at(recipe, options, [columns[name] for name in searchable(options.family).channels.names])
        return counted if latency is None else {**counted, "latency_ms": latency(columns)}

    return Grid(space).band(costs, budget if budget.limits else Budget(macs=sys.float_info.max), search.band)


def teacher_options(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """Family and options of the generator that teaches."""
    original = recipe.teach.generator
    if options.pipeline == "fast":
        return dict(original)
    assert options.teacher is not None
    family = searchable(options.family)
    trained = {name: original[name] for name in family.training_options if name in original}
    return {"family": family.mobile, "ngf": options.teacher.ngf, **shape_of(recipe, options), **trained}
