"""Code behind the names in a recipe: registries and users name it by its import path."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType

from slimgen.errors import RecipeError, SlimgenError, nearest, reason


def named(noun: str, name: str, registry: Mapping[str, str]) -> object:
    """Load the code with a name: a key of a registry of import paths, or an import path of user-defined code.

    Raises:
        RecipeError: neither a known name nor an import path, or as `load`. `noun` is the kind of code in its message.
    """
    if name not in registry and ":" not in name and "." not in name:
        raise RecipeError(f"unknown {noun}", repr(name), nearest(name, registry))
    return load(noun, registry.get(name, name))


def load(noun: str, path: str) -> object:
    """Import the module at `package.module`, or the object `Name` of it at `package.module:Name`.

    A user's module must be installed, on PYTHONPATH, or a file: `folder/module.py`.

    Raises:
        RecipeError: there is no such module or name, or importing the module fails.
    """
    module, _, name = path.partition(":")
    try:
        with staying(module):
            found = _file(module) if module.endswith(".py") else importlib.import_module(module)
        if name and not hasattr(found, name):
            own = _own(found)
            raise RecipeError(f"{module!r} has no {name!r}", None, nearest(name, own) if own else None)
        return getattr(found, name) if name else found
    except SlimgenError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        rule = f"a user-defined {noun} must be named package.module:Name, or file.py:Name"
        hint = "install its package, or set PYTHONPATH to its folder"
        raise RecipeError(rule, f"{path!r} ({reason(error)})", hint) from error
    except SystemExit as error:
        raise RecipeError(
            f"{module!r} must be a module that Python can import", f"it calls sys.exit({error})"
        ) from error
    except Exception as error:  # a user's module may raise anything, even a SyntaxError
        raise RecipeError(f"{module!r} must be a module that Python can import", repr(error)) from error


@contextmanager
def staying(what: str) -> Iterator[None]:
    """Run a user's code, and raise RecipeError where it left the working folder, which relative paths start from.

    What is relative to that, such as the data, would be missing later, and seem to be at fault.
    """
    before = _here()
    try:
        yield
    finally:
        after = _here()
        if after != before and before is not None:
            os.chdir(before)
    if after != before and before is not None:
        hint = "let it open its files by absolute paths, such as Path(__file__).parent / name"
        raise RecipeError(f"{what!r} must not change the working folder", f"os.chdir to {after}", hint)


def _here() -> str | None:
    """Return the working folder; None where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _own(module: ModuleType) -> list[str]:
    """Return the public names that a module defines, without what it imports."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    elsewhere = {
        name
        for name, value in public.items()
        if isinstance(value, ModuleType)
        or (isinstance(value, type | FunctionType) and value.__module__ != module.__name__)
    }
    return [name for name in public if name not in elsewhere]


def _file(path: str) -> ModuleType:
    """Import a module by its file, once per process like any other module."""
    place = Path(path).resolve()
    known = f"{place.stem}@{place}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, place)
    if spec is None or spec.loader is None or not place.is_file():
        raise ImportError(f"no file {place}")
    module = sys.modules[known] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    return module
