"""The stage that evaluates: original, found generator and rivals on the test images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.cost.formula import CONVENTIONS
from slimgen.cost.latency import torch_latency
from slimgen.data.batches import Pair
from slimgen.files import (
    ARCHITECTURE,
    FRONT,
    GENOTYPE,
    MANIFEST,
    METRICS,
    RELAXATION,
    REPORT,
    SAMPLES,
    TABLE,
    log_file,
    read_json,
    write_json,
)
from slimgen.methods.method import REVERSE
from slimgen.metrics.evaluator import Evaluator, Network, fitting_batch
from slimgen.metrics.kinds import OfSegmentations
from slimgen.metrics.registry import find
from slimgen.metrics.scorers import save_arrays
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe
from slimgen.report.html import write_report
from slimgen.report.pictures import grid, panels
from slimgen.run.log import Log
from slimgen.run.record import read_record
from slimgen.stages.generators import built, conditioned, described
from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable
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
    rows: list[dict[str, Any]] = []
    generators = described(recipe, work.inputs["finetune"], work.inputs["teach"])
    for name, about in generators.items():
        suffix = REVERSE if name.endswith(REVERSE) else ""
        if suffix not in comparisons:
            comparisons[suffix] = comparison(work, suffix)
        compared = comparisons[suffix]
        folder = work.inputs["teach" if name.startswith("original") else "finetune"]
        net = built(about, folder / about["file"])
        kept: list[Tensor] = []
        generate = keeping(conditioned(job.task, work.compute.place(net)), pictures**2 if noise else pictures, kept)
        quality = compared.evaluator.measure(generate)
        compared.columns[name.removesuffix(suffix)] = torch.cat(kept)
        rows.append(measured(recipe, name, about, net, shapes, quality))
        work.progress("generators", len(rows), len(generators), rows[-1]["metrics"])
    table = {
        "recipe": recipe.name,
        "method": recipe.method,
        "convention": recipe.budget.convention,
        "size": recipe.size,
        "protocol": "; ".join(filter(None, (comparisons[""].evaluator.protocol, job.task.protocol()))),
        "goals": comparisons[""].evaluator.goals,
        "rows": rows,
    }
    write_json(work.out / TABLE, table)
    flat = {row["name"]: {**row["metrics"], **_plain(row, recipe.budget.convention)} for row in rows}
    metrics = {f"{name}.{key}": value for name, line in flat.items() for key, value in line.items()}
    write_json(work.out / METRICS, metrics)
    save_arrays(work.out / SAMPLES, {"input": samples}, compressed=True)
    for suffix, compared in comparisons.items():
        (panels if noise else grid)(compared.columns, work.out / f"{GRID}{suffix}.png")
    report(work, table)
    return metrics


@dataclass(frozen=True)
class Comparison:
    """The generators of one direction, and what they are compared with.

    Attributes:
        images: what they are given, and the real images that they are compared with.
        evaluator: measures them.
        columns: pictures by name: what is given, the real images where each has its own, and what generators make.
    """

    images: Pair
    evaluator: Evaluator
    columns: dict[str, Tensor]


def comparison(work: Work, suffix: str = "") -> Comparison:
    """The recipe's direction, or, with `REVERSE`, the other one."""
    task, data, count = work.job.task, work.job.data, work.recipe.evaluate.pictures
    test, paired = task.test(data), data.split("test").paired
    if suffix:
        test = Pair(test.target, test.input)
    columns = task.columns(test, count, paired)
    return Comparison(test, evaluator_of(work, test, suffix), columns)


def keeping(generator: Network, count: int, kept: list[Tensor]) -> Network:
    """The generator, whose first images, at most `count`, are added to a list: float32 (n, C, H, W) on the CPU."""

    def generate(inputs: Tensor) -> Tensor:
        images = generator(inputs)
        missing = count - sum(map(len, kept))
        if missing > 0:
            kept.append(images[:missing].float().cpu())
        return images

    return generate


def evaluator_of(work: Work, images: Pair, suffix: str = "") -> Evaluator:
    """The evaluator of one direction; the other one's inputs are no label maps, so there are no segmentations of it."""
    options = work.recipe.evaluate
    metrics = [metric for metric in options.metrics if not suffix or not isinstance(find(metric), OfSegmentations)]
    folder = work.out / f"reference{suffix}"
    batch = fitting_batch(images.target.shape[-2:], work.compute.device)
    return Evaluator(images, metrics, compute=work.compute, batch=batch, features=options.features, reference=folder)


def measured(
    recipe: Recipe,
    name: str,
    about: Mapping[str, Any],
    net: nn.Module,
    shapes: Shapes,
    quality: Mapping[str, float],
) -> dict[str, Any]:
    """One row of the table, of a generator of images of these shapes."""
    options, shape = recipe.evaluate, (1, *shapes.given)
    cost = generator_cost(about["family"], *shapes.counted, **about["options"])
    with torch.inference_mode():
        latency = torch_latency(net, shape, threads=options.threads, runs=options.latency_runs, channels_last=True)
    return {
        "name": name,
        "family": about["family"],
        "updates": about.get("updates"),
        "metrics": dict(quality),
        "macs": {convention: cost.macs(convention) for convention in CONVENTIONS},
        "params": cost.params,
        "bytes": cost.bytes,
        "latency": latency.as_dict(),
    }


def _plain(row: Mapping[str, Any], convention: str) -> dict[str, float]:
    return {"macs": row["macs"][convention], "params": row["params"], "latency_ms": row["latency"]["p50_ms"]}


def report(work: Work, table: Mapping[str, Any]) -> None:
    """The HTML report, of this stage's table and what the stages before left."""
    folders = work.inputs
    records = {name: read_record(folder) for name, folder in folders.items()}
    facts = {
        "recipe": work.recipe,
        "table": table,
        "stages": {name: dict(record) for name, record in records.items()},
        "logs": {
            path.stem.removeprefix("log-"): Log(path).read()
            for folder in folders.values()
            for path in sorted(folder.glob(log_file("*")))
        },
        "genotype": read_json(folders["search"] / GENOTYPE),
        "manifest": read_json(folders["prepare"] / MANIFEST),
        "compute": str(work.compute),
    }
    pictures = {
        "grid": work.out / f"{GRID}.png",
        "pareto": folders["search"] / FRONT,
        "architecture": folders["search"] / ARCHITECTURE,
    }
    others = {"The other direction": work.out / f"{GRID}{REVERSE}.png", "Relaxation": folders["search"] / RELAXATION}
    pictures |= {name: path for name, path in others.items() if path.is_file()}
    write_report(work.out / REPORT, facts, pictures)
