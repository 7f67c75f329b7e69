"""Export of each found direction: a checked ONNX file, its variants and other editions, and its card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from slimgen import files
from slimgen.cost.latency import Latency
from slimgen.export.card import ALONE, TURNS, Facts, read_facts, write_card
from slimgen.export.editions import Edition
from slimgen.export.formats import FP32, INT8
from slimgen.export.onnx import OnnxFile, Parity, export_onnx, parity
from slimgen.export.tiling import Tiling, tiling
from slimgen.export.variants import Variant
from slimgen.metrics.registry import find
from slimgen.recipe import Recipe
from slimgen.report.html import Exported, complete_report
from slimgen.report.table import parse_table
from slimgen.report.words import size as filesize
from slimgen.run.record import recorded, versions
from slimgen.stages.editions import write_editions
from slimgen.stages.exporting import Exporting, direction_of, properties, seal
from slimgen.stages.generators import built, described, finished
from slimgen.stages.label import Label
from slimgen.stages.variants import calibrated, measured_variants, write_variants
from slimgen.stages.work import Work
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def export(work: Work) -> Mapping[str, float]:
    """Write `generator.onnx`, its variants in other number formats, editions that the recipe asks for, and `card.md`.

    If both directions were found, write `generator_reverse.onnx`, `card_reverse.md` and the like, too. Once all parity
    checks have passed, MLflow registers the file in float32.
    """
    recipe = work.recipe
    generators = {
        name: about for name, about in described(recipe, work.inputs["finetune"]).items() if "original" not in name
    }
    name = finished(generators)
    suffixes = [suffix for suffix in ("", files.REVERSE) if f"{name}{suffix}" in generators]
    metrics: dict[str, float] = {}
    shown = []
    for number, suffix in enumerate(suffixes):
        tell = Steps(work, number * steps(recipe), len(suffixes) * steps(recipe))
        found, facts = _exported(work, f"{name}{suffix}", generators[f"{name}{suffix}"], suffix, tell)
        metrics |= {f"{suffix[1:]}{'_' * bool(suffix)}{key}": value for key, value in found.items()}
        shown.append(_shown(facts, suffix))
    complete_report(work.inputs["evaluate"] / files.REPORT, work.out / files.REPORT, shown)
    return metrics


def steps(recipe: Recipe) -> int:
    """Return the number of steps of one direction, for its progress."""
    variants = len(recipe.export.variants)
    measured = variants if variants > 1 and recipe.evaluate.metrics else 0
    return 3 + (variants - 1) + measured  # written, compared and described; the other variants; each measured


@dataclass
class Steps:
    """Progress of one direction: the steps before it, and of all directions."""

    work: Work
    before: int
    total: int
    done: int = 0

    def __call__(self, values: Mapping[str, float]) -> None:
        """Tell that a step is done."""
        self.done += 1
        self.work.progress("export", self.before + self.done, self.total, values)


def _exported(
    work: Work, name: str, about: Mapping[str, Any], suffix: str, tell: Steps
) -> tuple[dict[str, float], Facts]:
    """Export the generator of one direction, and write its card; return the metrics, and the card's facts."""
    recipe, options, inputs = work.recipe, work.recipe.export, work.inputs
    path = work.out / files.of_direction(files.ONNX, suffix)
    net = built(about, inputs["finetune"] / about["file"])
    samples = torch.from_numpy(np.load(inputs["evaluate"] / files.SAMPLES)[f"input{suffix}"])
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
    table = json.loads((inputs["evaluate"] / files.TABLE).read_bytes())
    origin = _origin(table.get("origins", {}).get(suffix, {}))
    says = properties(recipe, file, about["options"].get("genotype", {}), suffix, work.label.licence, origin)
    exporting = Exporting(work, suffix, net, samples, says)
    files.write_bytes(path, exporting.stamped(FP32, onnx.load(path)))
    tell({})
    difference = parity(net, path, samples, tolerance=options.parity)
    tell({"parity": difference.max_abs})
    write_variants(exporting, tell)
    tiles = tiling(file, recipe.data.scale) if recipe.data.scale > 1 else None
    variants, latency = measured_variants(exporting, difference, tiles, tell)
    editions = write_editions(exporting, file)
    file = replace(file, bytes=path.stat().st_size)
    facts = _facts(exporting, name, about, table, file, difference, variants, editions, latency, tiles)
    seal(exporting, facts)
    write_card(work.out / files.of_direction(files.CARD, suffix), facts)
    tell({"parity": difference.max_abs})
    return _numbers(facts, latency), facts


def _numbers(facts: Facts, latency: Latency) -> dict[str, float]:
    """Return the metrics of one direction: those of the file in float32, and of each variant after its name."""
    numbers: dict[str, float] = {
        "bytes": facts.onnx.bytes,
        "opset": facts.onnx.opset,
        "parity_max_abs": facts.parity.max_abs,
        "parity_mean_abs": facts.parity.mean_abs,
        "onnxruntime_p50_ms": latency.p50_ms,
        "onnxruntime_p95_ms": latency.p95_ms,
    }
    for one in facts.variants if len(facts.variants) > 1 else ():
        measured = {"bytes": one.bytes, "p50_ms": one.p50_ms, "p95_ms": one.p95_ms, "max_abs": one.max_abs}
        values = {**measured, **one.quality}
        numbers |= {f"{one.name}.{key}": float(value) for key, value in values.items() if value is not None}
    return numbers


def _facts(
    exporting: Exporting,
    name: str,
    about: Mapping[str, Any],
    table: Mapping[str, Any],
    file: OnnxFile,
    difference: Parity,
    variants: Sequence[Variant],
    editions: Sequence[Edition],
    latency: Latency,
    tiles: Tiling | None,
) -> Facts:
    """Return the facts of the card of one direction."""
    work, suffix = exporting.work, exporting.suffix
    recipe, traits, evaluate = work.recipe, traits_of(work.recipe), work.inputs["evaluate"]
    lines = {line["name"]: line for line in table["rows"]}
    original = lines.get(f"original{suffix}")
    directed: dict[str, int | str] = {"scale": recipe.data.scale} if recipe.data.scale > 1 else {}
    if traits.enlarges and not traits.single:
        directed["measured on"] = "whole pictures"
    elif not (traits.given == NOISE or traits.single):
        directed["direction"] = direction_of(recipe, suffix)
    fitted = {} if recipe.data.fit is None else {"pictures of another aspect": recipe.data.fit}
    digest = str(recorded(evaluate, "inputs", "prepare"))
    return Facts(
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
        latency=[{"measured": ALONE, **latency._asdict()}, *in_turns(lines, name)],
        versions=versions(),
        genotype=about["options"].get("genotype", {}),
        origin=_origin(table.get("origins", {}).get(suffix, {})),
        row=name,
        speed=_speed(table, name, f"original{suffix}"),
        pictures=_pictures(work, suffix),
        tiles=tiles,
        variants=variants,
        files=editions,
        calibrated=calibrated(work) if any(one.name == INT8 for one in variants) else "",
        **({} if traits.reads is None else {"reads": traits.reads}),
    )


def measured(facts: Facts) -> dict[str, str]:
    """Return the report's facts on an exported file: size, latency beside the original's, agreement with PyTorch."""
    times = {
        f"{one['measured']} ({str(one.get('runtime', '')).partition(' ')[0]})": f"{one['p50_ms']:.4g} ms (median), "
        f"{one['p95_ms']:.4g} ms (95th percentile), {_where(one)}"
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
    name, card = facts.onnx.path.name, files.of_direction(files.CARD, suffix)
    variants = [asdict(one) for one in facts.variants]
    editions = [{"name": one.file, "about": _about(one), "bytes": one.bytes} for one in facts.files]
    goals = {metric: find(metric.partition("/")[0]).goal for one in facts.variants for metric in one.quality}
    return Exported(name, card, measured(facts), variants, editions, goals)


def _about(edition: Edition) -> str:
    return f"{edition.about}; {edition.verdict}" if edition.verdict else edition.about


def _named(recipe: Recipe, label: Label, suffix: str) -> str:
    """Return the name of the exported model of one direction."""
    return f"{recipe.export.model or label.name}{suffix}"


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
