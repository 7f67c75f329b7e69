"""The seven stages: recipe and folders in, a folder out. `run` does them all, and `preview` says what it would do.

`stages.teach(recipe, prepare=..., out=...)` and its like are `perform` of a stage of that name; which folders each
reads is in `slimgen.stages.table`, for which torch need not be imported.
"""

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from slimgen.stages.table import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimgen.stages.preview import preview
    from slimgen.stages.run import run
    from slimgen.stages.work import Metrics

    prepare: Callable[..., Metrics]
    teach: Callable[..., Metrics]
    supernet: Callable[..., Metrics]
    search: Callable[..., Metrics]
    finetune: Callable[..., Metrics]
    evaluate: Callable[..., Metrics]
    export: Callable[..., Metrics]

__all__ = ["evaluate", "export", "finetune", "prepare", "preview", "run", "search", "supernet", "teach"]


def __getattr__(name: str) -> object:
    """The functions, whose modules, and torch with them, are imported when one is asked for."""
    if name in ("preview", "run"):
        return getattr(import_module(f"{__name__}.{name}"), name)
    if name in STAGES:
        from slimgen.stages.perform import perform

        return partial(perform, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Stages(ModuleType):
    """This package, where `teach` is the function, although importing `slimgen.stages.teach` would make it a module."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Stages
