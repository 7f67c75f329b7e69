"""CF-GAN's own sections of a recipe, and whether they make sense."""

from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.nets.cf_gan.space import OPERATORS, Shape
from slimgen.nets.options import Few, Ratio, Width
from slimgen.recipe import Channels, Recipe, Schedule, Section, section
from slimgen.search import Choice, Space, Value


class SupernetOptions(Schedule):
    """Section `supernet`. Updates count generator steps; an epoch shows every image to every path.

    Attributes:
        ratios: of the widths to choose from; `multiple` rounds each width to a multiple of so many channels.
        widths: `full`, as the paper trains; or `drawn` at random from the start, of an order of channels that stays.
        path: the only one that is trained and searched; `operators` likewise, one or one for each block: the paper's
            AP and AO (Table 4), designed by hand from the supernet on.
        matching: the discriminator's `path` is the generator's (section 3.2); or, to compare with, `one` judges all.
        sparsity: lambda_sp of Eq. 4.
        gamma_rate: eta, the rate of the scale factors gamma (line 13); `rate` if not given.
        gamma_momentum: of plain gradient descent on them; None moves them with Adam as all other weights, against
            which a proximal step does little.
    """

    updates: int | None = Field(default=None, ge=0)
    ngf: Width = 64
    groups: Few = 3
    blocks: Few = 3
    ratios: tuple[Ratio, ...] = (0.25, 0.5, 0.75, 1.0)
    multiple: Width = 1
    ndf: Width = 64
    sampling: Literal["fair", "uniform"] = "fair"
    matching: Literal["path", "one"] = "path"
    path: str | None = None
    operators: str | tuple[str, ...] | None = None
    widths: Literal["full", "drawn"] = "full"
    sparsity: float = Field(default=1e-3, ge=0)
    gamma_rate: float | None = Field(default=None, gt=0)
    gamma_momentum: float | None = Field(default=None, ge=0, lt=1)
    _channels: Channels = PrivateAttr(Channels())

    @property
    def shape(self) -> Shape:
        """The super-generator's size."""
        return Shape(self.ngf, self.groups, self.blocks, self.ratios, self.multiple, *self._channels)

    def cycles(self, paths: int, images: int) -> int:
        """Updates of whole cycles of all paths, at whose ends Definition 3.1 holds (lines 2 and 4)."""
        steps = self.steps(images) * (paths if self.epochs is not None else 1)
        return -(-steps // paths) * paths


class SearchOptions(Section):
    """Section `search`. `path` and `operators` fix by hand what is then not searched, in a supernet of all.

    Attributes:
        kind: `supernet` measures candidates inside the supernet; `halving` trains random genotypes alone, as many as
            `candidates`, and lets the better half go on again and again: `supernet.updates` is then 0. Of twice as many
            as there are paths or more, a few of every path come first, and then so many of the best one in all.
        proposed: so many more, which a predictor proposes after the first have been measured, compete with them.
        training: a second training of the supernet, of the path alone that was found: operators fairly, widths drawn
            within the budget, in an order of channels that no longer changes.
        judge_width: at which widths the operator step measures: at the `full` ones, as the paper does, or at the widest
            even ones within the `budget`.
        tune: updates of every candidate of the operator and the channel step, without adversarial loss, before it is
            measured.
        order: of the path first, then what is within it; or all at once.
        finalists: how many of the best are fine-tuned as the found one will be, by successive halving: all of them a
            little, the better half of them twice as long, and so on.
        evaluations: of the operator and the channel step together; the path step measures each path once besides.
        operator_share: the part of them that is the operator step's.
        racing: leave a candidate once it is hopelessly behind the elite's worst.
        latency_networks: whole networks that a latency table is fitted to; half as many check it.
    """

    kind: Literal["supernet", "halving"] = "supernet"
    candidates: int = Field(default=16, ge=2)
    proposed: int = Field(default=0, ge=0)
    training: Schedule | None = None
    judge_width: Literal["full", "budget"] = "budget"
    tune: int = Field(default=0, ge=0)
    finalists: int = Field(default=0, ge=0)
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
    latency_networks: int = Field(default=16, ge=4)

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


def training_of(recipe: Recipe) -> SupernetOptions:
    """Section `supernet`, for the channels of the recipe's pictures."""
    options = section(SupernetOptions, recipe.supernet, "supernet")
    options._channels = recipe.channels
    return options


def space_of(recipe: Recipe, whole: Space) -> Space:
    """What is searched of a supernet's space: what the recipe leaves of it."""
    supernet = by_hand("supernet", training_of(recipe), whole)
    return by_hand("search", section(SearchOptions, recipe.search, "search"), supernet)


def by_hand(name: str, options: SupernetOptions | SearchOptions, space: Space) -> Space:
    """The space with path and operators narrowed to what a section fixes; RecipeError of one that it does not have."""
    blocks = [name for name in space if name.startswith("operator.")]
    chosen = options.operators
    if isinstance(chosen, str):
        chosen = (chosen,) * len(blocks)
    if chosen is not None and len(chosen) != len(blocks):
        raise RecipeError(f"{name}.operators is one operator, or one for each of {len(blocks)} blocks", len(chosen))
    for operator in chosen or ():
        if operator not in OPERATORS:
            raise RecipeError(f"{name}.operators names no operator", repr(operator), nearest(operator, OPERATORS))
    if options.path is not None:
        paths = [str(path) for path in options_of(space, "path")]
        if options.path not in paths:
            raise RecipeError(f"{name}.path names no path", repr(options.path), nearest(options.path, paths))
        space = space.narrow({"path": [options.path]})
    return space.narrow({name: [operator] for name, operator in zip(blocks, chosen or (), strict=False)})


def paths_of(options: SearchOptions, space: Space) -> tuple[Value, ...]:
    """Return the paths among which one is chosen before anything else; none where all is searched at once."""
    return options_of(space, "path") if options.order == "coarse-to-fine" else ()


def options_of(space: Space, name: str) -> tuple[Value, ...]:
    """Return the options of a choice."""
    dimension = space[name]
    return dimension.options if isinstance(dimension, Choice) else ()
