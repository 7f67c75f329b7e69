"""Methods: how a supernet is trained, searched and made into a generator. Each is a module, named here or in a recipe.

A method's module offers `supernet(job)`, `search(job)` and `finetune(job)`; see `slimgen.methods.method`.
"""

from typing import TYPE_CHECKING, cast

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
"""Name to module, which is imported only when a recipe asks for it."""


def open_method(name: str) -> "Method":
    """A method by name, or a user-defined one by `package.module`; raises RecipeError where that cannot be found."""
    return cast("Method", named("method", name, METHODS))
