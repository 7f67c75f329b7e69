"""Finished generators of a run, built again with their weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from slimgen import files
from slimgen.methods import open_method
from slimgen.methods.effort import Effort
from slimgen.methods.method import REVERSE
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.weights import folded, load_weights
from slimgen.recipe import Recipe
from slimgen.run.record import read_record


def described(recipe: Recipe, finetune: Path, teach: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return how to build each generator: family, options, weights file and, with the folder `teach`, effort.

    With `teach`, the original of the reverse direction is included if it exists. A method may have no original.
    """
    networks = json.loads((finetune / files.NETWORKS).read_bytes())
    found = {name: {**about, "file": files.weights_file(name)} for name, about in networks.items()}
    if getattr(open_method(recipe.method), "ALONE", False):
        return found
    original = dict(recipe.teach.generator)
    about: dict[str, Any] = {"family": original.pop("family"), "options": original}
    if teach is not None:
        updates = int(float(str(read_record(teach)["metrics"].get("updates", 0))))
        macs = generator_cost(**recipe.size._asdict(), **recipe.teach.generator).exact
        about |= {"updates": updates, "effort": Effort.of(updates, recipe.teach.batch, macs).facts()}
    generators = {"original": {**about, "file": files.GENERATOR}}
    generators |= found
    file = files.weights_file("reverse_generator")
    if teach is not None and (teach / file).is_file():
        back = {name: generators.pop(name) for name in list(generators) if name.endswith(REVERSE)}
        generators |= {f"original{REVERSE}": {**about, "file": file}, **back}
    return generators


def is_original(name: str) -> bool:
    """Return whether a generator is an original, of either direction; its weights are those of `teach`."""
    return name.startswith("original")


def finished(generators: Mapping[str, object]) -> str | None:
    """Return the name of the generator to export: the first that is not an original; None without one."""
    return next((name for name in generators if not is_original(name)), None)


def built(about: Mapping[str, Any], weights: Path) -> nn.Module:
    """Return a generator with its weights, in evaluation mode."""
    net = build_generator(about["family"], **about["options"])
    net.load_state_dict(load_weights(weights))
    return folded(net).eval()
