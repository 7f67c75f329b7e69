"""Export of each found direction: a checked ONNX file and its card."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slimgen import files
from slimgen.cost.latency import onnx_latency
from slimgen.export.card import TURNS, Facts, read_facts, write_card
from slimgen.export.onnx import export_onnx, parity
from slimgen.export.tiling import tiling
from slimgen.recipe import Recipe
from slimgen.report.html import Exported, complete_report
from slimgen.report.table import parse_table
from slimgen.report.words import size as filesize
from slimgen.run.record import recorded, versions
from slimgen.stages.generators import built, described, finished
from slimgen.stages.label import Label
from slimgen.stages.work import Work
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def export(work: Work) -> Mapping[str, float]:
    """Write `generator.onnx` and `card.md`; once all parity checks have passed, MLflow registers the file.

    If both directions were found, write `generator_reverse.onnx` and `card_reverse.md`, too.
    """
    generators = {
        name: about for name, about in described(work.recipe, work.inputs["finetune"]).items() if "original" not in name
    }
    name = finished(generators)
    suffixes = [suffix for suffix in ("", files.REVERSE) if f"{name}{suffix}" in generators]
    metrics: dict[str, float] = {}
    shown = []
    for number, suffix in enumerate(suffixes):
        tell = partial(_told, work, 3 * number, 3 * len(suffixes))
        found, facts = _exported(work, f"{name}{suffix}", generators[f"{name}{suffix}"], suffix, tell)
        metrics |= {f"{suffix[1:]}{'_' * bool(suffix)}{key}": value for key, value in found.items()}
        shown.append(_shown(facts, suffix))
    complete_report(work.inputs["evaluate"] / files.REPORT, work.out / files.REPORT, shown)
    return metrics


def _told(work: Work, before: int, total: int, done: int, values: Mapping[str, float]) -> None:
    work.progress("export", before + done, total, values)


def _exported(
    work: Work,
    name: str,
    about: Mapping[str, Any],
    suffix: str,
    tell: Callable[[int, Mapping[str, float]], None],
) -> tuple[dict[str, float], Facts]:
    """Export the generator of one direction, and write its card; return the metrics, and the card's facts."""
    recipe, options = work.recipe, work.recipe.export
    evaluate, path = work.inputs["evaluate"], work.out / files.of_direction(files.ONNX, suffix)
    net, traits = built(about, work.inputs["finetune"] / about["file"]), traits_of(recipe)
    samples = torch.from_numpy(np.load(evaluate / files.SAMPLES)[f"input{suffix}"])
    noise = samples.dim() == 2
    file = export_onnx(
        net,
        path,
        **recipe.size._asdict(),
        channels=3 if noise else samples.shape[1],
        latent=samples.shape[1] if noise else None,
        opset=options.opset,
        dynamic=options.dynamic,
    )
    tell(1, {})
    difference = parity(net, path, samples, tolerance=options.tolerance)
    tell(2, {"parity": difference.max_abs})
    threads, runs = recipe.evaluate.threads, recipe.evaluate.latency_runs
    latency = onnx_latency(path, (1, *samples.shape[1:]), threads=threads, runs=runs)
    table = json.loads((evaluate / files.TABLE).read_bytes())
    lines = {line["name"]: line for line in table["rows"]}
    original = lines.get(f"original{suffix}")
    directed: dict[str, int | str] = {"scale": recipe.data.scale} if recipe.data.scale > 1 else {}
    if traits.enlarges and not traits.single:
        directed["measured on"] = "whole pictures"
    elif not (traits.given == NOISE or traits.single):
        directed["direction"] = _direction(recipe, suffix)
    fitted = {} if recipe.data.fit is None else {"pictures of another aspect": recipe.data.fit}
    digest = str(recorded(evaluate, "inputs", "prepare"))
    facts = Facts(
        name=_named(recipe, work.label, suffix),
        recipe={"name": recipe.name, "task": recipe.task, "method": recipe.method, "seed": recipe.seed},
        onnx=file,
        parity=difference,
        data={**directed, "size": str(recipe.size), **fitted, "digest of the prepared images": digest},
        licence=work.label.licence,
        budget=recipe.budget.model_dump(exclude_none=True),
        cost=costs(lines[name]),
        original_cost={} if original is None else costs(original),
        quality={row: line["metrics"] for row, line in lines.items() if row.endswith(files.REVERSE) == bool(suffix)},
        protocol="; ".join([str(table["protocol"]), *table.get("notes", ())]),
        latency=[{"measured": "this file, alone", **latency._asdict()}, *in_turns(lines, name)],
        versions=versions(),
        genotype=about["options"].get("genotype", {}),
        origin=_origin(table.get("origins", {}).get(suffix, {})),
        row=name,
        speed=_speed(table, name, f"original{suffix}"),
        pictures=_pictures(work, suffix),
        tiles=tiling(file, recipe.data.scale) if recipe.data.scale > 1 else None,
        **({} if traits.reads is None else {"reads": traits.reads}),
    )
    write_card(work.out / files.of_direction(files.CARD, suffix), facts)
    tell(3, {"parity": difference.max_abs})
    numbers = {
        "bytes": file.bytes,
        "opset": file.opset,
        "parity_max_abs": difference.max_abs,
        "parity_mean_abs": difference.mean_abs,
        "onnxruntime_p50_ms": latency.p50_ms,
        "onnxruntime_p95_ms": latency.p95_ms,
    }
    return numbers, facts


def measured(facts: Facts) -> dict[str, str]:
    """Return the report's facts on an exported file: size, latency beside the original's, agreement with PyTorch."""
    times = {
        str(
            one["measured"]
        ): f"{one['p50_ms']:.4g} ms (median), {one['p95_ms']:.4g} ms (95th percentile), {_where(one)}"
        for one in facts.latency
    }
    parity = facts.parity
    agreement = f"at most {parity.max_abs:.3g} apart on {parity.images} inputs, in a range of [-1, 1]"
    return {
        "size": f"{filesize(facts.onnx.bytes)} ({facts.onnx.bytes:,} bytes), ONNX operator set {facts.onnx.opset}",
        **{f"latency of {name}": text for name, text in times.items()},
        **({"two latencies": TURNS} if len(times) > 1 else {}),
        "agreement with PyTorch": f"{agreement}; allowed {facts.parity.tolerance:g}",
    }


def _speed(table: Mapping[str, Any], name: str, original: str) -> str:
    """Return the latency of a row relative to the original's, in words; empty if one was not measured."""
    rows = {row.name: row for row in parse_table(table).rows}
    return rows[name].speed(rows[original]) if {name, original} <= rows.keys() else ""


def _pictures(work: Work, suffix: str) -> str:
    """Copy the picture grid of a direction beside its card, and return the copy's name; empty without a grid."""
    name = files.of_direction(files.GRID, suffix)
    if not (source := work.inputs["evaluate"] / name).is_file():
        return ""
    files.write_bytes(work.out / name, source.read_bytes())
    return name


def _where(latency: Mapping[str, Any]) -> str:
    threads = latency.get("threads")
    return f"{latency.get('runtime', '')}, {threads} thread{'' if threads == 1 else 's'}" if threads else ""


def show(recipe: Recipe, folders: Mapping[str, Path], out: Path, label: Label, compute: str) -> None:
    """Write the cards and the complete report again, under another label of their run."""
    shown = []
    for suffix in ("", files.REVERSE):
        path = out / files.of_direction(files.CARD, suffix)
        if path.is_file():
            facts = replace(read_facts(path), name=_named(recipe, label, suffix), licence=label.licence)
            write_card(path, facts)
            shown.append(_shown(facts, suffix))
    if (out / files.REPORT).is_file():
        complete_report(folders["evaluate"] / files.REPORT, out / files.REPORT, shown)


def _shown(facts: Facts, suffix: str) -> Exported:
    return Exported(facts.onnx.path.name, files.of_direction(files.CARD, suffix), measured(facts))


def _named(recipe: Recipe, label: Label, suffix: str) -> str:
    """Return the name of the exported model of one direction."""
    return f"{recipe.export.model or label.name}{suffix}"


def _direction(recipe: Recipe, suffix: str) -> str:
    """Return the direction of a generator: the recipe's, or the reverse one."""
    given = recipe.data.direction
    return given if not suffix else {"AtoB": "BtoA", "BtoA": "AtoB"}[given]


def _origin(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the source of the original, in the form of a card."""
    return {name: value if isinstance(value, str) else "; ".join(value) for name, value in facts.items() if value}


def in_turns(lines: Mapping[str, Mapping[str, Any]], name: str = "found") -> list[dict[str, Any]]:
    """Return `evaluate`'s timings of original and exported generator in turns: in onnxruntime, then in PyTorch."""
    original = f"original{files.REVERSE if name.endswith(files.REVERSE) else ''}"
    return [
        {"measured": f"{row}, in turns", **lines[row][kind]}
        for kind in ("latency", "torch_latency")
        for row in (original, name)
        if row in lines and kind in lines[row]  # older tables may lack one of the two
    ]


def costs(line: Mapping[str, Any]) -> dict[str, int]:
    """Return the costs of a table's row under every convention."""
    macs = {f"macs ({name})": int(value) for name, value in line["macs"].items()}
    return {"params": int(line["params"]), "bytes": int(line["bytes"]), **macs}
