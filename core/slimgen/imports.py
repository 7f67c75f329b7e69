"""What a name in a recipe stands for: registries and users name code by its import path."""

import importlib
from collections.abc import Mapping

from slimgen.errors import RecipeError, nearest


def named(noun: str, name: str, registry: Mapping[str, str]) -> object:
    """What a name stands for: a key of a registry of import paths, or an import path of user-defined code.

    Raises:
        RecipeError: neither a known name nor an import path, or as `load`; the noun says what it should be.
    """
    if name not in registry and ":" not in name and "." not in name:
        raise RecipeError(f"a recipe names a {noun} that slimgen knows", repr(name), nearest(name, registry))
    return load(noun, registry.get(name, name))


def load(noun: str, path: str) -> object:
    """The module at `package.module`, or what it calls `Name` at `package.module:Name`, imported and run.

    A user's module must be where Python finds it: installed, or on PYTHONPATH.

    Raises:
        RecipeError: there is no such module or name, or the module fails.
    """
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        return getattr(found, name) if name else found
    except (ImportError, AttributeError, ValueError) as error:
        rule = f"a user-defined {noun} must be named package.module:Name"
        hint = "install its package, or set PYTHONPATH to the folder that it is in"
        raise RecipeError(rule, f"{path!r} ({error})", hint) from error
    except Exception as error:  # whatever a user's module raises, beginning with what cannot be parsed
        raise RecipeError(f"{module!r} must be a module that Python can import", repr(error)) from error
