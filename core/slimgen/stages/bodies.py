"""What each stage does, given its work; the evaluation is in a module of its own."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from slimgen import files
from slimgen.cost.latency import onnx_latency
from slimgen.export.card import Facts, write_card
from slimgen.export.onnx import export_onnx, parity
from slimgen.methods import open_method
from slimgen.methods.method import Found
from slimgen.methods.relaxation_trace import LIKELIHOOD
from slimgen.metrics.registry import find
from slimgen.nets.weights import save_weights
from slimgen.report.charts import pareto_chart, probability_chart
from slimgen.report.figures import picture_genotype
from slimgen.run.log import Log
from slimgen.run.record import read_record, versions
from slimgen.search import Objective, Trial, pareto
from slimgen.stages.evaluation import built, described
from slimgen.stages.work import Work
from slimgen.tasks import task_class, traits_of
from slimgen.tasks.task import require_suitable
from slimgen.tasks.traits import NOISE


def prepare(work: Work) -> Mapping[str, float]:
    """Decodes the images into arrays; writes what was rejected, and why, into `manifest.json`.

    Raises:
        DataError: no images, or no known layout.
    """

    def progress(done: int, total: int) -> None:
        work.progress("images", done, total, {})

    manifest = task_class(work.recipe.task).prepare(work.recipe, work.inputs["data"], work.out, progress)
    counts = {f"{name}_images": float(split.count) for name, split in manifest.splits.items()}
    for name, split in manifest.splits.items():
        if split.target_names is not None:  # of two sets, whose other one may be of another length
            counts[f"{name}_targets"] = float(len(split.target_names))
    return {**counts, "rejected": float(len(manifest.rejected)), "unmatched": float(len(manifest.unmatched))}


def teach(work: Work) -> Mapping[str, float]:
    """The original GAN: trained, or imported from the checkpoints that the recipe names."""
    require_suitable(work.job)
    return work.job.task.teach(work.job)


def supernet(work: Work) -> Mapping[str, float]:
    """The weight-sharing network, trained the method's way."""
    require_suitable(work.job)
    return open_method(work.recipe.method).supernet(work.job)


def search(work: Work) -> Mapping[str, float]:
    """Finds the architecture: `genotype.json`, `trials.jsonl`, the Pareto front as a table and a picture."""
    recipe, trace = work.recipe, work.inputs["supernet"] / files.TRACE
    method = open_method(recipe.method)
    found = method.search(work.job)
    objective = found.objective or Objective(recipe.objective.metric, find(recipe.objective.metric).goal)
    front = pareto([trial for trial in found.trials if trial.step == found.trial.step], objective)
    limits = work.job.budget.limits
    write_trials(work, found, front, {"limits": dict(limits), "objective": asdict(objective)})
    # An estimate is no point of a chart of what was measured.
    measured = [trial for trial in found.trials if trial.complete]
    source = "of the relaxation" if objective.metric == LIKELIHOOD else "validation"
    path = work.out / files.FRONT
    pareto_chart(measured, objective, path, chosen=found.trial, limit=limits.get("macs"), measured=source)
    if trace.is_file():
        probability_chart(Log(trace).read(), work.out / files.RELAXATION)
    draw = getattr(method, "picture_genotype", picture_genotype)
    draw(found.trial.genotype, work.out / files.ARCHITECTURE, recipe)
    quality = {f"val_{name}": value for name, value in found.trial.quality.items()}
    return {**quality, **found.trial.costs, **found.facts, "pareto": len(front)}


def write_trials(work: Work, found: Found, front: Sequence[Trial], goals: Mapping[str, object]) -> None:
    """The winner and what it was to reach, all trials, and the front, as files.

    Seconds are left out: equal searches leave equal files.
    """
    winner, *lines = (
        {name: value for name, value in trial.to_json().items() if name != "seconds"}
        for trial in (found.trial, *found.trials)
    )
    files.write_json(work.out / files.GENOTYPE, {**winner, **goals})
    files.write_lines(work.out / files.TRIALS, lines)
    rows = [trial.row() for trial in front]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(work.out / files.PARETO, text.getvalue())


def finetune(work: Work) -> Mapping[str, float]:
    """The found generator, and its rivals where the recipe asks: weights, and `networks.json` to build them."""
    require_suitable(work.job)
    networks: dict[str, object] = {}
    facts: dict[str, float] = {}
    for name, result in open_method(work.recipe.method).finetune(work.job).items():
        save_weights(work.out / files.weights_file(name), result.net.state_dict())
        networks[name] = {"family": result.family, "options": dict(result.options), "updates": result.updates}
        facts |= {f"{name}_{fact}": value for fact, value in {"updates": result.updates, **result.facts}.items()}
    files.write_json(work.out / files.NETWORKS, networks)
    return facts


def export(work: Work) -> Mapping[str, float]:
    """`generator.onnx` with `card.md`; registered in MLflow as a candidate, and as champion once parity is shown."""
    recipe, options, size, path = work.recipe, work.recipe.export, work.recipe.size, work.out / files.ONNX
    finetune, evaluate = work.inputs["finetune"], work.inputs["evaluate"]
    about, traits = described(recipe, finetune)["found"], traits_of(recipe)
    net = built(about, finetune / about["file"])
    samples = torch.from_numpy(np.load(evaluate / files.SAMPLES)["input"])
    noise = samples.dim() == 2
    file = export_onnx(
        net,
        path,
        height=size,
        width=size,
        channels=3 if noise else samples.shape[1],
        latent=samples.shape[1] if noise else None,
        opset=options.opset,
        dynamic=options.dynamic,
    )
    work.progress("export", 1, 3, {})
    difference = parity(net, path, samples, tolerance=options.tolerance)
    work.progress("export", 2, 3, {"parity": difference.max_abs})
    threads, runs = recipe.evaluate.threads, recipe.evaluate.latency_runs
    latency = onnx_latency(path, (1, *samples.shape[1:]), threads=threads, runs=runs)
    table = json.loads((evaluate / files.TABLE).read_text())
    lines = {line["name"]: line for line in table["rows"]}
    directed = {} if traits.given == NOISE else {"direction": recipe.data.direction}
    digest = read_record(evaluate)["inputs"]["prepare"]
    write_card(
        work.out / files.CARD,
        Facts(
            name=options.model or recipe.name,
            recipe={"name": recipe.name, "task": recipe.task, "method": recipe.method, "seed": recipe.seed},
            onnx=file,
            parity=difference,
            data={**directed, "size": size, "digest of the prepared images": digest},
            licence=recipe.data.licence,
            budget=recipe.budget.model_dump(exclude_none=True),
            cost=costs(lines["found"]),
            original_cost=costs(lines["original"]),
            quality={name: line["metrics"] for name, line in lines.items()},
            protocol=str(table["protocol"]),
            latency=[latency._asdict(), lines["found"]["latency"]],
            versions=versions(),
            genotype=about["options"].get("genotype", {}),
            **({} if traits.reads is None else {"reads": traits.reads}),
        ),
    )
    work.progress("export", 3, 3, {"parity": difference.max_abs})
    return {
        "bytes": file.bytes,
        "opset": file.opset,
        "parity_max_abs": difference.max_abs,
        "parity_mean_abs": difference.mean_abs,
        "onnxruntime_p50_ms": latency.p50_ms,
        "onnxruntime_p95_ms": latency.p95_ms,
    }


def costs(line: Mapping[str, Any]) -> dict[str, int]:
    """The costs of a table's row under every convention."""
    macs = {f"macs ({name})": int(value) for name, value in line["macs"].items()}
    return {"params": int(line["params"]), "bytes": int(line["bytes"]), **macs}
