"""Methods: how a supernet is trained, searched and made into a generator. Each is one module, named here.

A method's module offers `supernet(job)`, `search(job)` and `finetune(job)`; see `slimgen.methods.method`.
"""

import importlib
from typing import TYPE_CHECKING, cast

from slimgen.errors import RecipeError, nearest

if TYPE_CHECKING:
    from slimgen.methods.method import Method

METHODS = {
    "cf_gan": "slimgen.methods.cf_gan",
    "gan_compression": "slimgen.methods.gan_compression",
    "co_evolution": "slimgen.methods.co_evolution",
    "cyclegan_nas": "slimgen.methods.cyclegan_nas",
    "alphagan": "slimgen.methods.alphagan",
}
"""Name to module, which is imported only when a recipe asks for it."""


def open_method(name: str) -> "Method":
    """A method by name.

    Raises:
        RecipeError: an unknown method.
    """
    if name not in METHODS:
        raise RecipeError("a recipe names a method that slimgen knows", repr(name), nearest(name, METHODS))
    return cast("Method", importlib.import_module(METHODS[name]))
