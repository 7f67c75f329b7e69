"""Fingerprint of a stage: recipe sections, inputs, the recipe's files, and code."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slimgen.errors import DataError, RunError
from slimgen.files import NETWORKS, is_file, read_json, sha256_file, sha256_once
from slimgen.methods import open_method
from slimgen.methods.checks import NARROWED_LATENCY
from slimgen.recipe import Recipe
from slimgen.run.record import digest, digest_folder, read_record, require_sound, require_whole
from slimgen.run.record import fingerprint as word_of
from slimgen.stages.code import code, digest_code
from slimgen.stages.table import DATA, Stage, measuring

UNDECIDED = (("compute", "checkpoint_seconds"), ("compute", "pictures_every"), ("data", "licence"))
"""Keys of sections that no result depends on."""

LATER: dict[str, dict[str, object]] = {
    "data": {"fit": None, "range": None, "scale": 1},
    "finetune": {"repeats": 1},
    "teach": dict.fromkeys(
        ("generator_key", "discriminator_key", "reverse_generator_key", "reverse_discriminator_key")
    ),
}
"""Keys that were added to recipes, with their defaults, which are left out so that older results stay finished."""


def fingerprint(stage: Stage, recipe: Recipe, inputs: Mapping[str, str], folders: Mapping[str, Path]) -> str:
    """Return one digest of all that decides a stage's result, given the digests and places of its inputs."""
    stage = _of_recipe(stage, recipe)
    used = set(texts(_read(stage, recipe)))
    used |= {f"{text.partition(':')[0]}:<name>" for text in used if ":" in text}  # metrics of a named network
    if "finetune" in folders:
        networks = read_json(folders["finetune"] / NETWORKS)
        used |= {str(about["family"]) for about in networks.values()} if isinstance(networks, dict) else set()
    files = {**named_files(stage, recipe), "code": digest(code(stage, used))}
    return word_of(stage.name, sections(stage, recipe), {**inputs, **files})


def sections(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """Return the parts of a recipe that a stage reads, as plain values by dotted name."""
    stage, values = _of_recipe(stage, recipe), recipe.model_dump(mode="json")
    found: dict[str, Any] = {}
    for part in (*stage.sections, *_of_method(stage, recipe)):
        section, _, key = part.partition(".")
        found[part] = values[section][key] if key else values[section]
    for section in LATER.keys() & found.keys():
        usual = LATER[section]
        found[section] = {k: value for k, value in found[section].items() if k not in usual or value != usual[k]}
    if stage.name == "search" and recipe.budget.latency_ms is None:
        del found["evaluate.threads"]  # candidates are not timed
    for section, key in UNDECIDED:
        if section in found:
            found[section] = {name: value for name, value in found[section].items() if name != key}
    return {name: value for name, value in found.items() if not _replaced(stage, recipe, name)}


def _replaced(stage: Stage, recipe: Recipe, name: str) -> bool:
    """Return whether a section is the recipe's losses while the original has losses of its own."""
    return name == "losses" and stage.name == "teach" and recipe.teach.losses is not None


def _read(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """Return all of a recipe except what a stage does not read: replaced losses, and the metrics of the last table."""
    values = recipe.model_dump(mode="json")
    if "evaluate" not in stage.sections:
        del values["evaluate"]["metrics"]
    return {name: each for name, each in values.items() if not _replaced(stage, recipe, name)}


def _of_recipe(stage: Stage, recipe: Recipe) -> Stage:
    """Return the stage with the sections that it reads of this recipe, for any method."""
    early = stage.name == "teach" and recipe.teach.patience is not None and "objective" not in stage.sections
    return measuring(stage) if early else stage


def _of_method(stage: Stage, recipe: Recipe) -> tuple[str, ...]:
    """Return the parts of a recipe that a stage reads only for its method, or only where it times generators."""
    return (*_deployed(stage, recipe), *_of_the_method(stage, recipe))


def _deployed(stage: Stage, recipe: Recipe) -> tuple[str, ...]:
    """Return the number format in which a stage times generators, if it does, and if it is not the usual one."""
    times = {
        "search": recipe.budget.latency_ms is not None,
        "finetune": NARROWED_LATENCY in recipe.finetune.rivals,
        "evaluate": True,
    }
    return ("export.deploy",) if times.get(stage.name) and recipe.export.deploy != "fp32" else ()


def _of_the_method(stage: Stage, recipe: Recipe) -> tuple[str, ...]:
    if stage.name not in ("supernet", "search", "finetune"):
        return ()
    method = open_method(recipe.method)
    reads: Callable[[Recipe], tuple[str, ...]] = getattr(method, f"{stage.name}_reads", lambda recipe: ())
    if stage.name != "finetune":
        return reads(recipe)
    timed = ("evaluate.threads",) if NARROWED_LATENCY in recipe.finetune.rivals else ()
    return (*timed, *getattr(method, "FINETUNE_SECTIONS", ()), *reads(recipe))


def named_files(stage: Stage, recipe: Recipe) -> dict[str, str]:
    """Return the digests of files that a recipe names by path; their content is an input like any other."""
    stage, paths = _of_recipe(stage, recipe), list[object]()
    networks = (recipe.teach.generator, recipe.teach.discriminator) if stage.name != "prepare" else ()
    imported = [recipe.task, *(about.get("family", "") for about in networks)]
    if "methods" in stage.code:
        imported.append(recipe.method)
    if stage.trains and recipe.losses.perceptual and not _replaced(stage, recipe, "losses"):
        paths.append(recipe.losses.perceptual_network)
    if stage.name == "teach" and recipe.teach.losses is not None and recipe.teach.losses.perceptual:
        paths.append(recipe.teach.losses.perceptual_network)
    if stage.name == "teach":
        paths += checkpoints(recipe)
    if "metrics" in stage.code or "evaluate.features" in _of_method(stage, recipe):
        paths += [features.get("path") for features in recipe.evaluate.features.values()]
        imported += [recipe.objective.metric, recipe.teach.metric or ""]
        imported += recipe.evaluate.metrics if "evaluate" in stage.sections else ()
    read = {Path(os.path.expanduser(path)): sha256_once for path in paths if isinstance(path, str)}
    ours = {path: digest_code for name in imported for path in user_code(str(name))}
    return {str(path): digest_of(path) for path, digest_of in {**read, **ours}.items() if is_file(path)}


def checkpoints(recipe: Recipe) -> list[str]:
    """Return the weight files that a recipe imports."""
    return [value for key, value in recipe.teach if key.endswith("_checkpoint") and value is not None]


def user_code(name: str) -> list[Path]:
    """Return the files of user-defined code, `package.module:Name`: its module, or its whole package."""
    module, colon, _ = name.partition(":")
    if module.endswith(".py"):
        return [Path(module)]
    if not colon and "." not in module:  # a method is a module
        return []
    spec = None
    with suppress(ImportError, ValueError):
        spec = find_spec(module.partition(".")[0])
    if spec is None:
        return []
    files = [path for folder in spec.submodule_search_locations or () for path in Path(folder).rglob("*.py")]
    return sorted(files) or [Path(spec.origin or "")]


def digest_input(name: str, folder: Path) -> str:
    """Return the digest of an input: of images, or of a stage's folder.

    Raises:
        DataError: there are no images.
        RunError: the folder holds no finished stage of that name, or its files have changed.
    """
    if name == DATA:
        if not folder.exists():
            raise DataError(f"no images at {folder}: there is no such folder or archive", None, "check --data")
        return sha256_file(folder) if folder.is_file() else digest_folder(folder)
    require_stage(name, folder)
    return require_whole(folder)["digest"]


def require_stage(name: str, folder: Path) -> None:
    """Raise RunError unless a folder holds a finished stage of this name."""
    require_sound(folder, f"run slimgen {name} again, into another folder")
    record = read_record(folder)
    if not record.get("finished"):
        raise RunError(f"--{name} must be the folder of a finished {name} stage", folder, f"run slimgen {name} first")
    if record["stage"] != name:
        raise RunError(f"--{name} must be the folder of a {name} stage", f"{folder}, of a {record['stage']} stage")


def texts(value: object) -> Iterator[str]:
    """Yield the texts in plain values, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from texts(part)
