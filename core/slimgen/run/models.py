"""Generators of a run as MLflow's models: their parameters and figures, read from the folders of its stages."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slimgen import files
from slimgen.run.champion import standing
from slimgen.run.entries import measures, parameters, registered_name
from slimgen.run.record import Record
from slimgen.run.registry import Exported

LONGEST = 250  # characters of a parameter
FP32 = "fp32"
"""Name of the variant that is registered; the others lie beside it."""


class Generator(NamedTuple):
    """A row of the table that `evaluate` wrote.

    Attributes:
        name: original, found, or a rival.
        params: what it is: family, method, options, genotype.
        quality: values on the test images, by metric.
        costs: MACs, parameters, bytes, milliseconds.
    """

    name: str
    params: dict[str, str]
    quality: dict[str, float]
    costs: dict[str, float]


def generators(record: Record, table: Mapping[str, Any], networks: Mapping[str, Any]) -> Iterator[Generator]:
    """Yield the generators of a table, without rows that no generator made, such as real pictures.

    Args:
        record: that of `evaluate`, or of `export`.
        table: that of `evaluate`.
        networks: families and options by row, which `finetune` wrote; rows that are not among them are originals.
    """
    recipe = yaml.safe_load(record.get("recipe", "")) or {}
    for line in table["rows"]:
        if not line.get("macs"):
            continue
        name = str(line["name"])
        options = dict(networks.get(name, {}).get("options") or {})
        if name not in networks and isinstance(teacher := recipe.get("teach", {}).get("generator"), Mapping):
            options = {key: value for key, value in teacher.items() if key != "family"}
        genotype = options.pop("genotype", None)
        told = {"family": line.get("family"), "method": table.get("method"), "row": name, "size": table.get("size")}
        told |= {"recipe": table.get("recipe"), "seed": table.get("seed"), **options}
        told |= {"genotype": short(genotype)} if genotype else {}
        known = {key: value for key, value in told.items() if value is not None}
        params = {key: value[:LONGEST] for key, value in parameters(known).items()}
        yield Generator(name, params, measures(line["metrics"]), costs(line, str(table["convention"])))


def costs(line: Mapping[str, Any], convention: str) -> dict[str, float]:
    """Return the costs of a row of the table, with MACs under the run's convention, and the effort of its training."""
    figures = {"macs": line["macs"].get(convention), "params": line["params"], "bytes": line["bytes"]}
    for kind, prefix in (("latency", ""), ("torch_latency", "torch_")):
        figures |= {f"{prefix}{name}": (line.get(kind) or {}).get(name) for name in ("p50_ms", "p95_ms")}
    return measures({**figures, **(line.get("effort") or {})})


def short(genotype: Mapping[str, object]) -> str:
    """Return the choices of a genotype as one text: `path 4-2-1, channel.stem 0.5`."""
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in genotype.items()
    )


def exported(
    folder: Path, record: Record, table: Mapping[str, Any] | None, name: str
) -> Iterator[tuple[Exported, str]]:
    """Yield the generators in a finished folder of `export`, one for each direction, and the names of their rows.

    Nothing in a folder that is not finished counts: a stage finishes only after the parity check of every file.

    Args:
        folder: that of `export`.
        record: its record.
        table: that of `evaluate`; None if it is elsewhere.
        name: displayed name of the run.
    """
    settings = record.get("settings", {}).get("export")
    given = settings.get("model") if isinstance(settings, Mapping) else None
    for suffix in ("", files.REVERSE):
        path = folder / files.of_direction(files.ONNX, suffix)
        if not record.get("finished") or not path.is_file():
            continue
        card = folder / files.of_direction(files.CARD, suffix)
        facts = files.read_json(card.with_suffix(".json"))
        facts = facts if isinstance(facts, dict) else {}
        row = str(facts.get("row") or f"found{suffix}")
        tags = {
            key: str(value) for key, value in record.get("tags", {}).items() if key in ("recipe", "method", "quick")
        }
        quality, figures = dict(facts.get("quality", {}).get(row, {})), of_files(record, facts, suffix)
        tags |= parameters({**quality, **of_network(facts), **figures})
        trial = "quick" in tags
        standing_of = None if trial or table is None else standing(record, table, row, suffix)
        beside = tuple(folder / one["file"] for one in variants(facts) if one["file"] != path.name)
        params = {"recipe": tags.get("recipe", ""), "method": tags.get("method", ""), "row": row}
        params |= {"genotype": short(facts["genotype"])[:LONGEST]} if facts.get("genotype") else {}
        model = registered_name(f"{given or name}{suffix}")
        beside = tuple(filter(Path.is_file, beside))
        yield Exported(path, card, model, tags, params, measures(figures), beside, standing_of), row


def of_network(facts: Mapping[str, Any]) -> dict[str, object]:
    """Return MACs, each with its convention in its name (`macs.exact`), and parameters from the facts of a card."""
    cost = facts.get("cost", {}).items()
    return {name.replace(" (", ".").rstrip(")"): value for name, value in cost if name != "bytes"}


def of_files(record: Record, facts: Mapping[str, Any], suffix: str) -> dict[str, object]:
    """Return bytes, milliseconds and quality of each variant (`int8.p50_ms`), and the largest difference of fp32."""
    found: dict[str, object] = {}
    for one in variants(facts):
        quality = {} if one["name"] == FP32 else one.get("quality", {})
        figures = {name: one.get(name) for name in ("bytes", "p50_ms", "p95_ms", "max_abs")} | dict(quality)
        found |= {f"{one['name']}.{name}": value for name, value in figures.items() if value is not None}
        found |= {"recommended": one["name"]} if one.get("recommended") else {}
    if not found:  # older cards have no variants
        metrics, prefix = record.get("metrics", {}), f"{suffix[1:]}_" if suffix else ""
        names = {"bytes": "bytes", "onnxruntime_p50_ms": "p50_ms", "onnxruntime_p95_ms": "p95_ms"}
        names |= {"parity_max_abs": "max_abs"}
        found = {f"{FP32}.{new}": metrics[prefix + old] for old, new in names.items() if prefix + old in metrics}
    return found


def variants(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the variants of an exported generator on its card, such as `fp32` and `int8`; older cards have none."""
    found = facts.get("variants") or []
    return [one for one in found if isinstance(one, Mapping) and {"name", "file"} <= one.keys()]
