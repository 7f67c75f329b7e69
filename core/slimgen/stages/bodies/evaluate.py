"""Evaluation of original, found generator and rivals on the test images."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slimgen import files
from slimgen.cost.formula import CONVENTIONS
from slimgen.export.formats import INT8
from slimgen.export.turns import Timing, timings
from slimgen.methods.method import REVERSE
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.metrics.scorers import save_arrays
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe
from slimgen.report.pictures import grid, how_shown, panels
from slimgen.report.words import REAL, stopping
from slimgen.run.record import apart, read_record
from slimgen.stages.comparison import Comparison, comparison, galleries
from slimgen.stages.generators import built, described, is_original
from slimgen.stages.label import Label
from slimgen.stages.report import Shown, write_page
from slimgen.stages.work import Work
from slimgen.tasks.importing import origins
from slimgen.tasks.task import Task, require_suitable
from slimgen.tasks.traits import NOISE, Shapes


def evaluate(work: Work) -> Mapping[str, float]:
    """Measure quality, cost and latency of each generator; write picture grids and a self-contained report."""
    recipe, job = work.recipe, work.job
    require_suitable(job)
    started = time.monotonic()
    noise, shapes = job.task.traits.given == NOISE, job.task.shapes(job.data)
    pictures = recipe.evaluate.pictures
    comparisons = {"": comparison(work, reference=work.out / "reference")}
    samples = job.task.samples(comparisons[""].images, max(8, pictures))
    measured: dict[str, Mapping[str, float]] = {}
    networks: dict[str, tuple[str, nn.Module]] = {}
    generators = described(recipe, work.inputs["finetune"], work.inputs["teach"])
    for name, about in generators.items():
        suffix = REVERSE if name.endswith(REVERSE) else ""
        if suffix not in comparisons:
            comparisons[suffix] = comparison(work, suffix, work.out / f"reference{suffix}")
        compared = comparisons[suffix]
        folder = work.inputs["teach" if is_original(name) else "finetune"]
        net = built(about, folder / about["file"])
        count = pictures**2 if noise else pictures
        quality = compared.measure(name.removesuffix(suffix), job.task, work.compute.place(net), count)
        measured[name] = quality
        networks[name] = json.dumps(files.plain([about["family"], about["options"]]), sort_keys=True), net
        work.progress("generators", len(measured), len(generators), quality)
    pictures_of_rows = [
        gallery
        for suffix, compared in ({} if noise else comparisons).items()
        for gallery in galleries(job.task, compared, work.compute, recipe.objective.metric, suffix)
    ]
    timed = timings(
        networks,
        (1, *shapes.given),
        threads=recipe.evaluate.threads,
        runs=recipe.evaluate.latency_runs,
        opset=recipe.export.opset,
        deploy=recipe.export.deploy,
        tell=lambda what, done, total: work.progress(what, done, total, {}),
    )
    rows = [row(name, about, shapes, measured[name], timed[name]) for name, about in generators.items()]
    beside = [one for suffix, compared in comparisons.items() for one in references(job.task, compared, suffix)]
    alone = job.task.answers and not comparisons[""].paired
    answers = "targets are the original's outputs, since test images have no partners" if alone else ""
    table: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "method": recipe.method,
        "convention": recipe.budget.convention,
        "size": recipe.size.plain,
        "protocol": "; ".join(filter(None, (comparisons[""].evaluator.protocol, job.task.protocol(), answers))),
        "goals": comparisons[""].goals,
        "notes": notes(work, comparisons),
        "rows": [*rows, *beside],
    }
    if came := origins(work.inputs["teach"]):
        table["origins"] = {files.REVERSE if part.startswith("reverse") else "": facts for part, facts in came.items()}
    files.write_json(work.out / files.TABLE, table)
    metrics: dict[str, float] = {}
    for line in rows:
        times = {"latency_ms": line["latency"]["p50_ms"], "torch_latency_ms": line["torch_latency"]["p50_ms"]}
        plain = {"macs": line["macs"][recipe.budget.convention], "params": line["params"], **times}
        figures = {**line["metrics"], **plain, **(line["effort"] or {})}
        metrics |= {f"{line['name']}.{key}": value for key, value in figures.items()}
    files.write_json(work.out / files.METRICS, metrics)
    others = {
        f"input{suffix}": images[: len(samples)]
        for suffix, one in comparisons.items()
        if suffix and isinstance(images := one.images.input, Tensor)
    }
    save_arrays(work.out / files.SAMPLES, {"input": samples, **others}, compressed=True)
    for suffix, compared in comparisons.items():
        (panels if noise else grid)(compared.columns, work.out / files.of_direction(files.GRID, suffix))
    shown = Shown(recipe, work.inputs, work.out, work.label, str(work.compute), time.monotonic() - started)
    write_page(shown, pictures_of_rows)
    return metrics


def notes(work: Work, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Return notes on the table: how the original's training ended, and the reliability of its figures."""
    worth = [
        f"{text}, in the reverse direction" if suffix else text
        for suffix, compared in comparisons.items()
        for text in compared.evaluator.notes
    ]
    shown = {how_shown(images.shape[1]) for one in comparisons.values() for images in one.columns.values()}
    ended = stopping(read_record(work.inputs["teach"])["metrics"])
    trial = "a quick run, cut short by --quick: none of its figures is a result" if work.recipe.quick else ""
    timed = "milliseconds in onnxruntime are those of int8 (export.deploy)" if work.recipe.export.deploy == INT8 else ""
    return [text for text in (trial, timed, ended, *worth, *sorted(filter(None, shown)), *apart(work.inputs)) if text]


def row(
    name: str, about: Mapping[str, Any], shapes: Shapes, quality: Mapping[str, float], timing: Timing
) -> dict[str, Any]:
    """Return the table's row for a generator of images of these shapes."""
    height, width = shapes.given[1:] or shapes.wanted[1:]  # of the input, or, if that is noise, of the image
    cost = generator_cost(about["family"], height, width, **about["options"])
    instead = {"instead": timing.instead} if timing.instead else {}
    return {
        "name": name,
        "family": about["family"],
        "updates": about.get("updates"),
        "effort": about.get("effort"),
        "metrics": dict(quality),
        "macs": {convention: cost.macs(convention) for convention in CONVENTIONS},
        "params": cost.params,
        "bytes": cost.bytes,
        "latency": {**timing.latency._asdict(), **instead},
        "torch_latency": timing.torch_latency._asdict(),
    }


def references(task: Task, compared: Comparison, suffix: str) -> list[dict[str, Any]]:
    """Return the rows without a generator: real images scored by a metric's network, and the task's own."""
    judged, measured = compared.evaluator, dict[str, Mapping[str, float]]()
    segmented = [metric for metric in judged.metrics if isinstance(find(metric), OfSegmentations)]
    if segmented:
        values = judged.score(compared.images.target)
        measured[REAL] = {metric: values[metric] for metric in segmented}
    for name, images in ({} if suffix else task.references(compared.images)).items():
        measured[name] = compared.values(judged.scored(images))
    costs: dict[str, Any] = {"macs": {}, "params": None, "bytes": None}
    return [{"name": name, "metrics": dict(values), **costs} for name, values in measured.items()]


def show(recipe: Recipe, folders: Mapping[str, Path], out: Path, label: Label, compute: str) -> None:
    """Write the HTML report again, under another label of its run; its pictures of test images stay as they are."""
    seconds = float(str(read_record(out).get("seconds", 0)))
    write_page(Shown(recipe, folders, out, label, compute, seconds), None)
