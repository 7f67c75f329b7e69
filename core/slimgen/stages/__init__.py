"""The seven stages: recipe and folders in, a folder out. `run` runs them all, and `preview` shows the plan.

`stages.teach(recipe, prepare=..., out=...)` and the other stages' functions are `perform` with the stage's name. The
folders that each stage reads are in `slimgen.stages.table`, which does not import torch.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from slimgen.stages.table import STAGES

if TYPE_CHECKING:
    from slimgen.stages.outlook import preview
    from slimgen.stages.perform import run

__all__ = ["evaluate", "export", "finetune", "prepare", "preview", "run", "search", "supernet", "teach"]


def __getattr__(name: str) -> Callable[..., Any]:
    """Return a function of this package; import its module, and torch with it, only now."""
    if name == "preview":
        from slimgen.stages import outlook

        return outlook.preview
    if name == "run" or name in STAGES:
        from slimgen.stages import perform

        return perform.run if name == "run" else partial(perform.perform, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
