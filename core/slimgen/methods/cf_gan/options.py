"""CF-GAN's own sections of a recipe, and whether they make sense."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from slimgen.errors import RecipeError, nearest
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
    check_halving,
    check_limits,
    check_metrics,
    check_rivals,
    check_tuning,
    imported_alone,
    priced,
)
from slimgen.methods.halving import measurements
from slimgen.methods.method import Preview
from slimgen.methods.tuning import SCHEDULE, WHOLE
from slimgen.nets.cf_gan.space import OPERATORS, Shape, trellis_cost, trellis_space
from slimgen.recipe import Channels, Recipe, Schedule, Section, section
from slimgen.search import Allows, Choice, Genotype, Space, Value, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import IMAGES, NOISE

_CONFIGURATIONS = 1_000
_OF_SUPERNET = [
    f"search.{name}"
    for name in (
        *("training", "judge_width", "tune", "finalists", "variation"),
        *("population", "elite", "mutation", "evaluations", "operator_share", "racing"),
    )
]


class SupernetOptions(Schedule):
    """Section `supernet`. Updates count generator steps; an epoch shows every image to every path.

    Attributes:
        ratios: of the widths to choose from; `multiple` rounds each width to a multiple of so many channels.
        widths: `full`, as the paper trains; or `drawn` at random from the start, of an order of channels that stays.
        sparsity: lambda_sp of Eq. 4.
        gamma_rate: eta, the rate of the scale factors gamma (line 13); `rate` if not given.
        gamma_momentum: of plain gradient descent on them; None moves them with Adam as all other weights, against
            which a proximal step does little.
    """

    updates: int | None = Field(default=None, ge=0)
    ngf: int = Field(default=64, ge=1)
    groups: int = Field(default=3, ge=1)
    blocks: int = Field(default=3, ge=1)
    ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    multiple: int = Field(default=1, ge=1)
    ndf: int = Field(default=64, ge=1)
    sampling: Literal["fair", "uniform"] = "fair"
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
    """Section `search`. `path` and `operators` fix by hand what is then not searched (AP and AO of Table 4).

    Attributes:
        kind: `supernet` measures candidates inside the supernet; `halving` trains random genotypes alone, as many as
            `candidates`, and lets the better half go on again and again: `supernet.updates` is then 0.
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


def check(recipe: Recipe) -> None:
    """Raises RecipeError unless the sections `supernet` and `search` are sound."""
    if (given := traits_of(recipe).given) != IMAGES:
        hint = "use alphagan" if given == NOISE else "use gan_compression, or draw the labels"
        raise RecipeError("cf_gan makes images of images", f"the task {recipe.task}", hint)
    training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    if any(side % 8 for side in recipe.size):
        raise RecipeError("cf_gan needs sides that are multiples of 8", recipe.size)
    check_limits(recipe, LIMITS)
    training = training_of(recipe)
    _check_halving(recipe, options, training)
    check_metrics(recipe, options.racing)
    planned = preview(recipe)
    # Milliseconds are measured when the search begins, which then says what is reachable.
    require_reachable(planned.space, planned.costs, replace(budget_of(recipe), latency_ms=None))
    inherited = ("supernet",) if recipe.finetune.inherit else ()
    if options.kind == "supernet" and options.order == "coarse-to-fine":
        _check_channels(recipe, options, planned)
    check_rivals(recipe, (NARROWED, NARROWED_LATENCY, NAIVE, RANDOM, RANDOM_PATH, HALVING), (*inherited, "fresh"))
    losses = recipe.losses
    if imported_alone(recipe) and losses.perceptual and losses.perceptual_network == "discriminator":
        rule = "a perceptual loss in the discriminator's features needs teach.discriminator_checkpoint"
        raise RecipeError(rule, "none")


def _check_channels(recipe: Recipe, options: SearchOptions, planned: Preview) -> None:
    """Raises RecipeError where a path and an operator would leave the channel step next to nothing to choose from."""
    space, budget = planned.space, replace(budget_of(recipe), latency_ms=None)
    wanted = min(_CONFIGURATIONS, options.evaluations - options.operator_evaluations)
    widest = {name: dimension.largest for name, dimension in space.items()}
    blocks = [name for name in space if name.startswith("operator.")]
    for path, operator in product(options_of(space, "path"), options_of(space, blocks[0])):
        operators = {name: operator for name in blocks if operator in options_of(space, name)}
        channels = space.pin({**widest, "path": path, **operators}, free="channel.")
        found = few(channels, lambda genotype: budget.allows(planned.costs(genotype)), wanted)
        if 0 < found < min(wanted, channels.size):
            rule = f"every path and operator leaves the channel step {wanted:,} configurations within the budget"
            hint = "lower supernet.ratios, or raise the budget"
            raise RecipeError(rule, f"{found:,} of path {path} with {operator}", hint)


def few(space: Space, allows: Allows, enough: int) -> int:
    """How many genotypes are allowed, counted up to a number that is enough.

    With a genotype that is allowed, all smaller ones are: so each is reached from the smallest, step by step.
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
    needs["search.latency_networks"] = (recipe.budget.latency_ms is not None, "a limit on latency_ms")
    needs["search.candidates"] = needs["search.proposed"] = (not supernet, "search.kind halving")
    needs["supernet.widths"] = (supernet, "search.kind supernet")
    check_effects({"supernet": training, "search": options}, needs)
    check_halving(recipe, not supernet, training)
    check_tuning(recipe, options.tune)
    if options.finalists == 1:
        raise RecipeError("search.finalists are at least 2, to choose among them", 1, "leave it out")
    if options.finalists and recipe.finetune.updates == 0:
        rule = "search.finalists are trained as the section finetune says"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")


def preview(recipe: Recipe) -> Preview:
    """The space of trellises, and how long they are trained and looked at."""
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    space, size = by_hand(options, trellis_space(training.shape)), recipe.size
    paths = len(options_of(space, "path"))

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(trellis_cost(training.shape, genotype, *size), recipe)

    parts = paths if options.order == "coarse-to-fine" else 1
    evaluations = paths + options.evaluations + (options.order == "coarse-to-fine" and options.judge_width == "budget")
    if options.kind == "halving":
        evaluations = measurements(options.candidates, options.proposed, parts)
    return Preview(space, costs, evaluations, partial(training.cycles, paths), training.batch)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how candidates are trained."""
    options = section(SearchOptions, recipe.search, "search")
    if options.kind == "halving":
        return WHOLE
    if options.finalists:
        return (*WHOLE, "finetune.inherit", "finetune.discriminator")
    return SCHEDULE if options.tune else ()


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
