"""Environments of their own, in which converters run: made once in the user's cache, and slimgen's is left alone."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from slimgen.errors import ExportError, reason
from slimgen.export.converting.targets import Target
from slimgen.files import write_json
from slimgen.run.lock import Lock

VENV, MADE = "venv", "made.json"
"""In an environment's folder: the environment, and what was installed, which is written last; without it, all is made
again."""
Say = Callable[[str], None]


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all environments, in the user's cache."""
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(home) / "slimgen" / "environments"


def place(target: Target, base: str, root: Path) -> Path:
    """Return the folder of a target's environment within `root`, named by its packages and Python's version `base`."""
    said = "\n".join([base, *target.packages, "", *target.alone])
    return root / f"{target.name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def python_in(folder: Path) -> Path:
    """Return the Python of the environment in a folder."""
    return folder / VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def commands(target: Target, folder: Path, python: str) -> list[list[str]]:
    """Return the command lines that make a target's environment, in order; `python` makes it."""
    install = [str(python_in(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    made = [[python, "-m", "venv", "--clear", str(folder / VENV)], [*install, *target.packages]]
    return [*made, [*install, "--no-deps", *target.alone]] if target.alone else made


def conversion(python: Path, target: Target, job: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line of a conversion, and the variables that it sets."""
    return [str(python), "-m", f"converters.{target.name}", str(job)], {"PYTHONPATH": str(Path(__file__).parent)}


def ready(target: Target, python: Path | None, say: Say, root: Path | None = None) -> Path:
    """Return the Python in which a target's converter runs.

    Args:
        target: the runtime.
        python: of an environment that the user made; None makes one, if it is not there yet.
        say: told what is installed, before it is.
        root: the folder of all environments; by default in the user's cache.

    Raises:
        ExportError: that Python lacks a module, or pip could not install a package.
    """
    if python is not None:
        return _checked(target, python)
    folder = place(target, ".".join(map(str, sys.version_info[:2])), root or cache())
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    lock.acquire()
    try:
        if not (folder / MADE).is_file():
            _make(target, folder, say)
    finally:
        lock.release()
    return python_in(folder)


def _make(target: Target, folder: Path, say: Say) -> None:
    packages = [*target.packages, *target.alone]
    say(f"installing {', '.join(packages)} into {folder}, once (about {target.gigabytes:g} GB)")
    for command in commands(target, folder, sys.executable):
        ended = subprocess.run(command, capture_output=True, text=True, env=without_own())
        if ended.returncode:
            said = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
            wrong = next((line for line in said if line.upper().startswith("ERROR")), said[-1] if said else "no reason")
            hint = f"install {' '.join(packages)} yourself, and name that environment's Python with --python"
            raise ExportError(f"pip must install the converter to {target.title}", wrong[:300], hint)
    write_json(folder / MADE, {"packages": packages})


def _checked(target: Target, python: Path) -> Path:
    """Return a Python of the user's after looking for the converter's modules in it."""
    rule = f"the Python of --python must have {', '.join(target.modules)}"
    hint = f"in that environment: pip install {' '.join([*target.packages, *target.alone])}"
    look = f"import importlib.util as u; print(*[m for m in {target.modules!r} if u.find_spec(m) is None])"
    try:
        ended = subprocess.run(
            [str(python), "-c", look], capture_output=True, text=True, timeout=120, env=without_own()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError(rule, reason(error), hint) from error
    missing = ended.stdout.split()
    if ended.returncode or missing:
        raise ExportError(rule, f"{python} without {', '.join(missing)}" if missing else f"{python}, which fails", hint)
    return Path(os.path.abspath(python))  # a symbolic link of an environment must not be resolved


def without_own() -> dict[str, str]:
    """Return the environment variables without those that would bring in slimgen's own packages."""
    own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in own}
