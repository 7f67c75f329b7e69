"""CycleGANAS's sections of a recipe, and their checks."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from slimgen.cost.rows import largest_within
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods import checks
from slimgen.methods.checks import BY_HAND, HALVING, NARROWED
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.keys import LatencyNetworks, Proposed
from slimgen.methods.method import Preview
from slimgen.methods.tuning import WHOLE
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.cyclegan_nas.space import (
    DiscriminatorShape,
    GeneratorShape,
    Padding,
    cells_cost,
    check_size,
    space_of,
)
from slimgen.nets.options import Repeats, Width
from slimgen.recipe import Channels, Recipe, Schedule, Section, section
from slimgen.search import Genotype

LEAST = 4  # the smallest hidden width of a generator of cells
FRAME = ("cells", "ends", "padding", "activated")  # what all generators of a recipe have in common


class SupernetOptions(Schedule):
    """Section `supernet` of CycleGANAS: four supernets (two generators, two discriminators) trained with their logits.

    The published code adds Gumbel noise to probabilities, where it outweighs them; here it is added to the logits (Jang
    et al. 2017).
    """

    updates: int | None = Field(
        default=None,
        ge=0,
        description="Length of the training in updates of the generators. Give this or `epochs`. 0: no training, for "
        "`search.kind` halving.",
    )
    decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Last share of the training, from 0 to 1, over which the learning rates fall linearly to 0. 0 "
        "keeps them constant.",
    )
    optimisation: Literal["OF", "TF", "TH", "THS"] = Field(
        default="OF",
        description="Order of the steps (section 4.1): `OF` moves weights and logits in one step (Algorithm 1). The "
        "others alternate between them: `TF` on all images, `TH` on a half of the images each, `THS` the same with "
        "the halves swapped midway.",
    )
    relaxation: Literal["softmax", "gumbel"] = Field(
        default="softmax",
        description="How a supernet mixes operations by their logits: by `softmax`, as the paper does, or with "
        "`gumbel` noise.",
    )
    temperature: tuple[float, float] = Field(
        default=(5.0, 0.1),
        description="Temperature of the `gumbel` relaxation at the first and the last step; it falls exponentially. "
        "The lower it is, the closer a mixture is to a single operation.",
    )
    spread: float = Field(default=1e-3, ge=0, description="Standard deviation of the initial logits.")
    architecture_rate: float | None = Field(
        default=None, gt=0, description="Learning rate of the logits. None: `rate`, as in the paper."
    )
    hidden: Width = Field(
        default=64,
        ge=LEAST,
        description="Channels after a generator's encoding cell during the search (section 3.2, hidden dimension "
        "reduction).",
    )
    discriminator_hidden: Width = Field(
        default=16, description="Channels after a discriminator's first operation during the search."
    )
    cells: Repeats = Field(default=11, ge=2, description="Number of cells in a generator (N).")
    ends: bool = Field(
        default=False, description="Search the first and the last layers too, as the published code does."
    )
    padding: Padding = Field(
        default="cyclegan",
        description="Padding of the generators' convolutions, which the paper leaves open: as in `cyclegan`, mirrored "
        "pixels, but zeros around convolutions that halve the size; `reflect`, mirrored pixels everywhere; or `one` "
        "mirrored pixel and then zeros, as in the published code.",
    )
    activated: bool = Field(
        default=True,
        description="Let an activation follow the second operation of a generator's residual cell too, before the "
        "cell's input is added (section 3.2). CycleGAN and the published code have none there.",
    )
    spectral: bool = Field(
        default=True,
        description="Normalise every kernel of the supernets by its spectral norm, so that only the logits decide "
        "which operation counts. Searched discriminators keep it when they are trained from scratch.",
    )
    _channels: Channels = PrivateAttr(Channels())

    def generator(self, hidden: int | None = None) -> GeneratorShape:
        """Return the shape of the generators during the search, or at another hidden width."""
        return GeneratorShape(**{**self.frame, "hidden": self.hidden if hidden is None else hidden})

    @property
    def frame(self) -> dict[str, Any]:
        """The options of a generator besides its width, its operations and their spectral norms."""
        return {name: getattr(self, name) for name in FRAME} | self.pictures

    @property
    def pictures(self) -> dict[str, int]:
        """The options `inputs` and `outputs` of a generator for pictures other than RGB; empty for RGB."""
        return {} if self._channels == Channels() else dict(zip(("inputs", "outputs"), self._channels, strict=True))

    def discriminator(self, hidden: int | None = None) -> DiscriminatorShape:
        """Return the shape of the discriminators during the search, or at another hidden width."""
        hidden = self.discriminator_hidden if hidden is None else hidden
        return DiscriminatorShape(hidden, self._channels.wanted, self.ends)


class SearchOptions(Section):
    """Section `search` of CycleGANAS: the choice of the architecture, its width, and the repeats of its training."""

    kind: Literal["gradient", "random", "halving"] = Field(
        default="gradient",
        description="`gradient` takes the most probable operations, `random` a random architecture of about the same "
        "size, to compare with. `halving` trains random pairs of generators by themselves and keeps the better half "
        "again and again, by the recipe's objective; it needs `supernet.updates` 0.",
    )
    candidates: int = Field(
        default=16, ge=2, description="Number of random pairs of generators at the start, for kind `halving`."
    )
    proposed: Proposed = 0
    evaluations: int = Field(
        default=8,
        ge=1,
        description="Number of random architectures drawn for kind `random`; the first that is within the limits is "
        "taken.",
    )
    equal_size: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Largest relative difference between the parameters of a random pair of generators and of the "
        "most probable pair; 0.05 is 5 %.",
    )
    hidden: Width | Literal["equal"] = Field(
        default="equal",
        description="Channels after the encoding cell of both found generators (H). `equal`: the most with which both "
        "together have no more parameters than the plain CycleGAN's two (section 4.2). To meet `budget.latency_ms`, "
        "`equal` becomes narrower; with a given width, the operations change instead.",
    )
    discriminators: Literal["found", "original"] = Field(
        default="found",
        description="Discriminators for training the found generators: the `found` ones, or ones like the "
        "`original`'s.",
    )
    discriminator_hidden: Width = Field(
        default=64, description="Channels after a found discriminator's first operation, when trained from scratch."
    )
    spectral: bool = Field(
        default=False,
        description="Normalise the found generators' kernels by their spectral norm while they are trained from "
        "scratch; the plain CycleGAN's have none.",
    )
    repeats: int = Field(
        default=1,
        ge=1,
        description="Number of trainings of the found generators from different seeds; the best on the validation "
        "images is kept (section 4).",
    )
    latency_networks: LatencyNetworks = 16


def training_of(recipe: Recipe) -> SupernetOptions:
    """Return the section `supernet`, with the channels of the recipe's pictures."""
    trained = {"updates", "epochs"} & recipe.supernet.keys()
    untrained = {} if trained or recipe.search.get("kind") != HALVING else {"updates": 0}
    options = section(SupernetOptions, {**recipe.supernet, **untrained}, "supernet")
    options._channels = recipe.channels
    return options


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe suits this method; raise BudgetError as `equal_hidden` does."""
    checks.check_cycle(recipe)
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    checks.check_metrics(recipe)
    checks.check_limits(recipe, ("latency_ms",), "set search.hidden, the width of its generators")
    checks.check_discriminators(recipe)
    checks.check_anew(recipe)
    checks.check_rivals(recipe, (NARROWED, BY_HAND))
    if isinstance(find(recipe.objective.metric), OfSegmentations):
        rule = "objective.metric must suit both directions' images, which are not label maps"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose fid, fd:NAME, kid, or psnr of the cycle")
    gumbel, drawing, halving = training.relaxation == "gumbel", options.kind == "random", options.kind == HALVING
    if halving and training.updates != 0:
        rule = "search.kind halving trains every candidate by itself and needs no supernet"
        got = "supernet.epochs" if training.updates is None else f"supernet.updates {training.updates}"
        raise RecipeError(rule, got, "set supernet.updates to 0")
    if training.updates == 0 and not halving:
        rule = f"search.kind {options.kind} needs trained supernets"
        raise RecipeError(rule, "supernet.updates 0", "give it updates or epochs")
    needs = {
        "search.candidates": (halving, "search.kind halving"),
        "search.proposed": (halving, "search.kind halving"),
        "supernet.temperature": (gumbel, "supernet.relaxation gumbel"),
        "search.evaluations": (drawing, "search.kind random"),
        "search.equal_size": (drawing, "search.kind random"),
        "search.discriminator_hidden": (options.discriminators == "found", "search.discriminators found"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit budget.latency_ms"),
    }
    checks.check_effects({"supernet": training, "search": options}, needs)
    if not training.temperature[0] >= training.temperature[1] > 0:
        raise RecipeError("supernet.temperature must be above 0 and must not rise", list(training.temperature))
    check_size(training.discriminator(), *recipe.size)  # it needs larger images than a generator
    check_size(training.generator(), *recipe.size)
    if isinstance(options.hidden, int):
        training.generator(options.hidden)
    else:
        smallest = space_of(training.generator()).smallest()
        equal_hidden(recipe, training, (smallest, smallest))


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the space of one generator, at the supernets' width or the given one."""
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    shape = training.generator(options.hidden if isinstance(options.hidden, int) else None)

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return checks.priced(cells_cost(shape, genotype, *recipe.size), recipe)

    def learned(images: int) -> int:
        tuning = recipe.finetune
        return pictures(counts, tuning.steps(images), tuning.batch) if options.kind == HALVING else 0

    counts = options.candidates, options.proposed
    evaluations = {"gradient": 1, "random": 1 + options.evaluations, HALVING: measurements(*counts)}[options.kind]
    repeats = options.repeats
    return Preview(space_of(shape), costs, evaluations, training.steps, training.batch, learned, repeats=repeats)


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the supernets' training where they are not trained."""
    options = section(SearchOptions, recipe.search, "search")
    used = (*FRAME, *(("spectral",) if options.discriminators == "found" else ()))
    supernet = section(SupernetOptions, recipe.supernet, "supernet")
    return checks.idle(supernet, used) if options.kind == HALVING else ()


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    return WHOLE if section(SearchOptions, recipe.search, "search").kind == HALVING else ()


def equal_hidden(recipe: Recipe, training: SupernetOptions, pair: tuple[Genotype, Genotype]) -> int:
    """Return the largest hidden width at which a pair has at most the parameters of the plain CycleGAN's two.

    Raises:
        BudgetError: even the smallest width has more.
    """

    def params(hidden: int) -> int:
        shape = training.generator(hidden)
        return sum(cells_cost(shape, genotype, *recipe.size).params for genotype in pair)

    limit = 2 * generator_cost(**recipe.size._asdict(), **recipe.teach.generator).params
    try:
        return largest_within(params, limit, LEAST)
    except BudgetError as error:
        rule = f"the two generators must fit into the {limit:,} parameters of the original's two"
        got = f"{params(LEAST):,} at the smallest width"
        raise BudgetError(rule, got, "set search.hidden, or choose a wider teach.generator") from error
