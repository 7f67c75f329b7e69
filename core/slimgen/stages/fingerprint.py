"""What decides the result of a stage: sections of the recipe, inputs, files that it names, and code."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slimgen.files import NETWORKS, read_json, sha256_file
from slimgen.recipe import Recipe
from slimgen.run.record import digest
from slimgen.run.record import fingerprint as word_of
from slimgen.stages.code import code
from slimgen.stages.table import Stage


def fingerprint(stage: Stage, recipe: Recipe, inputs: Mapping[str, str], folders: Mapping[str, Path]) -> str:
    """One word for all that decides a stage's result, given the digests of its inputs and where they lie."""
    used = set(texts(recipe.model_dump(mode="json")))
    used |= {f"{text.partition(':')[0]}:<name>" for text in used if ":" in text}  # metrics of a named network
    if "finetune" in folders:
        networks = read_json(folders["finetune"] / NETWORKS)
        used |= {str(about["family"]) for about in networks.values()} if isinstance(networks, dict) else set()
    files = {**named_files(stage, recipe), "code": digest(code(stage, used))}
    return word_of(stage.name, sections(stage, recipe), {**inputs, **files})


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


def texts(value: object) -> Iterator[str]:
    """The texts in plain values, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from texts(part)
