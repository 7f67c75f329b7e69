"""Co-Evolutionary Compression's own sections of a recipe, and whether they make sense."""

import json
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from slimgen.errors import RecipeError
from slimgen.methods import checks
from slimgen.methods.co_evolution.roulette import Odds
from slimgen.methods.tuning import WHOLE
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import check_pieces, generator_cost
from slimgen.nets.co_evolution.groups import check_cuttable, check_family, narrowest
from slimgen.recipe import Recipe, Section, section
from slimgen.search import Space, require_reachable

_OF_POPULATIONS = ("population", "evaluations", "selection", "crossover", "mutation", "together", "tuning")


class SupernetOptions(Section):
    """Section `supernet`: the original itself, and the bits that stand for its filters.

    Attributes:
        genome: `layers` gives the inside of each residual block bits of its own; `authors` shares one mask among the
            trunk of a ResNet and the inside of all its blocks, as the published code does.
    """

    genome: Literal["layers", "authors"] = "layers"


class Tuning(Section):
    """Training of each candidate on a share of the images, once; the originals' discriminators and its partner held."""

    share: float = Field(default=0.1, gt=0, le=1)
    batch: int = Field(default=1, ge=1)
    rate: float = Field(default=2e-4, gt=0)


class SearchOptions(Section):
    """Section `search`.

    Attributes:
        kind: `evolution`; `magnitude`, which keeps the strongest filters of every layer that fit the budget; or
            `halving`, which trains random pairs within the budget, as many as `candidates`, as fine-tuning does, and
            lets the better half go on again and again, by the mean fitness of both directions.
        proposed: so many more, which a predictor proposes after the first have been measured, compete with them.
        population: individuals of each direction (K).
        evaluations: individuals measured, of both directions, whole generations of both: 2 K (T + 1).
        selection: probability that an offspring comes about in this way, as are `crossover` and `mutation`; see `Odds`.
        loss: weight of the losses beside the share of weights that stays (Eq. 11: gamma).
        cycle: weight of the cycle's loss beside the other one (lambda).
        criterion: compare with the original in the eyes of its `discriminator` (Eq. 5), or pixel by pixel, which is
            the paper's generator-aware loss (Eq. 4).
        together: measure each direction beside the best of the other; without, beside the whole original.
        tuning: train each candidate a little before it is measured.
        latency_networks: whole networks that a latency table is fitted to; half as many check it.
    """

    kind: Literal["evolution", "magnitude", "halving"] = "evolution"
    candidates: int = Field(default=16, ge=2)
    proposed: int = Field(default=0, ge=0)
    population: int = Field(default=32, ge=2)
    evaluations: int = Field(default=6464, ge=4)
    selection: float = Field(default=0.2, ge=0, le=1)
    crossover: float = Field(default=0.7, ge=0, le=1)
    mutation: float = Field(default=0.1, ge=0, le=1)
    loss: float = Field(default=10.0, ge=0)
    cycle: float = Field(default=10.0, ge=0)
    criterion: Literal["discriminator", "generator"] = "discriminator"
    together: bool = True
    tuning: Tuning | None = None
    latency_networks: int = Field(default=16, ge=4)

    @model_validator(mode="after")
    def whole(self) -> Self:
        """Return offspring come about in these three ways alone, and there is a generation of either direction."""
        if abs(sum(self.odds) - 1) > 1e-9:
            raise ValueError("selection, crossover and mutation sum to 1")
        if self.iterations < 0:
            raise ValueError(f"evaluations are at least {2 * self.population}: one generation of either direction")
        return self

    @property
    def iterations(self) -> int:
        """Generations bred of each direction after the first ones (T)."""
        return self.evaluations // (2 * self.population) - 1

    @property
    def odds(self) -> Odds:
        """The three probabilities."""
        return Odds(self.selection, self.crossover, self.mutation)


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe is one for this method, BudgetError if one filter a layer is too much."""
    section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    checks.check_metrics(recipe)
    checks.check_cycle(recipe)
    if not isinstance(find(recipe.objective.metric), PerImage):
        rule = "co_evolution compares a candidate's images with the original's one by one"
        raise RecipeError(rule, repr(recipe.objective.metric), "choose an objective such as psnr, ssim or lpips")
    _check_originals(recipe)
    checks.check_rivals(recipe)
    if recipe.finetune.rivals and recipe.finetune.updates == 0 and recipe.teach.generator_checkpoint is not None:
        rule = "a narrowed generator is trained for as many updates as the original and fine-tuning together"
        raise RecipeError(rule, "an imported original and finetune.updates 0", "leave finetune.rivals out")
    checks.check_limits(recipe, checks.LIMITS)
    _check_halving(recipe, options)
    budget, family = checks.budget_of(recipe), recipe.teach.generator["family"]
    if budget.latency_ms is not None:
        check_pieces(family)
    if options.kind == "magnitude" and not budget.limits:
        raise RecipeError("pruning by magnitude prunes to a budget", "none", "set budget.params or budget.macs")
    budget = replace(budget, latency_ms=None)  # which is measured when the search begins
    rest = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    if ":" in family:
        check_cuttable(family, json.dumps(rest), *recipe.size)
    elif budget.limits:  # of a user-defined network, the search says so
        least = generator_cost(family, *recipe.size, **narrowest(family, rest))
        require_reachable(Space({}), lambda genotype: checks.priced(least, recipe), budget)


def _check_halving(recipe: Recipe, options: SearchOptions) -> None:
    halving = options.kind == checks.HALVING
    needs = {f"search.{name}": (not halving, "another kind than halving") for name in _OF_POPULATIONS}
    needs["search.latency_networks"] = (recipe.budget.latency_ms is not None, "a limit on latency_ms")
    needs["search.candidates"] = needs["search.proposed"] = (halving, "kind halving")
    checks.check_effects({"search": options}, needs)
    if halving and recipe.finetune.updates == 0:
        rule = "candidates of search.kind halving are trained as the section finetune says"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how candidates are trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == checks.HALVING
    return (*WHOLE, "finetune.inherit") if halving else ()


def _check_originals(recipe: Recipe) -> None:
    teach = recipe.teach
    check_family(teach.generator["family"])
    networks = ("generator", "discriminator", "reverse_generator", "reverse_discriminator")
    missing = [name for name in networks if getattr(teach, f"{name}_checkpoint") is None]
    if missing and len(missing) < len(networks):
        names = ", ".join(f"teach.{name}_checkpoint" for name in missing)
        raise RecipeError("originals of co_evolution are imported all four, or none", f"no {names}")
    if recipe.finetune.updates != 0 or missing:
        checks.check_discriminators(recipe)
