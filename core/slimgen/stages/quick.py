"""Trial runs: a recipe cut down until all of it runs in about a minute.

The same rules hold for every recipe: no value is larger than that of its key in `MOST`; epochs become updates; the size
is halved until no side is above `SIDE`, as far as the networks allow, and a limit on MACs falls with it; an exhaustive
search becomes a random one; a tenth of the embedded images is drawn. Networks, spaces, losses and metrics stay: a trial
run needs the same weights and images as the full run, and shows that they work. Its figures are not results.
"""

from collections.abc import Iterator
from typing import Any

from slimgen.errors import SlimgenError
from slimgen.recipe import Recipe
from slimgen.stages.checking import check
from slimgen.stages.label import QUICK

SIDE = 64
UPDATES = 4
MOST: dict[str, float] = {
    **{"updates": UPDATES, "iterations": 1, "weight_steps": 5, "critic_steps": 5, "bar_steps": 1},
    **{"architecture_steps": 1, "batch": 2, "discriminator_batch": 2, "discriminator_steps": 1, "generator_steps": 1},
    **{"evaluations": 8, "population": 4, "elite": 1, "candidates": 2, "proposed": 0, "finalists": 2, "tune": 1},
    **{"repeats": 1, "random": 1, "share": 0.01, "calibration": 2, "latency_networks": 4, "latency_runs": 2},
    **{"images": 8, "validation": 8, "test": 8, "pictures": 2, "check_every": 2, "patience": 1},
}
"""Largest value of each key, in any section of a recipe."""
SEARCHED = ("evaluations", "population")
"""Keys of a search whose defaults are large."""


def quick(recipe: Recipe) -> Recipe:
    """Return the recipe of a trial run, marked as one; a recipe with that mark is returned unchanged.

    Raises:
        SlimgenError: as `check`, if the recipe itself is invalid.
    """
    if recipe.quick:
        return recipe
    first, *others = [_cut(recipe, halvings, given) for halvings in _halvings(recipe) for given in (SEARCHED, ())]
    for candidate in (first, *others):
        try:
            check(candidate, complete=False)
        except SlimgenError as error:
            fault = error
        else:
            return candidate
    check(recipe, complete=False)  # raises if the recipe itself is invalid
    raise fault


def _halvings(recipe: Recipe) -> Iterator[int]:
    """Return how often the size may be halved, largest number first: some networks allow fewer."""
    most = 0
    while max(recipe.size) >> most > SIDE and not any((side >> most) % 2 for side in recipe.size):
        most += 1
    yield from range(most, -1, -1)


def _cut(recipe: Recipe, halvings: int, searched: tuple[str, ...]) -> Recipe:
    values: dict[str, Any] = recipe.model_dump(mode="json", exclude_unset=True)
    _limit(values)
    values |= {"name": recipe.name.removesuffix(QUICK) + QUICK, "quick": True}
    if model := values.get("export", {}).get("model"):
        values["export"]["model"] = model + QUICK
    if halvings:
        values["size"] = [side >> halvings for side in recipe.size]
        values.get("data", {}).pop("load", None)
        if isinstance(macs := values.get("budget", {}).get("macs"), int):
            values["budget"]["macs"] = max(1, macs >> 2 * halvings)
    search = values.setdefault("search", {})
    if search.get("kind") == "exhaustive":
        search["kind"] = "random"
        search.pop("band", None)
    for key in searched:
        search.setdefault(key, MOST[key])
    for section, keys in {"data": ("validation",), "evaluate": ("latency_runs", "pictures")}.items():
        for key in keys:
            values.setdefault(section, {}).setdefault(key, MOST[key])
    values["evaluate"].setdefault("images", MOST["images"])
    return Recipe.from_values(values)


def _limit(section: dict[str, Any]) -> None:
    """Cut the values of a section, and of those inside it, to the largest ones in `MOST`."""
    if section.pop("epochs", None) is not None:
        section["updates"] = UPDATES
    for key, value in section.items():
        if isinstance(value, dict) and key not in ("generator", "discriminator", "features"):
            _limit(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and key in MOST:
            section[key] = min(value, MOST[key])
