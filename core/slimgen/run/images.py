"""Sets of images that a stage reads, as MLflow's inputs of its run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slimgen import files
from slimgen.run.record import Record, digest

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""Splits of prepared images, by the beginning of their files' names, and the contexts in which they are read."""
READ = {
    "teach": ("train",),
    "supernet": ("train", "val"),
    "search": ("train", "val"),
    "finetune": ("train",),
    "evaluate": ("test",),
    "export": ("test",),
}
"""Splits that each stage reads; `prepare`, and a whole run, have all of them."""


class ImageSet(NamedTuple):
    """A set of images: name, digest of at most 36 hexadecimal digits, context, and its source and shape as JSON."""

    name: str
    digest: str
    context: str
    source: str
    profile: str


def image_sets(record: Record, prepared: Path | None, whole: bool = False) -> list[ImageSet]:
    """Return the sets of images that a stage reads.

    Args:
        record: the stage's.
        prepared: the folder of `prepare` that it read; None if that is elsewhere, in which case the images count as a
            single set.
        whole: return all sets of the run, not only the stage's.
    """
    name = _name({**record.get("settings", {}), **(yaml.safe_load(record.get("recipe", "")) or {})})
    given = record.get("tags", {}).get("data", "")
    manifest = files.read_json(prepared / files.MANIFEST) if prepared is not None else None
    if prepared is None or not isinstance(manifest, dict):
        context = "test" if record["stage"] in ("evaluate", "export") else "training"
        return [ImageSet(name, given[:36], context, json.dumps({"sha256": given}), "")] if given else []
    outputs = _outputs(prepared)
    found = []
    for split, context in SPLITS.items():
        arrays = {file: sha for file, sha in outputs.items() if file.partition(".")[0] == split}
        if not arrays or not (whole or split in READ.get(record["stage"], SPLITS)):
            continue
        about: dict[str, Any] = manifest.get("splits", {}).get(split, {})
        source = {"path": str(prepared.resolve()), "files": arrays, "images": manifest.get("digest")}
        profile = {"images": about.get("count")}
        found.append(
            ImageSet(f"{name}-{context}", digest(arrays)[:36], context, json.dumps(source), json.dumps(profile))
        )
    return found


def _name(recipe: Mapping[str, Any]) -> str:
    """Return the name of a recipe's images, with their size: `townhouses-64px`, `images-72x96px`."""
    options, size = recipe.get("data"), recipe.get("size")
    name = (isinstance(options, Mapping) and options.get("embedded")) or "images"
    return f"{name}-{'x'.join(map(str, size)) if isinstance(size, list) else size}px" if size else str(name)


def _outputs(prepared: Path) -> dict[str, str]:
    record = files.read_json(prepared / files.STAGE)
    outputs = record.get("outputs", {}) if isinstance(record, dict) else {}
    return {name: output["sha256"] for name, output in outputs.items()}
