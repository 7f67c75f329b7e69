"""slimgen: search, compress, measure and export the generators of GANs.

Everything that a notebook needs is here, and imported when it is first used: `import slimgen` alone imports no torch.

A search that trains nothing, over what networks cost:

    from pathlib import Path
    import slimgen

    space = slimgen.Space({f"c{n}": slimgen.Choice((16, 24, 32, 48)) for n in range(8)})
    budget = slimgen.Budget(macs=4e9)

    def costs(genotype):
        widths = tuple(genotype.values())
        return slimgen.generator_cost("mobile_resnet", 256, 256, config=widths).as_dict("exact")

    def measured(genotypes):
        return [slimgen.Trial(one, costs(one), {"width": sum(one.values())}) for one in genotypes]

    objective = slimgen.Objective("width", "max")
    evolution = slimgen.Evolution(
        space, objective, lambda one: budget.allows(costs(one)), population=20, elite=5, rate=0.3
    )
    trials = slimgen.explore(evolution, measured, log=Path("search.jsonl"), seed=0, step="widths", evaluations=200)
    print(slimgen.best(trials, objective))

A whole run, on pictures that slimgen draws itself:

    done = slimgen.run("townhouses-cf_gan")
    print(done.metrics["found.psnr"], done.genotype, done.onnx)
    images = done.generator()(inputs)  # a torch.nn.Module
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimgen.api import Run, open_run, run
    from slimgen.errors import SlimgenError
    from slimgen.export.onnx import export_onnx
    from slimgen.nets import build_discriminator, build_generator, generator_cost
    from slimgen.recipe import Recipe, load, presets
    from slimgen.search import (
        Budget,
        Choice,
        DirectionalMutation,
        Evolution,
        Exhaustive,
        Genotype,
        Mask,
        Objective,
        RandomSearch,
        Searcher,
        Space,
        Trial,
        best,
        explore,
        pareto,
    )

__version__ = "0.2.0"

__all__ = [
    "Budget",
    "Choice",
    "DirectionalMutation",
    "Evolution",
    "Exhaustive",
    "Genotype",
    "Mask",
    "Objective",
    "RandomSearch",
    "Recipe",
    "Run",
    "Searcher",
    "SlimgenError",
    "Space",
    "Trial",
    "best",
    "build_discriminator",
    "build_generator",
    "explore",
    "export_onnx",
    "generator_cost",
    "load",
    "open_run",
    "pareto",
    "presets",
    "run",
]

_ELSEWHERE = {
    **dict.fromkeys(("Run", "open_run", "run"), "slimgen.api"),
    **dict.fromkeys(("Recipe", "load", "presets"), "slimgen.recipe"),
    **dict.fromkeys(("build_discriminator", "build_generator", "generator_cost"), "slimgen.nets"),
    "SlimgenError": "slimgen.errors",
    "export_onnx": "slimgen.export.onnx",
}
"""The modules of names that are not those of `slimgen.search`."""


def __getattr__(name: str) -> Any:
    """A name of `__all__`, whose module is imported now."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "slimgen.search")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The package, of which `run` is the function, though a folder of modules has that name, too."""

    @property
    def run(self) -> Any:
        """`slimgen.api.run`."""
        return __getattr__("run")

    @run.setter
    def run(self, folder: ModuleType) -> None:
        """What the import of the folder's modules would put in the function's place."""


sys.modules[__name__].__class__ = _Package
