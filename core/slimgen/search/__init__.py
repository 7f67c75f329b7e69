"""Search: spaces, genotypes, budgets, trials, the searchers, and the loop that runs them. Imports no torch."""

from slimgen.search.budget import Budget, Costs, Objective, cheapest, evenly, plain, require_reachable
from slimgen.search.dimension import Choice, Mask
from slimgen.search.evolution import DirectionalMutation, Evolution
from slimgen.search.explore import explore
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.searcher import Allows, Exhaustive, Feasible, RandomSearch, Searcher
from slimgen.search.space import Space
from slimgen.search.trial import Trial, best, leading, pareto

__all__ = [
    "Allows",
    "Budget",
    "Choice",
    "Costs",
    "DirectionalMutation",
    "Evolution",
    "Exhaustive",
    "Feasible",
    "Genotype",
    "Mask",
    "Objective",
    "RandomSearch",
    "Searcher",
    "Space",
    "SpaceError",
    "Trial",
    "Value",
    "best",
    "cheapest",
    "evenly",
    "explore",
    "leading",
    "pareto",
    "plain",
    "require_reachable",
]
