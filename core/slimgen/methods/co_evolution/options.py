"""Co-Evolutionary Compression's sections of a recipe, and their checks."""

import json
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from slimgen.errors import RecipeError
from slimgen.methods import checks
from slimgen.methods.co_evolution.pressure import Pressure
from slimgen.methods.co_evolution.roulette import Odds, Start
from slimgen.methods.keys import Crossover, LatencyNetworks, Mutation, Proposed, Selection
from slimgen.methods.tuning import WHOLE
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import check_pieces, generator_cost
from slimgen.nets.co_evolution.groups import check_cuttable, check_family, narrowest
from slimgen.recipe import Recipe, Section, section
from slimgen.search import Space, require_reachable

EVOLUTION, MAGNITUDE, GREEDY = "evolution", "magnitude", "greedy"
RIVALS = (MAGNITUDE, GREEDY, checks.RANDOM, checks.NARROWED)
_BREEDING = (
    "population",
    "evaluations",
    "selection",
    "crossover",
    "mutation",
    "pressure",
    "start",
    "outcome",
    "together",
)
_OF_POPULATIONS = (*_BREEDING, "tuning")


class SupernetOptions(Section):
    """Section `supernet` of co-evolution: the bits that represent the filters of the original. Nothing is trained."""

    genome: Literal["layers", "authors"] = Field(
        default="layers",
        description="Masks over a ResNet's filters: `layers` gives the inner layer of each residual block a mask of "
        "its own, `authors` shares one mask between the trunk and the inner layers of all blocks, as the published "
        "code does.",
    )


class Tuning(Section):
    """Short training of each candidate, with its partner and the discriminators held fixed.

    A partner other than the whole original is tuned too, by as many updates, beside the original of the other
    direction.
    """

    updates: int = Field(default=40, ge=1, description="Updates of each candidate.")
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="In place of `updates`: the share of the training images that a candidate is trained on, once (the "
        "paper's tenth). None: `updates`.",
    )
    batch: int = Field(default=4, ge=1, description="Batch size.")
    rate: float = Field(default=2e-4, gt=0, description="Learning rate of Adam; it stays constant.")

    @model_validator(mode="after")
    def one_length(self) -> Self:
        """Require updates or a share, not both."""
        if self.share is not None and "updates" in self.model_fields_set:
            raise ValueError("'updates' and 'share' both give the length of tuning: leave one of them out")
        return self

    def steps(self, images: int) -> int:
        """Return the number of updates, given the number of training images."""
        return self.updates if self.share is None else max(1, round(self.share * images / self.batch))


class SearchOptions(Section):
    """Section `search` of co-evolution: which filters of both generators are kept."""

    kind: Literal["evolution", "magnitude", "greedy", "halving"] = Field(
        default="evolution",
        description="`evolution` is Algorithm 1. `magnitude` keeps the strongest filters of every layer, as many as "
        "the budget allows; `greedy` keeps as many, those without which the next layers lose most (ThiNet). "
        "`halving` trains random pairs by themselves and keeps the better half again and again, by the mean fitness of "
        "both directions.",
    )
    candidates: int = Field(default=16, ge=2, description="Number of random pairs at the start, for kind `halving`.")
    proposed: Proposed = 0
    population: int = Field(
        default=32, ge=2, description="Number of individuals in a generation of each direction (K)."
    )
    evaluations: int = Field(
        default=6464,
        ge=4,
        description="Number of individuals measured in both directions, in whole generations of both: 2 K (T + 1) for "
        "T further generations.",
    )
    selection: Selection = 0.2
    crossover: Crossover = 0.7
    mutation: Mutation = 0.1
    pressure: Pressure = Field(
        default="roulette",
        description="Probability of an individual as a parent: in proportion to its fitness (`roulette`, Eq. 12), or, "
        "where fitnesses differ by little, to how many deviations it is above the mean (`sigma`) or to its `rank`.",
    )
    start: Start = Field(
        default="bernoulli",
        description="First generation: every filter stays with probability 1/2 (`bernoulli`), or with one drawn for "
        "each of an individual's `layers`, so that the first individuals differ in shape.",
    )
    fitness: Literal["paper", "authors"] = Field(
        default="paper",
        description="Fitness of an individual: `paper` is Eq. 11; `authors` is their code's, 500 over the losses plus "
        "a thousandth of the number of filters removed, where an image has one discriminator score, the mean.",
    )
    loss: float = Field(
        default=10.0,
        ge=0,
        description="Weight of the losses in the fitness, relative to the share of weights that is kept (gamma of Eq. "
        "11).",
    )
    cycle: float = Field(
        default=10.0, ge=0, description="Weight of the cycle loss relative to the distance from the original (lambda)."
    )
    criterion: Literal["discriminator", "generator"] = Field(
        default="discriminator",
        description="Distance from the original's outputs: between their `discriminator` scores (Eq. 5), or between "
        "the pixels, the paper's `generator`-aware loss (Eq. 4).",
    )
    together: bool = Field(
        default=True,
        description="Measure each direction with the best individual of the other as its partner. false: with the "
        "whole original.",
    )
    outcome: Literal["last", "sum"] = Field(
        default="last",
        description="Pair that is found: the best of both `last` generations (Algorithm 1), or, of all pairs "
        "measured in both directions, the one whose `sum` over them is least (Eq. 8).",
    )
    tuning: Tuning | None = Field(
        default=Tuning(),
        description="Short training of each candidate before it is measured, and of the partner that it is measured "
        "with. null: none.",
    )
    latency_networks: LatencyNetworks = 16

    @model_validator(mode="after")
    def whole(self) -> Self:
        """Require probabilities that sum to 1, and evaluations for one generation of each direction."""
        self.odds.require_whole()
        if self.iterations < 0:
            raise ValueError(
                f"'evaluations' must be at least {2 * self.population}, for one generation of each direction"
            )
        return self

    @property
    def iterations(self) -> int:
        """Generations of each direction after the first one (T)."""
        return self.evaluations // (2 * self.population) - 1

    @property
    def odds(self) -> Odds:
        """The three probabilities."""
        return Odds(self.selection, self.crossover, self.mutation)


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe suits this method, BudgetError if one filter per layer costs too much."""
    section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    checks.check_metrics(recipe)
    checks.check_cycle(recipe)
    if not isinstance(find(recipe.objective.metric), PerImage):
        rule = "objective.metric must be a metric of single images, since co_evolution compares with the original's"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose one such as psnr, ssim or lpips")
    _check_originals(recipe)
    checks.check_rivals(recipe, RIVALS)
    narrowed = checks.NARROWED in recipe.finetune.rivals
    if narrowed and recipe.finetune.updates == 0 and recipe.teach.generator_checkpoint is not None:
        rule = "a narrowed rival gets the updates of the original and of fine-tuning together, which must be above 0"
        raise RecipeError(rule, "an imported original and finetune.updates 0", "leave narrowed out of finetune.rivals")
    checks.check_limits(recipe, checks.LIMITS)
    _check_halving(recipe, options)
    budget, family = checks.budget_of(recipe), recipe.teach.generator["family"]
    if budget.latency_ms is not None:
        check_pieces(family)
    if options.kind in (MAGNITUDE, GREEDY) and not budget.limits:
        raise RecipeError(f"search.kind {options.kind} needs a budget", "none", "set budget.params or budget.macs")
    budget = replace(budget, latency_ms=None)  # latency is measured when the search begins
    rest = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    if ":" in family:
        check_cuttable(family, json.dumps(rest), *recipe.size)
    elif budget.limits:  # for a user-defined network, the search checks this
        least = generator_cost(family, *recipe.size, **narrowest(family, rest))
        require_reachable(Space({}), lambda genotype: checks.priced(least, recipe), budget)


def _check_halving(recipe: Recipe, options: SearchOptions) -> None:
    halving = options.kind == checks.HALVING
    needs = {f"search.{name}": (not halving, "another search.kind than halving") for name in _OF_POPULATIONS}
    needs["search.latency_networks"] = (recipe.budget.latency_ms is not None, "a limit budget.latency_ms")
    if options.outcome == "sum" and not halving:
        needs["search.outcome"] = (recipe.budget.latency_ms is None, "no limit budget.latency_ms")
    needs["search.loss"] = (options.fitness == "paper", "search.fitness paper")
    needs["search.candidates"] = needs["search.proposed"] = (halving, "search.kind halving")
    checks.check_effects({"search": options}, needs)
    if halving and recipe.finetune.updates == 0:
        rule = "search.kind halving trains its candidates as the section finetune says, so that must train"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the section `search` that change nothing where filters are ranked, not searched."""
    ranked = section(SearchOptions, recipe.search, "search").kind in (MAGNITUDE, GREEDY)
    return tuple(f"search.{name}" for name in _BREEDING if name in recipe.search and ranked)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    halving = section(SearchOptions, recipe.search, "search").kind == checks.HALVING
    return (*WHOLE, "finetune.inherit") if halving else ()


def _check_originals(recipe: Recipe) -> None:
    teach = recipe.teach
    check_family(teach.generator["family"])
    networks = ("generator", "discriminator", "reverse_generator", "reverse_discriminator")
    missing = [name for name in networks if getattr(teach, f"{name}_checkpoint") is None]
    if missing and len(missing) < len(networks):
        names = ", ".join(f"teach.{name}_checkpoint" for name in missing)
        rule = "co_evolution needs all four networks imported, or none"
        raise RecipeError(rule, f"no {names}", "set the missing checkpoints")
    if recipe.finetune.updates != 0 or missing:
        checks.check_discriminators(recipe)
