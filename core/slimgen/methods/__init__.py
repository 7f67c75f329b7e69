"""Methods: each trains a supernet, searches it and turns the result into a generator.

A method is a module, listed here or named by a recipe, with `check(recipe)`, `supernet(job)`, `search(job)` and
`finetune(job)`; see `slimgen.methods.method`.
"""

from typing import TYPE_CHECKING, cast

from slimgen.errors import RecipeError
from slimgen.imports import named

if TYPE_CHECKING:
    from slimgen.methods.method import Method

METHODS = {
    "cf_gan": "slimgen.methods.cf_gan",
    "gan_compression": "slimgen.methods.gan_compression",
    "co_evolution": "slimgen.methods.co_evolution",
    "cyclegan_nas": "slimgen.methods.cyclegan_nas",
    "alphagan": "slimgen.methods.alphagan",
    "adopted": "slimgen.methods.adopted",
}
"""Name to module; a module is imported only when a recipe asks for it."""
OFFERED = ("check", "supernet", "search", "finetune")
"""The functions of every method."""


def open_method(name: str) -> "Method":
    """Return a method by name, or a user-defined one by `package.module`.

    Raises:
        RecipeError: no such method, or one of the functions `OFFERED` is missing.
    """
    found = named("method", name, METHODS)
    if missing := [part for part in OFFERED if not callable(getattr(found, part, None))]:
        rule = f"a method must be a module with the functions {', '.join(OFFERED)}"
        raise RecipeError(rule, f"{name!r} without {', '.join(missing)}")
    return cast("Method", found)
