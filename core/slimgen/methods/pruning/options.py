"""Pruning's sections of a recipe, and their checks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.methods import checks
from slimgen.methods.co_evolution.roulette import Odds
from slimgen.methods.keys import Crossover, LatencyNetworks, Mutation, Selection
from slimgen.methods.tuning import SCHEDULE
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.groups import check_family, narrowest
from slimgen.nets.user_defined import taken
from slimgen.recipe import Recipe, Section, section
from slimgen.search import Budget, Space, require_reachable
from slimgen.tasks import traits_of
from slimgen.tasks.traits import IMAGES

MAGNITUDE, GREEDY, EVOLUTION = "magnitude", "greedy", "evolution"
RIVALS = (MAGNITUDE, checks.RANDOM, checks.NARROWED)
_OF_EVOLUTION = ("population", "evaluations", "selection", "crossover", "mutation", "tune", "criterion")


class SupernetOptions(Section):
    """Section `supernet` of pruning: what is measured of the original before the search. Nothing is trained."""

    images: int = Field(
        default=16,
        ge=1,
        description="Number of training images on which the contribution of each filter to the layers that read it is "
        "measured.",
    )
    compensate: bool = Field(
        default=True,
        description="Scale the remaining inputs of every layer by least squares, so that its output changes least "
        "(ThiNet, Eq. 7), before a pruned generator is measured or trained.",
    )
    targets: Literal["original", "data"] = Field(
        default="original",
        description="What pruned generators should return, in the search and in training: the `original`'s outputs, "
        "or the targets of the `data`, which must then have pairs.",
    )
    distill: float = Field(
        default=0.0,
        ge=0,
        description="Weight of a term of the training by which every layer that lost filters imitates the same filters "
        "of the original's layer: squared differences, relative to the mean square. 0: none.",
    )


class SearchOptions(Section):
    """Section `search` of pruning: which filters of the original are kept."""

    kind: Literal["evolution", "greedy", "magnitude"] = Field(
        default="evolution",
        description="`magnitude` keeps the strongest filters of every layer, as many as the budget allows. `greedy` "
        "removes, one after the other, the filters whose loss changes the layers that read them least (ThiNet). "
        "`evolution` begins with both, and with random changes of them, and breeds masks over all filters.",
    )
    criterion: Literal["pixels", "features", "discriminator"] = Field(
        default="pixels",
        description="Distance from the targets by which candidates are ranked: mean squares of `pixels`, or of "
        "`features` in `losses.perceptual_network`, or of the original's `discriminator` scores.",
    )
    population: int = Field(default=16, ge=2, description="Number of individuals in a generation.")
    evaluations: int = Field(default=320, ge=2, description="Largest number of individuals that are measured.")
    selection: Selection = 0.2
    crossover: Crossover = 0.6
    mutation: Mutation = 0.2
    tune: int = Field(default=0, ge=0, description="Updates by which each candidate is trained before it is measured.")
    latency_networks: LatencyNetworks = 16

    @model_validator(mode="after")
    def whole(self) -> Self:
        """Require probabilities that sum to 1, and evaluations for one generation."""
        self.odds.require_whole()
        if self.kind == EVOLUTION and self.evaluations < self.population:
            raise ValueError(f"'evaluations' must be at least {self.population}, for one generation")
        return self

    @property
    def odds(self) -> Odds:
        """The three probabilities."""
        return Odds(self.selection, self.crossover, self.mutation)


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe suits this method, BudgetError if one filter per layer costs too much."""
    options = section(SearchOptions, recipe.search, "search")
    targets = section(SupernetOptions, recipe.supernet, "supernet").targets
    traits = traits_of(recipe)
    if traits.given != IMAGES:
        rule = "pruning needs a generator that takes images"
        raise RecipeError(rule, f"the task {recipe.task}, whose generators take {traits.given}")
    if traits.single and "validation" not in recipe.data.model_fields_set:
        rule = "single pictures must be divided to prune a generator"
        raise RecipeError(rule, "no data.validation", "set it to the number of pictures for the search")
    if targets == "data" and not traits.pairs:
        rule = "supernet.targets data needs pairs"
        raise RecipeError(rule, f"the task {recipe.task}", "set it to original")
    if traits.single and not recipe.evaluate.metrics:
        raise RecipeError("evaluate.metrics must name at least one metric", "none", "name some, such as [psnr, ssim]")
    checks.check_metrics(recipe)
    if not isinstance(find(recipe.objective.metric), PerImage):
        rule = "objective.metric must be a metric of single images, since pruning compares with the original's"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose one such as psnr, ssim or lpips")
    checks.check_rivals(recipe, RIVALS)
    checks.check_limits(recipe, checks.LIMITS)
    _check_losses(recipe, options)
    evolving = options.kind == EVOLUTION
    needs = {f"search.{name}": (evolving, "search.kind evolution") for name in _OF_EVOLUTION}
    needs["search.latency_networks"] = (recipe.budget.latency_ms is not None, "a limit budget.latency_ms")
    checks.check_effects({"search": options}, needs)
    _check_budget(recipe)


def _check_losses(recipe: Recipe, options: SearchOptions) -> None:
    """Raise RecipeError where a loss or the criterion needs a network that the recipe does not have."""
    losses = recipe.losses
    without = checks.imported_alone(recipe) or traits_of(recipe).single
    if without and losses.adversarial:
        rule = "without a discriminator, losses.adversarial must be 0"
        raise RecipeError(rule, f"{losses.adversarial:g}", "set it to 0, or import teach.discriminator_checkpoint too")
    if without and losses.perceptual and losses.perceptual_network == "discriminator":
        rule = "without a discriminator, losses.perceptual_network must be vgg16 or a TorchScript file"
        raise RecipeError(rule, "'discriminator'", "name one, or set losses.perceptual to 0")
    if without and options.criterion == "discriminator":
        rule = "search.criterion discriminator needs the original's discriminator"
        raise RecipeError(rule, "a generator imported alone", "choose pixels or features")
    if options.criterion == "features" and (not losses.perceptual or losses.perceptual_network == "discriminator"):
        rule = "search.criterion features compares by losses.perceptual_network, which must be named and used"
        got = f"losses.perceptual {losses.perceptual:g} and the network {losses.perceptual_network!r}"
        raise RecipeError(rule, got, "set losses.perceptual above 0, and the network to vgg16 or a TorchScript file")
    if recipe.finetune.updates != 0 and not (losses.recon or losses.perceptual):
        rule = "pruning trains by distillation: losses.recon or losses.perceptual must be above 0"
        raise RecipeError(rule, "0 for both", "give one a weight")


def _check_budget(recipe: Recipe) -> None:
    """Raise RecipeError without a limit, and BudgetError where one filter in every layer exceeds it."""
    budget, about = checks.budget_of(recipe), recipe.teach.generator
    check_family(about["family"])
    if not budget.limits:
        rule = "pruning needs a budget"
        raise RecipeError(rule, "none", "set budget.macs, budget.params, budget.bytes or budget.latency_ms")
    budget = replace(budget, latency_ms=None)  # latency is measured when the search begins
    require_within(recipe, budget)


def require_within(recipe: Recipe, budget: Budget) -> None:
    """Raise BudgetError, with the smallest cost, unless one filter in every layer that can be cut is in the budget."""
    least = smallest(json.dumps(recipe.teach.generator), *recipe.size)
    require_reachable(Space({}), lambda genotype: checks.priced(least, recipe), budget)


@cache
def smallest(generator: str, height: int, width: int) -> Cost:
    """Return the cost of a generator with one filter in every layer that can be cut; family and options are JSON.

    Raises:
        SlimgenError: nothing of it can be cut.
    """
    about = json.loads(generator)
    family, options = about.pop("family"), about
    if ":" not in family:
        return generator_cost(family, height, width, **narrowest(family, options))
    net = build_generator(family, **options).eval()
    example = torch.zeros(1, taken(net, family, options), height, width)
    filters = FilterSpace(net, example, family=family, options=options)
    return filters.cost(filters.space.smallest(), height, width)


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    return SCHEDULE if section(SearchOptions, recipe.search, "search").tune else ()


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the section `supernet` that change nothing."""
    options = section(SupernetOptions, recipe.supernet, "supernet")
    searched: Mapping[str, object] = {"kind": section(SearchOptions, recipe.search, "search").kind}
    used = options.compensate or searched["kind"] != MAGNITUDE
    return ("supernet.images",) if "images" in recipe.supernet and not used else ()
