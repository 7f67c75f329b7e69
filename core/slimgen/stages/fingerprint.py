"""What decides the result of a stage: sections of the recipe, inputs, files that it names, and code."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import slimgen
from slimgen.files import sha256_file
from slimgen.recipe import Recipe
from slimgen.run.record import digest
from slimgen.run.record import fingerprint as word_of
from slimgen.stages.table import Stage


def fingerprint(stage: Stage, recipe: Recipe, inputs: Mapping[str, str]) -> str:
    """One word for all that decides a stage's result, given the digests of its inputs."""
    code = {**named_files(stage, recipe), "code": code_digest(stage)}
    return word_of(stage.name, sections(stage, recipe), {**inputs, **code})


def sections(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe that a stage reads, as plain values by dotted name."""
    values = recipe.model_dump(mode="json")
    found: dict[str, Any] = {}
    for part in stage.sections:
        section, _, key = part.partition(".")
        found[part] = values[section][key] if key else values[section]
    if stage.name == "search" and recipe.budget.latency_ms is None:
        del found["evaluate.threads"]  # of candidates, nothing is timed
    return found


def named_files(stage: Stage, recipe: Recipe) -> dict[str, str]:
    """The digests of files that a recipe names by path: their content is an input like any other."""
    paths: list[object] = []
    if stage.trains and recipe.losses.perceptual:
        paths.append(recipe.losses.perceptual_network)
    if stage.name == "teach":
        teach = recipe.teach
        paths += [teach.generator_checkpoint, teach.discriminator_checkpoint]
        paths += [teach.back_generator_checkpoint, teach.back_discriminator_checkpoint]
    if "metrics" in stage.code:
        paths += [features.get("path") for features in recipe.evaluate.features.values()]
    found = [Path(path) for path in paths if isinstance(path, str)]
    module, colon, _ = str(recipe.teach.generator.get("family", "")).partition(":")
    if colon and stage.name != "prepare":
        found += user_code(module)
    return {str(path): sha256_file(path) for path in found if path.is_file()}


def user_code(module: str) -> list[Path]:
    """The files of a user-defined network: its module, or all of the package that it is in."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    files = [path for folder in spec.submodule_search_locations or () for path in Path(folder).rglob("*.py")]
    return sorted(files) or [Path(spec.origin or "")]


@cache
def code_digest(stage: Stage) -> str:
    """The digest of the code that decides a stage's result, so that edited code computes anew."""
    package = Path(slimgen.__file__).parent
    files = [package / "stages" / f"{stage.name}.py"]
    files += [path for room in stage.code for path in sorted((package / room).rglob("*.py"))]
    files += [package / room for room in stage.code if room.endswith(".py")]
    return digest({path.relative_to(package).as_posix(): sha256_file(path) for path in files})
