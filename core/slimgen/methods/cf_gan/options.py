"""CF-GAN's sections of a recipe, and their checks."""

from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.methods.keys import LatencyNetworks, Proposed, Racing
from slimgen.nets.cf_gan.space import Shape
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.options import Few, Ratio, Width
from slimgen.recipe import Channels, Recipe, Schedule, Section, section
from slimgen.search import Choice, Space, Value


class SupernetOptions(Schedule):
    """Section `supernet` of CF-GAN: the super-generator and its training by Algorithm 3.

    The super-generator is a trellis of searchable groups of blocks. A path is the sequence of the groups' scales: 4, 2
    or 1 for 1/4, 1/2 or the whole of the image's size, such as `4-2-1`. In super-resolution, where the recipe sets
    `data.scale`, it is the factors by which the groups' features are larger than the input, such as `1-2-4`. An epoch
    shows every image to every path.
    """

    updates: int | None = Field(
        default=None,
        ge=0,
        description="Length of the training in updates of the generator, rounded up to whole cycles of all paths. "
        "Give this or `epochs`. 0: no training, for `search.kind` halving.",
    )
    ngf: Width = Field(
        default=64,
        description="Channels of the super-generator at the full size; twice as many at 1/2, four times as many at "
        "1/4 of the output's sides. In super-resolution 16 make 64 at the size of the input, for `data.scale` 4.",
    )
    groups: Few = Field(default=3, description="Number of searchable groups; each lies at one scale of the image.")
    blocks: Few = Field(
        default=3, description="Number of blocks in each group; each block has an operator and a width."
    )
    ratios: tuple[Ratio, ...] = Field(
        default=(0.25, 0.5, 0.75, 1.0),
        description="Widths to choose from, as shares of the full number of channels, in increasing order.",
    )
    multiple: Width = Field(
        default=1,
        description="Every width is rounded to a multiple of this number of channels; 8 suits most hardware. In "
        "super-resolution widths are multiples of 4 too.",
    )
    recursions: Few = Field(
        default=4,
        description="Largest number of times that a block is applied with the same weights. Only for super-resolution; "
        "1: each block is applied once.",
    )
    ndf: Width = Field(
        default=64,
        description="Channels of the super-discriminator at the full size; twice as many at 1/2, four times as many "
        "at 1/4.",
    )
    sampling: Literal["fair", "uniform"] = Field(
        default="fair",
        description="Order in which operators are trained: `fair` trains each equally often (Algorithm 3); `uniform` "
        "draws them at random, to compare with.",
    )
    matching: Literal["path", "one"] = Field(
        default="path",
        description="Discriminator of a generator: along the same `path` (section 3.2), or `one` for all paths, to "
        "compare with.",
    )
    path: str | None = Field(
        default=None,
        description="The only path to train and search, such as `4-2-1`, chosen by hand (AP in Table 4). None: all "
        "paths.",
    )
    operators: str | tuple[str, ...] | None = Field(
        default=None,
        description="The only operator to train and search, or one for each block, chosen by hand (AO in Table 4). "
        "None: all operators.",
    )
    widths: Literal["full", "drawn"] = Field(
        default="full",
        description="Widths in training: always `full`, as in the paper, or `drawn` at random, with an order of "
        "channels that is fixed from the start.",
    )
    sparsity: float = Field(
        default=1e-3,
        ge=0,
        description="Weight of the penalty that drives scale factors towards 0 (lambda_sp of Eq. 4). 0: no penalty.",
    )
    gamma_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the scale factors gamma (eta in Algorithm 3, line 13). None: `rate`.",
    )
    gamma_momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Momentum of plain gradient descent on the scale factors. None: Adam, as for the other weights, "
        "against which the penalty has little effect.",
    )
    _channels: Channels = PrivateAttr(Channels())
    _scale: int = PrivateAttr(1)

    @property
    def shape(self) -> Shape:
        """The super-generator's size, which knows its space: that of super-resolution if the task enlarges."""
        size = (self.ngf, self.groups, self.blocks, self.ratios, self.multiple, *self._channels)
        return Shape(*size) if self._scale == 1 else UpscaleShape(*size, self._scale, self.recursions)

    def cycles(self, paths: int, images: int) -> int:
        """Return the updates, in whole cycles of all paths, at whose ends Definition 3.1 holds (lines 2 and 4)."""
        steps = self.steps(images) * (paths if self.epochs is not None else 1)
        return -(-steps // paths) * paths


class SearchOptions(Section):
    """Section `search` of CF-GAN: the path first, then its operators, then their channels (Algorithms 4 and 5)."""

    kind: Literal["supernet", "halving"] = Field(
        default="supernet",
        description="`supernet` measures candidates inside the trained supernet. `halving` trains random "
        "architectures by themselves and keeps the better half again and again; it needs `supernet.updates` 0.",
    )
    candidates: int = Field(
        default=16,
        ge=2,
        description="Number of random architectures at the start, for kind `halving`. With at least two per path, a "
        "few of every path are measured first, and the others belong to the best path.",
    )
    proposed: Proposed = 0
    training: Schedule | None = Field(
        default=None,
        description="Second training of the supernet, along the found path alone: operators fairly, widths drawn "
        "within the budget, in a fixed order of channels. None: no second training.",
    )
    judge_width: Literal["full", "budget"] = Field(
        default="budget",
        description="Widths at which the operator step measures: the `full` ones, as in the paper, or the widest even "
        "ones within the `budget`.",
    )
    tune: int = Field(
        default=0,
        ge=0,
        description="Number of updates for each candidate of the operator and the channel step, without adversarial "
        "loss, before it is measured. 0: none.",
    )
    finalists: int = Field(
        default=0,
        ge=0,
        description="Number of best candidates that are fine-tuned by successive halving to choose the winner among "
        "them: all briefly, the better half twice as long, and so on. 0: none; else at least 2.",
    )
    order: Literal["coarse-to-fine", "joint"] = Field(
        default="coarse-to-fine",
        description="Search path, operators and channels one after the other (`coarse-to-fine`), or all at once "
        "(`joint`), to compare with.",
    )
    path: str | None = Field(
        default=None,
        description="Path of the found generator, such as `4-2-1`, chosen by hand from a supernet of all paths. None: "
        "it is searched.",
    )
    operators: str | tuple[str, ...] | None = Field(
        default=None,
        description="Operator of all blocks, or one for each block, chosen by hand from a supernet of all operators. "
        "None: they are searched.",
    )
    variation: Literal["directional", "undirected", "random"] = Field(
        default="directional",
        description="Search of the channels, and of everything for order `joint`: evolution with `directional` "
        "mutation (Algorithm 5), with `undirected` mutation, or `random` search (Figure 6).",
    )
    population: int = Field(default=24, ge=2, description="Number of candidates in a generation (N of Algorithm 5).")
    elite: int = Field(
        default=6, ge=1, description="Number of best candidates that are kept as parents (K of Algorithm 5)."
    )
    mutation: float = Field(
        default=0.2, gt=0, le=1, description="Probability that a mutation changes a choice (r of Algorithm 5)."
    )
    evaluations: int = Field(
        default=384,
        ge=2,
        description="Largest number of candidates measured in the operator and the channel step together. The path "
        "step measures each path once on top.",
    )
    operator_share: float = Field(
        default=1 / 3,
        gt=0,
        lt=1,
        description="Share of `evaluations` for the operator step; the channel step gets the rest.",
    )
    racing: Racing = False
    latency_networks: LatencyNetworks = 16

    @model_validator(mode="after")
    def both_steps(self) -> Self:
        """Require at least one evaluation for each of the operator and the channel step."""
        if not 0 < self.operator_evaluations < self.evaluations:
            raise ValueError("'operator_share' must leave at least one of the 'evaluations' to each step")
        return self

    @property
    def operator_evaluations(self) -> int:
        """Evaluations of the operator step; the channel step has the rest."""
        return round(self.evaluations * self.operator_share)


def training_of(recipe: Recipe) -> SupernetOptions:
    """Return the section `supernet`, with the channels of the recipe's pictures and the factor of their enlargement."""
    options = section(SupernetOptions, recipe.supernet, "supernet")
    options._channels, options._scale = recipe.channels, recipe.data.scale
    return options


def space_of(recipe: Recipe, whole: Space) -> Space:
    """Return the part of a supernet's space that the recipe leaves to the search."""
    supernet = by_hand("supernet", training_of(recipe), whole)
    return by_hand("search", section(SearchOptions, recipe.search, "search"), supernet)


def by_hand(name: str, options: SupernetOptions | SearchOptions, space: Space) -> Space:
    """Narrow the space to the path and operators that a section fixes; raise RecipeError for unknown ones."""
    blocks = [name for name in space if name.startswith("operator.")]
    chosen = options.operators
    if isinstance(chosen, str):
        chosen = (chosen,) * len(blocks)
    if chosen is not None and len(chosen) != len(blocks):
        rule = f"{name}.operators must be one operator, or one for each of {len(blocks)} blocks"
        raise RecipeError(rule, len(chosen))
    known = list(dict.fromkeys(str(option) for block in blocks for option in options_of(space, block)))
    for operator in chosen or ():
        if operator not in known:
            raise RecipeError(f"unknown operator in {name}.operators", repr(operator), nearest(operator, known))
    if options.path is not None:
        paths = [str(path) for path in options_of(space, "path")]
        if options.path not in paths:
            raise RecipeError(f"unknown path in {name}.path", repr(options.path), nearest(options.path, paths))
        space = space.narrow({"path": [options.path]})
    return space.narrow({name: [operator] for name, operator in zip(blocks, chosen or (), strict=False)})


def paths_of(options: SearchOptions, space: Space) -> tuple[Value, ...]:
    """Return the paths among which the first step chooses; none where everything is searched at once."""
    return options_of(space, "path") if options.order == "coarse-to-fine" else ()


def options_of(space: Space, name: str) -> tuple[Value, ...]:
    """Return the options of a choice."""
    dimension = space[name]
    return dimension.options if isinstance(dimension, Choice) else ()
