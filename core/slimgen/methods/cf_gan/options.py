"""CF-GAN's own sections of a recipe, and whether they make sense."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.methods.checks import budget_of, check_limits, check_metrics, check_rivals, imported_alone, priced
from slimgen.methods.method import Preview
from slimgen.nets.cf_gan.space import OPERATORS, Shape, trellis_cost, trellis_space
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import Choice, Genotype, Space, Value, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import IMAGES, NOISE


class SupernetOptions(Schedule):
    """Section `supernet`. Updates count generator steps; an epoch shows every image to every path."""

    ngf: int = Field(default=64, ge=1)
    groups: int = Field(default=3, ge=1)
    blocks: int = Field(default=3, ge=1)
    ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    ndf: int = Field(default=64, ge=1)
    sampling: Literal["fair", "uniform"] = "fair"
    sparsity: float = Field(default=1e-3, ge=0)
    gamma_rate: float | None = Field(default=None, gt=0)

    @property
    def shape(self) -> Shape:
        """The super-generator's size."""
        return Shape(self.ngf, self.groups, self.blocks, self.ratios)

    def cycles(self, paths: int, images: int) -> int:
        """Updates of whole cycles of all paths, at whose ends Definition 3.1 holds (lines 2 and 4)."""
        steps = self.steps(images) * (paths if self.epochs is not None else 1)
        return -(-steps // paths) * paths


class SearchOptions(Section):
    """Section `search`. `path` and `operators` fix by hand what is then not searched (AP and AO of Table 4).

    Attributes:
        evaluations: of the operator and the channel step together; the path step measures each path once besides.
        operator_share: the part of them that is the operator step's.
        racing: leave a candidate once it is hopelessly behind the elite's worst.
    """

    order: Literal["coarse-to-fine", "joint"] = "coarse-to-fine"
    path: str | None = None
    operators: str | tuple[str, ...] | None = None
    variation: Literal["directional", "undirected", "random"] = "directional"
    population: int = Field(default=24, ge=2)
    elite: int = Field(default=6, ge=1)
    mutation: float = Field(default=0.2, gt=0, le=1)
    evaluations: int = Field(default=384, ge=2)
    operator_share: float = Field(default=1 / 3, gt=0, lt=1)
    racing: bool = False

    @model_validator(mode="after")
    def both_steps(self) -> Self:
        """Neither the operator nor the channel step is without evaluations."""
        if not 0 < self.operator_evaluations < self.evaluations:
            raise ValueError("operator_share leaves at least one of the evaluations to either step")
        return self

    @property
    def operator_evaluations(self) -> int:
        """Of the operator step; the rest is the channel step's."""
        return round(self.evaluations * self.operator_share)


def check(recipe: Recipe) -> None:
    """Raises RecipeError unless the sections `supernet` and `search` are sound."""
    if (given := traits_of(recipe).given) != IMAGES:
        hint = "use alphagan" if given == NOISE else "use gan_compression, or draw the labels"
        raise RecipeError("cf_gan makes images of images", f"the task {recipe.task}", hint)
    section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    if recipe.size % 8:
        raise RecipeError("cf_gan needs a size that is a multiple of 8", recipe.size)
    check_limits(recipe)
    check_metrics(recipe, options.racing)
    planned = preview(recipe)
    require_reachable(planned.space, planned.costs, budget_of(recipe))
    check_rivals(recipe)
    losses = recipe.losses
    if imported_alone(recipe) and losses.perceptual and losses.perceptual_network == "discriminator":
        rule = "a perceptual loss in the discriminator's features needs teach.discriminator_checkpoint"
        raise RecipeError(rule, "none")


def preview(recipe: Recipe) -> Preview:
    """The space of trellises, and how long they are trained and looked at."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    space, size = by_hand(options, trellis_space(training.shape)), recipe.size
    paths = len(options_of(space, "path"))

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(trellis_cost(training.shape, genotype, size, size), recipe)

    return Preview(space, costs, paths + options.evaluations, partial(training.cycles, paths), training.batch)


def by_hand(options: SearchOptions, space: Space) -> Space:
    """The space with path and operators narrowed to what the recipe fixes; RecipeError of one that it does not have."""
    blocks = [name for name in space if name.startswith("operator.")]
    chosen = options.operators
    if isinstance(chosen, str):
        chosen = (chosen,) * len(blocks)
    if chosen is not None and len(chosen) != len(blocks):
        raise RecipeError(f"search.operators is one operator, or one for each of {len(blocks)} blocks", len(chosen))
    for operator in chosen or ():
        if operator not in OPERATORS:
            raise RecipeError("search.operators names no operator", repr(operator), nearest(operator, OPERATORS))
    if options.path is not None:
        paths = [str(path) for path in options_of(space, "path")]
        if options.path not in paths:
            raise RecipeError("search.path names no path", repr(options.path), nearest(options.path, paths))
        space = space.narrow({"path": [options.path]})
    return space.narrow({name: [operator] for name, operator in zip(blocks, chosen or (), strict=False)})


def options_of(space: Space, name: str) -> tuple[Value, ...]:
    """The options of a choice."""
    dimension = space[name]
    return dimension.options if isinstance(dimension, Choice) else ()
