"""GAN Compression's sections of a recipe, and quantities that follow from them."""

import sys
from collections.abc import Callable, Mapping, Sized
from typing import Any, Literal

import numpy as np
from pydantic import Field

from slimgen.errors import RecipeError
from slimgen.methods.keys import LatencyNetworks, Proposed, Racing
from slimgen.methods.tuning import SCHEDULE, WHOLE
from slimgen.nets.gan_compression.families import Name, searchable
from slimgen.nets.options import Width
from slimgen.nets.resnet.description import Part
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import Budget, Space
from slimgen.search.grid import Grid

SEPARABLE = "mobile_resnet"  # the family with the option `separable`
COUNTABLE = 20_000_000
"""Configurations that can be counted in less than a minute; the largest published space has 5,764,801."""
OF_FEATURES = ("intermediate", "fsp")  # the kinds of distillation that compare inner features


class TeacherOptions(Schedule):
    """The mobile teacher of the full pipeline, trained from scratch."""

    ngf: Width = Field(
        default=64, description="Channels of the teacher's first layer; deeper layers have up to four times as many."
    )


class SupernetOptions(Schedule):
    """Section `supernet` of GAN Compression: the once-for-all network, and teacher and student of the full pipeline.

    The once-for-all network contains a sub-network for each choice of channel numbers.
    """

    updates: int | None = Field(
        default=None,
        ge=0,
        description="Length of the once-for-all training in updates of the generator. Give this or `epochs`. 0: no "
        "training, for `search.kind` halving.",
    )
    pipeline: Literal["full", "fast"] = Field(
        default="fast",
        description="`full` trains a mobile `teacher`, distils a `student` from it and trains the once-for-all "
        "network from the student. `fast` trains it directly, with the original as teacher.",
    )
    family: Name = Field(
        default="mobile_resnet",
        description="Family of the found generator: a ResNet with or without separable convolutions (Table 4), or "
        "SPADE's generator with separable modulations.",
    )
    separable: tuple[Part, ...] = Field(
        default=("resblocks",),
        description="Parts of `mobile_resnet`, and of its teacher, whose convolutions are depthwise and pointwise: of "
        "`downsample`, `resblocks` and `upsample`.",
    )
    space: str | tuple[tuple[Width, ...], ...] = Field(
        default="channels-48",
        description="Channel numbers to choose from: a space by name (`slimgen spaces` lists them), or a list of "
        "options for each of c0 to c7.",
    )
    teacher: TeacherOptions | None = Field(
        default=None, description="Training of the mobile teacher, needed by the pipeline `full` alone."
    )
    student: Schedule | None = Field(
        default=None,
        description="Training of the student, the largest sub-network, needed by the pipeline `full` alone.",
    )
    prune: bool | None = Field(
        default=None,
        description="Start with the teacher's strongest channels (`Pr.` in Table 3). None: if teacher and student "
        "belong to one ResNet family.",
    )
    distillation: Literal["intermediate", "output", "fsp", "none"] = Field(
        default="intermediate",
        description="Part of the teacher that the student imitates: `intermediate` features (Eq. 3), the `output` "
        "(Figure 8), `fsp`, the flow between layers (Yim et al. 2017; Table 7), or `none`.",
    )
    distill: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the distillation loss (lambda_distill of Eq. 4). `fsp` sums where the others average "
        "and needs a small one: 3e-4 for a teacher of 128 channels, less by the square of their number for more.",
    )
    keep_discriminator: bool = Field(
        default=True,
        description="Start with the teacher's discriminator (`Keep D` in Table 3); false: with a new one.",
    )
    truth: Literal["data", "teacher"] | None = Field(
        default=None,
        description="Target of the reconstruction loss (Eq. 1): the `data`'s target image, or the `teacher`'s output. "
        "None: the data's where there are pairs, else the teacher's.",
    )
    calibration: int = Field(
        default=128,
        ge=1,
        description="Number of images for measuring the BatchNorm statistics of each sub-network again, if it has any.",
    )

    def pseudo_pairs(self, pairs: bool) -> bool:
        """Return whether the teacher's outputs are the targets, given whether the data have `pairs`."""
        return self.truth == "teacher" or (self.truth is None and not pairs)


class SearchOptions(Section):
    """Section `search` of GAN Compression: the search for channel numbers."""

    kind: Literal["exhaustive", "evolution", "random", "halving"] = Field(
        default="evolution",
        description="`exhaustive` measures every configuration of the `band`, `evolution` and `random` as many as "
        "`evaluations`. `halving` trains random ones by themselves and keeps the better half again and again; it "
        "needs `supernet.updates` 0.",
    )
    candidates: int = Field(
        default=16, ge=2, description="Number of random configurations at the start, for kind `halving`."
    )
    proposed: Proposed = 0
    band: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="For kind `exhaustive`: leave out configurations that cost less than this share of the budget's "
        "first limit. 0 leaves out none.",
    )
    evaluations: int = Field(
        default=50_000,
        ge=1,
        description="Number of configurations to measure; an exhaustive search of more is refused.",
    )
    population: int = Field(default=100, ge=2, description="Number of configurations in a generation.")
    elite: int = Field(default=25, ge=1, description="Number of best configurations that are kept as parents.")
    mutation: float = Field(
        default=0.2, gt=0, le=1, description="Probability that a mutation changes a channel number."
    )
    crossover: float = Field(
        default=0.5, ge=0, le=1, description="Share of a generation that comes from crossover; the rest is mutated."
    )
    tune: int = Field(
        default=0,
        ge=0,
        description="Number of updates for each candidate, without adversarial loss, before it is measured. 0: none.",
    )
    racing: Racing = False
    latency_networks: LatencyNetworks = 16

    def require_few(self, places: Sized) -> None:
        """Raise RecipeError where an exhaustive search would measure more than `evaluations`."""
        if len(places) > self.evaluations:
            rule = f"search.kind exhaustive must stay within {self.evaluations:,} evaluations"
            hint = "raise search.band or search.evaluations, or set search.kind to evolution"
            raise RecipeError(rule, f"{len(places):,} configurations inside the budget and the band", hint)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    options = section(SearchOptions, recipe.search, "search")
    if options.kind == "halving":
        return WHOLE
    return SCHEDULE if options.tune else ()


def pruning(recipe: Recipe, options: SupernetOptions) -> bool:
    """Return whether the once-for-all network starts with its teacher's strongest channels."""
    return prunable(recipe, options) if options.prune is None else options.prune


def prunable(recipe: Recipe, options: SupernetOptions) -> bool:
    """Return whether student and teacher belong to one ResNet family and have the same kinds of layers."""
    teacher, kind = teacher_options(recipe, options), searchable(options.family)
    if teacher["family"] != options.family or not kind.pruned:
        return False
    both = (kind.described(options.family, about) for about in (teacher, shape_of(recipe, options)))
    theirs, ours = ((set(getattr(one, "separable", ())), getattr(one, "norm", None)) for one in both)
    return theirs == ours


def shape_of(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """Return the options that all sub-networks share, taken from the original where it has them."""
    separable = {"separable": options.separable} if options.family == SEPARABLE else {}
    return {**searchable(options.family).shape_of(recipe.teach.generator), **separable}


def tap_channels(recipe: Recipe, options: SupernetOptions) -> tuple[list[int], list[int]]:
    """Return the channels of the features that distillation compares: the widest student's, and its teacher's."""
    kind, teacher = searchable(options.family), teacher_options(recipe, options)
    config = kind.channels.config(kind.channels.space(options.space).largest())
    student = kind.described(options.family, {**shape_of(recipe, options), "config": config})
    return student.tap_channels, searchable(teacher["family"]).described(teacher["family"], teacher).tap_channels


def costs_at(recipe: Recipe, options: SupernetOptions, config: Any) -> Mapping[str, Any]:
    """Return the counted costs of one configuration, or of arrays of them."""
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
    """Return the rows of the space's grid that an exhaustive search measures, the costliest first.

    Without limits in the budget, these are all rows. `latency` maps columns of widths to milliseconds, where the budget
    limits them.
    """

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        counted = costs_at(recipe, options, [columns[name] for name in searchable(options.family).channels.names])
        return counted if latency is None else {**counted, "latency_ms": latency(columns)}

    return Grid(space).band(costs, budget if budget.limits else Budget(macs=sys.float_info.max), search.band)


def teacher_options(recipe: Recipe, options: SupernetOptions) -> dict[str, Any]:
    """Return the teacher's family and options."""
    original = recipe.teach.generator
    if options.pipeline == "fast":
        return dict(original)
    assert options.teacher is not None
    family = searchable(options.family)
    trained = {name: original[name] for name in family.training_options if name in original}
    return {"family": family.mobile, "ngf": options.teacher.ngf, **shape_of(recipe, options), **trained}
