"""Searching: spaces, genotypes, budgets, trials, the searchers, and the loop that explores. No torch in here."""

from slimgen.search.budget import Budget, Costs, Objective, cheapest, require_reachable
from slimgen.search.dimension import Choice, Dimension, Mask
from slimgen.search.direction import DirectionalMutation, ReplacementGains
from slimgen.search.evolution import Evolution, select_elite
from slimgen.search.explore import Evaluate, explore
from slimgen.search.feasible import Allows, Feasible
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.searcher import Exhaustive, RandomSearch, Searcher, Selective, Told
from slimgen.search.space import Space
from slimgen.search.trial import Trial, best, pareto

__all__ = [
    "Allows",
    "Budget",
    "Choice",
    "Costs",
    "Dimension",
    "DirectionalMutation",
    "Evaluate",
    "Evolution",
    "Exhaustive",
    "Feasible",
    "Genotype",
    "Mask",
    "Objective",
    "RandomSearch",
    "ReplacementGains",
    "Searcher",
    "Selective",
    "Space",
    "SpaceError",
    "Told",
    "Trial",
    "Value",
    "best",
    "cheapest",
    "explore",
    "pareto",
    "require_reachable",
    "select_elite",
]
