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
    sides = {"": comparison(work)}
    samples = job.task.condition(sides[""].images.input[: max(8, pictures)])
    rows: list[dict[str, Any]] = []
    generators = described(recipe, work.inputs["finetune"], work.inputs["teach"])
    for name, about in generators.items():
        way = REVERSE if name.endswith(REVERSE) else ""
        side = sides[way] if way in sides else sides.setdefault(way, comparison(work, way))
        folder = work.inputs["teach" if name.startswith("original") else "finetune"]
        net = built(about, folder / about["file"])
        generate = Keeping(conditioned(job.task, work.compute.place(net)), pictures**2 if noise else pictures)
        quality = side.evaluator.measure(generate)
        side.columns[name.removesuffix(way)] = generate.pictures()
        rows.append(measured(recipe, name, about, net, shapes, quality))
        work.progress("generators", len(rows), len(generators), rows[-1]["metrics"])
    table = {
        "recipe": recipe.name,
        "method": recipe.method,
        "convention": recipe.budget.convention,
        "size": recipe.size,
        "protocol": "; ".join(filter(None, (sides[""].evaluator.protocol, job.task.protocol()))),
        "goals": sides[""].evaluator.goals,
        "rows": rows,
    }
    write_json(work.out / TABLE, table)
    flat = {line["name"]: {**line["metrics"], **flat_costs(line, recipe.budget.convention)} for line in rows}
    metrics = {f"{name}.{key}": value for name, line in flat.items() for key, value in line.items()}
    write_json(work.out / METRICS, metrics)
    save_arrays(work.out / SAMPLES, {"input": samples}, compressed=True)
    for way, side in sides.items():
        (panels if noise else grid)(side.columns, work.out / f"{GRID}{way}.png")
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


def comparison(work: Work, way: str = "") -> Comparison:
    """The recipe's direction, or, with `REVERSE`, the other one."""
    task, data, count = work.job.task, work.job.data, work.recipe.evaluate.pictures
    test, paired = task.test(data), data.split("test").paired
    if way:
        test = Pair(test.target, test.input)
    columns = task.columns(test, count, paired)
    return Comparison(test, evaluator_of(work, test, way), columns)


class Keeping:
    """A generator whose first images are kept, while all are measured batch by batch.

    Args:
        net: the generator.
        count: how many to keep.
    """

    def __init__(self, net: Network, count: int) -> None:
        self.net, self.count = net, count
        self._kept: list[Tensor] = []

    def __call__(self, inputs: Tensor) -> Tensor:
        """The generator's images."""
        made = self.net(inputs)
        missing = self.count - sum(map(len, self._kept))
        if missing > 0:
            self._kept.append(made[:missing].float().cpu())
        return made

    def pictures(self) -> Tensor:
        """The first images: float32 (at most count, C, H, W) on the CPU."""
        return torch.cat(self._kept)


def evaluator_of(work: Work, images: Pair, way: str = "") -> Evaluator:
    """The evaluator of one direction; the other one's inputs are no label maps, so there are no segmentations of it."""
    options = work.recipe.evaluate
    metrics = [metric for metric in options.metrics if not way or not isinstance(find(metric), OfSegmentations)]
    folder = work.out / f"reference{way}"
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


def flat_costs(line: Mapping[str, Any], convention: str) -> dict[str, float]:
    """The costs of a row as plain numbers, MACs under the budget's convention as everywhere in MLflow."""
    return {
        "macs": line["macs"][convention],
        "params": line["params"],
        "latency_ms": line["latency"]["p50_ms"],
    }


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
