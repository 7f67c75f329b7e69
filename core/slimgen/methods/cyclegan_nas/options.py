"""CycleGANAS's own sections of a recipe, and whether they make sense."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PrivateAttr

from slimgen.cost.rows import largest_within
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods import checks
from slimgen.methods.checks import HALVING
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.method import Preview
from slimgen.methods.tuning import WHOLE
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, cells_cost, check_size, space_of
from slimgen.nets.options import Repeats, Width
from slimgen.recipe import Channels, Recipe, Schedule, Section, section
from slimgen.search import Genotype

LEAST = 4  # the narrowest generator of cells, after its encoding cell


class SupernetOptions(Schedule):
    """Section `supernet`: the four supernets, trained with their relaxations at a rate that stays constant.

    Attributes:
        optimisation: of section 4.1. `OF` is Algorithm 1: weights and logits in one step, on all images. The others
            take a step of the weights and then one of the logits, each on images of its own: `TF` on all images, in
            two orders; `TH` on the two halves of either set; `THS` likewise, and the halves change roles midway.
        relaxation: the paper's softmax, or gumbel. (The published code adds Gumbel's noise to probabilities, where it
            outweighs them; here it is added to the logits, Jang et al. 2017.)
        temperature: of gumbel: at the first and the last step, falling exponentially.
        spread: standard deviation of the first logits.
        architecture_rate: of the logits; left out, as the weights' (the paper has one Adam for both).
        hidden: channels after the encoding cell while searching (section 3.2, hidden dimension reduction).
        discriminator_hidden: channels after a discriminator's first operation, likewise.
        cells: of a generator (N).
        ends: search stems and outputs too, as the published code does.
        spectral: spectral normalisation of every kernel, so that the gates alone say which operation counts; of the
            searched discriminators, while they are trained anew, too (the published code has it there).
    """

    updates: int | None = Field(default=None, ge=0)
    decay: float = Field(default=0.0, ge=0, le=1)
    optimisation: Literal["OF", "TF", "TH", "THS"] = "OF"
    relaxation: Literal["softmax", "gumbel"] = "softmax"
    temperature: tuple[float, float] = (5.0, 0.1)
    spread: float = Field(default=1e-3, ge=0)
    architecture_rate: float | None = Field(default=None, gt=0)
    hidden: Width = Field(default=64, ge=LEAST)
    discriminator_hidden: Width = 16
    cells: Repeats = Field(default=11, ge=2)
    ends: bool = False
    spectral: bool = True
    _channels: Channels = PrivateAttr(Channels())

    def generator(self, hidden: int | None = None) -> GeneratorShape:
        """Yield the generators of the search, or of another hidden width."""
        return GeneratorShape(self.hidden if hidden is None else hidden, self.cells, *self._channels, self.ends)

    @property
    def pictures(self) -> dict[str, int]:
        """The options by which a generator of cells is one for other pictures than RGB."""
        return {} if self._channels == Channels() else dict(zip(("inputs", "outputs"), self._channels, strict=True))

    def discriminator(self, hidden: int | None = None) -> DiscriminatorShape:
        """Return the discriminators, likewise."""
        hidden = self.discriminator_hidden if hidden is None else hidden
        return DiscriminatorShape(hidden, self._channels.wanted, self.ends)


class SearchOptions(Section):
    """Section `search`: which architecture, how wide it is built, and how its training is repeated.

    Attributes:
        kind: `gradient` takes the most probable operations; `random` takes, to compare with, the first of `evaluations`
            random architectures of about the same size; `halving` trains random pairs of generators alone, as many as
            `candidates`, as fine-tuning does, and lets the better half go on again and again, by the recipe's
            objective: `supernet.updates` is then 0.
        proposed: so many more, which a predictor proposes after the first have been measured, compete with them.
        equal_size: largest relative difference of a random architecture's parameters, both generators together.
        hidden: channels after the encoding cell (H) of both generators; `equal` is the widest whose parameters, both
            together, are at most those of the plain CycleGAN's two (section 4.2). A limit on latency_ms, which is of
            each of both generators, makes `equal` narrower still; of a given width, it is kept by the operations, which
            are then the most probable ones within.
        discriminators: the searched ones, or the original's.
        discriminator_hidden: channels after a searched discriminator's first operation.
        spectral: spectral normalisation of the generators while they are trained anew; the plain CycleGAN's have none.
        repeats: trainings from different seeds, of which the best on the validation images is kept (section 4).
        latency_networks: whole networks that a latency table is fitted to; half as many check it.
    """

    kind: Literal["gradient", "random", "halving"] = "gradient"
    candidates: int = Field(default=16, ge=2)
    proposed: int = Field(default=0, ge=0)
    evaluations: int = Field(default=8, ge=1)
    equal_size: float = Field(default=0.05, gt=0, lt=1)
    hidden: Width | Literal["equal"] = "equal"
    discriminators: Literal["found", "original"] = "found"
    discriminator_hidden: Width = 64
    spectral: bool = False
    repeats: int = Field(default=1, ge=1)
    latency_networks: int = Field(default=16, ge=4)


def training_of(recipe: Recipe) -> SupernetOptions:
    """Section `supernet`, for the channels of the recipe's pictures."""
    trained = {"updates", "epochs"} & recipe.supernet.keys()
    untrained = {} if trained or recipe.search.get("kind") != HALVING else {"updates": 0}
    options = section(SupernetOptions, {**recipe.supernet, **untrained}, "supernet")
    options._channels = recipe.channels
    return options


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe is one for this method; BudgetError as `equal_hidden` does."""
    checks.check_cycle(recipe)
    training = training_of(recipe)
    options = section(SearchOptions, recipe.search, "search")
    checks.check_metrics(recipe)
    checks.check_limits(recipe, ("latency_ms",), "search.hidden says how large its generators are")
    checks.check_discriminators(recipe)
    checks.check_anew(recipe)
    checks.check_rivals(recipe)
    if isinstance(find(recipe.objective.metric), OfSegmentations):
        rule = "cyclegan_nas compares repeats by both directions' images, of which neither are label maps"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose fid, fd:NAME, kid, or psnr of the cycle")
    gumbel, drawing, halving = training.relaxation == "gumbel", options.kind == "random", options.kind == HALVING
    if halving and training.updates != 0:
        rule = "search.kind halving trains every candidate alone, and needs no supernet"
        raise RecipeError(rule, "a training of one", "set supernet.updates to 0")
    if training.updates == 0 and not halving:
        raise RecipeError("what is read off supernets is trained", "supernet.updates 0", "give it updates or epochs")
    needs = {
        "search.candidates": (halving, "kind halving"),
        "search.proposed": (halving, "kind halving"),
        "supernet.temperature": (gumbel, "relaxation gumbel"),
        "search.evaluations": (drawing, "kind random"),
        "search.equal_size": (drawing, "kind random"),
        "search.discriminator_hidden": (options.discriminators == "found", "searched discriminators"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit on latency_ms"),
    }
    checks.check_effects({"supernet": training, "search": options}, needs)
    if not training.temperature[0] >= training.temperature[1] > 0:
        raise RecipeError("a temperature is above 0 and does not rise", training.temperature)
    check_size(training.generator(), *recipe.size)
    check_size(training.discriminator(), *recipe.size)
    if isinstance(options.hidden, int):
        training.generator(options.hidden)
    else:
        smallest = space_of(training.generator()).smallest()
        equal_hidden(recipe, training, (smallest, smallest))


def preview(recipe: Recipe) -> Preview:
    """Return the space of one generator, at the width of the supernets or the one that is asked for."""
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
    """What is given of the supernets' training where they are not trained."""
    options = section(SearchOptions, recipe.search, "search")
    used = ("cells", "ends", *(("spectral",) if options.discriminators == "found" else ()))
    supernet = section(SupernetOptions, recipe.supernet, "supernet")
    return checks.idle(supernet, used) if options.kind == HALVING else ()


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how candidates are trained."""
    return WHOLE if section(SearchOptions, recipe.search, "search").kind == HALVING else ()


def equal_hidden(recipe: Recipe, training: SupernetOptions, pair: tuple[Genotype, Genotype]) -> int:
    """The largest hidden width of two generators within the parameters of the plain CycleGAN's; or BudgetError."""

    def params(hidden: int) -> int:
        shape = training.generator(hidden)
        return sum(cells_cost(shape, genotype, *recipe.size).params for genotype in pair)

    limit = 2 * generator_cost(**recipe.size._asdict(), **recipe.teach.generator).params
    try:
        return largest_within(params, limit, LEAST)
    except BudgetError as error:
        rule = f"two generators of cells must fit into the {limit:,} parameters of the original's"
        got = f"{params(LEAST):,} at the least"
        raise BudgetError(rule, got, "set search.hidden, or teach a wider original") from error
