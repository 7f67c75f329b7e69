"""CycleGANAS's own sections of a recipe, and whether they make sense."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from slimgen.cost.rows import largest_within
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.method import Preview
from slimgen.methods.rivals import check_rivals
from slimgen.methods.trials import priced
from slimgen.metrics.evaluator import goal
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, cells_cost, check_size, space_of
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import Genotype
from slimgen.tasks import traits_of
from slimgen.tasks.translation import CHANNELS

LEAST = 4
"""The narrowest generator of cells, after its encoding cell."""


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

    decay: float = Field(default=0.0, ge=0, le=1)
    optimisation: Literal["OF", "TF", "TH", "THS"] = "OF"
    relaxation: Literal["softmax", "gumbel"] = "softmax"
    temperature: tuple[float, float] = (5.0, 0.1)
    spread: float = Field(default=1e-3, ge=0)
    architecture_rate: float | None = Field(default=None, gt=0)
    hidden: int = Field(default=64, ge=LEAST)
    discriminator_hidden: int = Field(default=16, ge=1)
    cells: int = Field(default=11, ge=2)
    ends: bool = False
    spectral: bool = True

    def generator(self, hidden: int | None = None) -> GeneratorShape:
        """The generators of the search, or of another hidden width."""
        return GeneratorShape(self.hidden if hidden is None else hidden, self.cells, CHANNELS, CHANNELS, self.ends)

    def discriminator(self, hidden: int | None = None) -> DiscriminatorShape:
        """The discriminators, likewise."""
        return DiscriminatorShape(self.discriminator_hidden if hidden is None else hidden, CHANNELS, self.ends)


class SearchOptions(Section):
    """Section `search`: which architecture, how wide it is built, and how its training is repeated.

    Attributes:
        kind: `gradient` takes the most probable operations; `random` takes, to compare with, the first of `evaluations`
            random architectures of about the same size.
        evaluations: how many are drawn.
        equal_size: largest relative difference of a random architecture's parameters, both generators together.
        hidden: channels after the encoding cell (H) of both generators; `equal` is the widest whose parameters, both
            together, are at most those of the plain CycleGAN's two (section 4.2).
        discriminators: the searched ones, or the original's.
        discriminator_hidden: channels after a searched discriminator's first operation.
        spectral: spectral normalisation of the generators while they are trained anew; the plain CycleGAN's have none.
        repeats: trainings from different seeds, of which the best on the validation images is kept (section 4).
    """

    kind: Literal["gradient", "random"] = "gradient"
    evaluations: int = Field(default=8, ge=1)
    equal_size: float = Field(default=0.05, gt=0, lt=1)
    hidden: int | Literal["equal"] = "equal"
    discriminators: Literal["found", "original"] = "found"
    discriminator_hidden: int = Field(default=64, ge=1)
    spectral: bool = False
    repeats: int = Field(default=1, ge=1)


def check(recipe: Recipe) -> None:
    """Raises RecipeError unless the recipe is one for this method.

    Raises:
        BudgetError: even the narrowest generators of cells are larger than the plain CycleGAN's, and are to be equal.
    """
    if traits_of(recipe).directions != 2:
        rule = "cyclegan_nas searches the networks of a CycleGAN, of two sets of images"
        raise RecipeError(rule, f"the task {recipe.task}")
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        goal(metric)
    if isinstance(find(recipe.objective.metric), OfSegmentations):
        rule = "cyclegan_nas compares repeats by both directions' images, of which neither are label maps"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose fid, fd:NAME, kid, or psnr of the cycle")
    if not recipe.losses.adversarial:
        raise RecipeError("CycleGAN is trained by its discriminators", "losses.adversarial 0", "give it a weight")
    if named := [
        name for name in ("macs", "params", "bytes", "latency_ms") if getattr(recipe.budget, name) is not None
    ]:
        rule = "cyclegan_nas searches without a budget; search.hidden says how large its generators are"
        raise RecipeError(rule, f"budget.{named[0]}", "leave it out")
    _check_effects(training, options)
    _check_finetune(recipe)
    check_size(training.generator(), recipe.size, recipe.size)
    check_size(training.discriminator(), recipe.size, recipe.size)
    if isinstance(options.hidden, int):
        training.generator(options.hidden)
    else:
        smallest = space_of(training.generator()).smallest()
        equal_hidden(recipe, training, (smallest, smallest))


def preview(recipe: Recipe) -> Preview:
    """The space of one generator, at the width of the supernets or the one that is asked for."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    shape = training.generator(options.hidden if isinstance(options.hidden, int) else None)

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(cells_cost(shape, genotype, recipe.size, recipe.size), recipe)

    drawn = options.evaluations if options.kind == "random" else 0
    return Preview(space_of(shape), costs, 1 + drawn, training.steps, training.batch)


def _check_effects(training: SupernetOptions, options: SearchOptions) -> None:
    """Raises RecipeError for a setting that the others leave without effect."""
    gumbel, drawing = training.relaxation == "gumbel", options.kind == "random"
    if "temperature" in training.model_fields_set and not gumbel:
        raise RecipeError("supernet.temperature needs relaxation gumbel", training.temperature, "leave it out")
    if not training.temperature[0] >= training.temperature[1] > 0:
        raise RecipeError("a temperature is above 0 and does not rise", training.temperature)
    for name in ("evaluations", "equal_size"):
        if name in options.model_fields_set and not drawing:
            raise RecipeError(f"search.{name} needs kind random", getattr(options, name), "leave it out")
    if "discriminator_hidden" in options.model_fields_set and options.discriminators == "original":
        rule = "search.discriminator_hidden needs searched discriminators"
        raise RecipeError(rule, options.discriminator_hidden, "leave it out")


def _check_finetune(recipe: Recipe) -> None:
    schedule = recipe.finetune
    if schedule.updates == 0:
        raise RecipeError("what cyclegan_nas finds is trained anew", "finetune.updates 0", "give it updates or epochs")
    if schedule.inherit and "inherit" in schedule.model_fields_set:
        rule = "what cyclegan_nas finds is of another width than its supernets, and is trained anew"
        raise RecipeError(rule, "finetune.inherit true", "leave it out")
    if schedule.generator_steps != 1:
        rule = "both generators and both discriminators take turns"
        raise RecipeError(rule, f"finetune.generator_steps {schedule.generator_steps}", "leave it out")
    check_rivals(recipe)


def equal_hidden(recipe: Recipe, training: SupernetOptions, pair: tuple[Genotype, Genotype]) -> int:
    """The largest hidden width at which two generators have at most the parameters of the plain CycleGAN's two.

    Raises:
        BudgetError: even the narrowest have more.
    """

    def params(hidden: int) -> int:
        shape = training.generator(hidden)
        return sum(cells_cost(shape, genotype, recipe.size, recipe.size).params for genotype in pair)

    limit = 2 * generator_cost(height=recipe.size, width=recipe.size, **recipe.teach.generator).params
    try:
        return largest_within(params, limit, LEAST)
    except BudgetError as error:
        rule = f"two generators of cells must fit into the {limit:,} parameters of the original's"
        got = f"{params(LEAST):,} at the least"
        raise BudgetError(rule, got, "set search.hidden, or teach a wider original") from error
