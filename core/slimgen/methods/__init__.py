"""Methods: each trains a supernet, searches it and turns the result into a generator.

A method is a module, listed here or named by a recipe, with `check(recipe)`, `supernet(job)`, `search(job)` and
`finetune(job)`; see `slimgen.methods.method`.
"""

from typing import TYPE_CHECKING, cast

from slimgen.errors import RecipeError, nearest
from slimgen.imports import named

if TYPE_CHECKING:
    from slimgen.methods.method import Method
    from slimgen.recipe.keys import Key

METHODS = {
    "cf_gan": "slimgen.methods.cf_gan",
    "gan_compression": "slimgen.methods.gan_compression",
    "co_evolution": "slimgen.methods.co_evolution",
    "cyclegan_nas": "slimgen.methods.cyclegan_nas",
    "alphagan": "slimgen.methods.alphagan",
    "pruning": "slimgen.methods.pruning",
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


def keys_named(name: str | None = None) -> "list[Key]":
    """Return the keys of every recipe, or those that a method or a family of networks adds.

    Args:
        name: the name of a method, with the sections `supernet` and `search`, of a family, with its options in
            `teach.generator` or `teach.discriminator`, or of both; an import path for a user-defined one.

    Raises:
        RecipeError: neither a method nor a family has that name.
    """
    from slimgen.nets import DISCRIMINATOR, DISCRIMINATORS, GENERATOR, GENERATORS, keys_of_network
    from slimgen.recipe.keys import keys_of, shared_keys

    if name is None:
        return shared_keys()
    found: list[Key] = []
    imported = "." in name or ":" in name
    if name in METHODS or (imported and ":" not in name):
        models = getattr(open_method(name), "SECTIONS", {})
        found += [key for section, model in models.items() for key in keys_of(model, f"{section}.")]
    families = {GENERATOR: GENERATORS, DISCRIMINATOR: DISCRIMINATORS}
    for noun, known in families.items():
        if name in known or (":" in name and noun == GENERATOR):
            found += keys_of_network(noun, name, f"teach.{noun}.")
    if not found and name not in METHODS:
        every = sorted({*METHODS, *GENERATORS, *DISCRIMINATORS})
        raise RecipeError("--keys must name a method or a family of networks", repr(name), nearest(name, every))
    return found
