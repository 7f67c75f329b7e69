"""The stage that compares: original, found and uniform generator on the test images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slimgen.cost.formula import CONVENTIONS
from slimgen.cost.latency import torch_latency
from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError
from slimgen.metrics.evaluator import Evaluator, Network, fitting_batch
from slimgen.metrics.kinds import OfSegmentations, PerImage
from slimgen.metrics.registry import find
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.spade.generator import folded
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.report.html import write_report
from slimgen.report.pictures import grid, panels
from slimgen.run.log import Log
from slimgen.run.record import read_record
from slimgen.stages.frame import Metrics, Stage, Tell, perform
from slimgen.stages.searching import RELAXATION
from slimgen.tasks.job import Job
from slimgen.tasks.task import Task
from slimgen.tasks.unconditional import Unconditional

BACK = "_back"
"""The end of the names of generators of the other direction."""
GRID = "grid"


def evaluate(
    recipe: Recipe,
    *,
    prepare: Path,
    teach: Path,
    search: Path,
    finetune: Path,
    out: Path,
    group: str | None = None,
    tell: Tell | None = None,
) -> Metrics:
    """Quality, cost and latency of each generator; image grids; a report that stands alone."""

    def body(stage: Stage) -> Mapping[str, float]:
        job = stage.job()
        require_suitable(recipe, job.data)
        noise = job.task if isinstance(job.task, Unconditional) else None
        pictures = recipe.evaluate.pictures
        sides = {"": direction(stage, job)}
        samples = job.task.condition(sides[""].images.input[: max(8, pictures)])
        rows, generators = [], described(recipe, finetune, teach)
        for place, (name, about) in enumerate(generators.items()):
            way = BACK if name.endswith(BACK) else ""
            side = sides[way] if way in sides else sides.setdefault(way, direction(stage, job, way))
            net = built(about, (teach if name.startswith("original") else finetune) / about["file"])
            seen = Seen(conditioned(job.task, stage.compute.place(net)), pictures**2 if noise else pictures)
            quality = side.evaluator.measure(seen)
            side.columns[name.removesuffix(way)] = seen.pictures()
            rows.append(measured(recipe, name, about, net, (1, *samples.shape[1:]), quality))
            stage.tell("generators", place + 1, len(generators), rows[-1]["metrics"])
        table = {
            "recipe": recipe.name,
            "method": recipe.method,
            "convention": recipe.budget.convention,
            "size": recipe.size,
            "protocol": "; ".join([sides[""].evaluator.protocol, *([noise.protocol()] if noise else [])]),
            "goals": sides[""].evaluator.goals,
            "rows": rows,
        }
        (stage.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
        flat = {line["name"]: {**line["metrics"], **flat_costs(line, recipe.budget.convention)} for line in rows}
        metrics = {f"{name}.{key}": value for name, line in flat.items() for key, value in line.items()}
        (stage.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        np.savez_compressed(stage.out / "samples.npz", input=samples.cpu().contiguous().numpy())
        for way, side in sides.items():
            picture = (panels if noise else grid)(side.columns, stage.out / f"{GRID}{way}.png")
            stage.tracker.image(f"{GRID}{way}", picture)
        report(stage, table, {"prepare": prepare, "teach": teach, "search": search, "finetune": finetune})
        stage.tracker.table("comparison", [{"name": name, **line} for name, line in flat.items()])
        stage.tracker.headline(metrics)
        stage.tracker.artifact(stage.out / "report.html")
        return metrics

    inputs = {"prepare": prepare, "teach": teach, "search": search, "finetune": finetune}
    return perform("evaluate", recipe, inputs, out, body, group=group, tell=tell)


def images_of(job: Job) -> Pair:
    """What finished generators are given, and the real images that they are compared with."""
    if isinstance(job.task, Unconditional):
        return job.task.test(job.data)
    return whole(job.data.split("test"), job.recipe.evaluate.images)


@dataclass(frozen=True)
class Direction:
    """The generators of one direction.

    Attributes:
        images: what they are given, and the real images that they are compared with.
        evaluator: measures them.
        columns: pictures by name: what is given, the real images where each has its own, and what generators make.
    """

    images: Pair
    evaluator: Evaluator
    columns: dict[str, Tensor]


def direction(stage: Stage, job: Job, way: str = "") -> Direction:
    """The recipe's direction, or, with `BACK`, the other one."""
    test, shown = images_of(job), slice(job.recipe.evaluate.pictures)
    columns: dict[str, Tensor] = {}
    if not isinstance(job.task, Unconditional):
        columns["input"] = job.task.picture(test.input[shown])
        if job.data.split("test").paired:
            columns["target"] = test.target[shown]
    if way:
        test = Pair(test.target, test.input)
        columns = {"input": test.input[shown], **({"target": columns["input"]} if "target" in columns else {})}
    return Direction(test, judge(stage, test, way), columns)


class Seen:
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


def require_suitable(recipe: Recipe, data: Prepared) -> None:
    """Whether the prepared images are of the recipe's task, and its metrics can be measured on them.

    Raises:
        DataError: images for another kind of task; or metrics of single images, and test images without partners to
            compare with.
    """
    train = data.split("train")
    found = "images without inputs" if train.inputless else "pairs" if train.coupled else "two sets"
    wanted = {"unpaired": "two sets", "unconditional": "images without inputs"}.get(recipe.task, "pairs")
    if found != wanted:
        raise DataError(f"images are prepared for the task {recipe.task}", found, "prepare them with this recipe")
    single = [metric for metric in recipe.evaluate.metrics if isinstance(find(metric), PerImage)]
    if single and not data.split("test").paired:
        rule = "metrics of single images need a partner for every test image"
        hint = "set evaluate.metrics to metrics of whole sets: [fid], or [fd:NAME] with a feature network of your own"
        raise DataError(rule, f"{', '.join(single)} of two sets", hint)


def judge(stage: Stage, images: Pair, way: str = "") -> Evaluator:
    """The evaluator of one direction; the other one's inputs are no label maps, so there are no segmentations of it."""
    options = stage.recipe.evaluate
    metrics = [metric for metric in options.metrics if not way or not isinstance(find(metric), OfSegmentations)]
    folder = stage.out / f"reference{way}"
    batch = fitting_batch(images.target.shape[-2:], stage.compute.device)
    return Evaluator(images, metrics, compute=stage.compute, batch=batch, features=options.features, reference=folder)


def described(recipe: Recipe, finetune: Path, teach: Path | None = None) -> dict[str, dict[str, Any]]:
    """How to build each generator: family, options, file of weights, updates.

    Args:
        recipe: of the run.
        finetune: where the found ones lie.
        teach: where the original lies; with it, the original of the other direction is among them if it is there.
    """
    original = dict(recipe.teach.generator)
    about: dict[str, Any] = {"family": original.pop("family"), "options": original}
    if teach is not None:
        about["updates"] = int(float(str(read_record(teach)["metrics"].get("updates", 0))))
    generators = {"original": {**about, "file": "generator.safetensors"}}
    for name, found in json.loads((finetune / "networks.json").read_text()).items():
        generators[name] = {**found, "file": f"{name}.safetensors"}
    file = "back_generator.safetensors"
    if teach is not None and (teach / file).is_file():
        back = {name: generators.pop(name) for name in list(generators) if name.endswith(BACK)}
        generators |= {f"original{BACK}": {**about, "file": file}, **back}
    return generators


def conditioned(task: Task, net: nn.Module) -> Network:
    """A generator as a function of prepared inputs."""

    def run(inputs: Tensor) -> Tensor:
        out: Tensor = net(task.condition(inputs))
        return out

    return run


def built(about: Mapping[str, Any], weights: Path) -> nn.Module:
    """A generator with its weights, in evaluation mode."""
    net = build_generator(about["family"], **about["options"])
    net.load_state_dict(load_weights(weights))
    return folded(net).eval()


def measured(
    recipe: Recipe,
    name: str,
    about: Mapping[str, Any],
    net: nn.Module,
    shape: Sequence[int],
    quality: Mapping[str, float],
) -> dict[str, Any]:
    """One row of the table, of a generator that takes an input of this shape."""
    size, options = recipe.size, recipe.evaluate
    cost = generator_cost(about["family"], size, size, **about["options"])
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


def report(stage: Stage, table: Mapping[str, Any], folders: Mapping[str, Path]) -> None:
    """The HTML report, of this stage's table and what the stages before left."""
    records = {name: read_record(folder) for name, folder in folders.items()}
    facts = {
        "recipe": stage.recipe,
        "table": table,
        "stages": {name: dict(record) for name, record in records.items()},
        "logs": {
            path.stem.removeprefix("log-"): Log(path).read()
            for folder in folders.values()
            for path in sorted(folder.glob("log-*.jsonl"))
        },
        "genotype": json.loads((folders["search"] / "genotype.json").read_text()),
        "manifest": json.loads((folders["prepare"] / "manifest.json").read_text()),
        "compute": str(stage.compute),
    }
    pictures = {
        "grid": stage.out / f"{GRID}.png",
        "pareto": folders["search"] / "pareto.png",
        "architecture": folders["search"] / "architecture.png",
    }
    others = {"The other direction": stage.out / f"{GRID}{BACK}.png", "Relaxation": folders["search"] / RELAXATION}
    pictures |= {name: path for name, path in others.items() if path.is_file()}
    write_report(stage.out / "report.html", facts, pictures)
