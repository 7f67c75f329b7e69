"""The stage that evaluates: original, found generator and rivals on the test images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slimgen import files
from slimgen.cost.formula import CONVENTIONS
from slimgen.data.batches import Pair
from slimgen.export.turns import Timing, timings
from slimgen.methods.method import REVERSE
from slimgen.metrics.evaluator import Evaluator, Network, fitting_batch
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.metrics.scorers import save_arrays
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe
from slimgen.report.html import write_report
from slimgen.report.pictures import grid, how_shown, panels
from slimgen.report.words import REAL, stopping
from slimgen.run.log import Log
from slimgen.run.record import apart, read_record
from slimgen.stages.generators import built, described
from slimgen.stages.label import Label
from slimgen.stages.work import Work
from slimgen.tasks.importing import origins
from slimgen.tasks.task import Task, require_suitable
from slimgen.tasks.traits import NOISE, Shapes

GRID = "grid"


def evaluate(work: Work) -> Mapping[str, float]:
    """Quality, cost and latency of each generator; image grids; a report that stands alone."""
    recipe, job = work.recipe, work.job
    require_suitable(job)
    noise, shapes = job.task.traits.given == NOISE, job.task.shapes(job.data)
    pictures = recipe.evaluate.pictures
    comparisons = {"": comparison(work)}
    samples = job.task.condition(comparisons[""].images.input[: max(8, pictures)])
    measured: dict[str, Mapping[str, float]] = {}
    networks: dict[str, tuple[str, nn.Module]] = {}
    generators = described(recipe, work.inputs["finetune"], work.inputs["teach"])
    for name, about in generators.items():
        suffix = REVERSE if name.endswith(REVERSE) else ""
        if suffix not in comparisons:
            comparisons[suffix] = comparison(work, suffix)
        compared = comparisons[suffix]
        folder = work.inputs["teach" if name.startswith("original") else "finetune"]
        net = built(about, folder / about["file"])
        kept: list[Tensor] = []
        generate = keeping(job.task, work.compute.place(net), pictures**2 if noise else pictures, kept)
        quality = compared.evaluator.measure(generate)
        compared.columns[name.removesuffix(suffix)] = torch.cat(kept)
        measured[name] = quality
        networks[name] = json.dumps(files.plain([about["family"], about["options"]]), sort_keys=True), net
        work.progress("generators", len(measured), len(generators), quality)
    timed = timings(
        networks,
        (1, *shapes.given),
        threads=recipe.evaluate.threads,
        runs=recipe.evaluate.latency_runs,
        opset=recipe.export.opset,
        tell=lambda what, done, total: work.progress(what, done, total, {}),
    )
    rows = [row(name, about, shapes, measured[name], timed[name]) for name, about in generators.items()]
    beside = [one for suffix, compared in comparisons.items() for one in references(job.task, compared, suffix)]
    table: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "method": recipe.method,
        "convention": recipe.budget.convention,
        "size": recipe.size.plain,
        "protocol": "; ".join(filter(None, (comparisons[""].evaluator.protocol, job.task.protocol()))),
        "goals": comparisons[""].evaluator.goals,
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
    others = {f"input{suffix}": one.images.input[: len(samples)] for suffix, one in comparisons.items() if suffix}
    save_arrays(work.out / files.SAMPLES, {"input": samples, **others}, compressed=True)
    for suffix, compared in comparisons.items():
        (panels if noise else grid)(compared.columns, work.out / f"{GRID}{suffix}.png")
    show(recipe, work.inputs, work.out, work.label, str(work.compute))
    return metrics


def notes(work: Work, comparisons: Mapping[str, "Comparison"]) -> list[str]:
    """What must be known to read the table: how the original's training ended, and what a figure is worth."""
    worth = [
        f"{text}, in the reverse direction" if suffix else text
        for suffix, compared in comparisons.items()
        for text in compared.evaluator.notes
    ]
    shown = {how_shown(images.shape[1]) for one in comparisons.values() for images in one.columns.values()}
    ended = stopping(read_record(work.inputs["teach"])["metrics"])
    trial = "a quick run, cut short by --quick: none of its figures is a result" if work.recipe.quick else ""
    return [text for text in (trial, ended, *worth, *sorted(filter(None, shown)), *apart(work.inputs)) if text]


@dataclass(frozen=True)
class Comparison:
    """The generators of one direction, what they are given, and the real images that they are compared with.

    Attributes:
        columns: pictures by name: what is given, the real images where each has its own, and what generators make.
    """

    images: Pair
    evaluator: Evaluator
    columns: dict[str, Tensor]


def comparison(work: Work, suffix: str = "") -> Comparison:
    """The recipe's direction, or, with `REVERSE`, the other one.

    The other one's inputs are no label maps, so there are no segmentations of it.
    """
    task, data, options = work.job.task, work.job.data, work.recipe.evaluate
    images = task.test(data)
    if suffix:
        images = Pair(images.target, images.input)
    columns = task.columns(images, options.pictures, data.split("test").paired)
    metrics = [metric for metric in options.metrics if not suffix or not isinstance(find(metric), OfSegmentations)]
    evaluator = Evaluator(
        images,
        metrics,
        compute=work.compute,
        batch=fitting_batch(images.target.shape[-2:], work.compute.device),
        features=options.features,
        reference=work.out / f"reference{suffix}",
    )
    return Comparison(images, evaluator, columns)


def keeping(task: Task, net: nn.Module, count: int, kept: list[Tensor]) -> Network:
    """A generator as a function of prepared inputs, whose first images are added to a list.

    They are float32 (n, C, H, W) on the CPU, of n at most `count` in all.
    """

    def generate(inputs: Tensor) -> Tensor:
        images: Tensor = net(task.condition(inputs))
        missing = count - sum(map(len, kept))
        if missing > 0:
            kept.append(images[:missing].float().cpu())
        return images

    return generate


def row(
    name: str, about: Mapping[str, Any], shapes: Shapes, quality: Mapping[str, float], timing: Timing
) -> dict[str, Any]:
    """The row of the table of a generator of images of these shapes."""
    height, width = shapes.given[1:] or shapes.wanted[1:]  # of its input; where that is noise, of the image
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
    """The rows that no generator made: real images, where a network judges what it sees in them, and the task's own."""
    judged, measured = compared.evaluator, dict[str, Mapping[str, float]]()
    segmented = [metric for metric in judged.metrics if isinstance(find(metric), OfSegmentations)]
    if segmented:
        values = judged.score(compared.images.target)
        measured[REAL] = {metric: values[metric] for metric in segmented}
    for name, images in ({} if suffix else task.references(compared.images)).items():
        measured[name] = judged.score(images)
    costs: dict[str, Any] = {"macs": {}, "params": None, "bytes": None}
    return [{"name": name, "metrics": dict(values), **costs} for name, values in measured.items()]


def show(recipe: Recipe, folders: Mapping[str, Path], out: Path, label: Label, compute: str) -> None:
    """Writes the HTML report, of this stage's table and what the stages before left, under a run's label."""
    facts = {
        "label": label._asdict(),
        "recipe": recipe,
        "table": files.read_json(out / files.TABLE),
        "stages": {name: dict(read_record(folder)) for name, folder in folders.items()},
        "logs": {
            path.stem.removeprefix("log-"): Log(path).read()
            for folder in folders.values()
            for path in sorted(folder.glob(files.log_file("*")))
        },
        "genotype": files.read_json(folders["search"] / files.GENOTYPE),
        "manifest": files.read_json(folders["prepare"] / files.MANIFEST),
        "compute": compute,
    }
    places = {
        "grid": out / f"{GRID}.png",
        "pareto": folders["search"] / files.FRONT,
        "architecture": folders["search"] / files.ARCHITECTURE,
        "The other direction": out / f"{GRID}{REVERSE}.png",
        "Relaxation": folders["search"] / files.RELAXATION,
    }
    pictures = {name: path for name, path in places.items() if name == "grid" or path.is_file()}
    write_report(out / files.REPORT, facts, pictures)
