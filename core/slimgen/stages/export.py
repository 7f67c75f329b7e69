"""The stage that exports: one ONNX file that was compared with the network, and its card."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from slimgen.cost.latency import onnx_latency
from slimgen.export.card import Facts, write_card
from slimgen.export.onnx import export_onnx
from slimgen.export.parity import parity
from slimgen.files import CARD, ONNX, SAMPLES, TABLE
from slimgen.recipe import Recipe
from slimgen.run.record import read_record, versions
from slimgen.stages.generators import built, described
from slimgen.stages.work import Work
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def export(work: Work) -> Mapping[str, float]:
    """`generator.onnx` with `card.md`; registered in MLflow as a candidate, and as champion once parity is shown."""
    recipe, finetune, evaluate = work.recipe, work.inputs["finetune"], work.inputs["evaluate"]
    about = described(recipe, finetune)["found"]
    net = built(about, finetune / about["file"])
    samples = torch.from_numpy(np.load(evaluate / SAMPLES)["input"])
    options, size = recipe.export, recipe.size
    path = work.out / ONNX
    traits, noise = traits_of(recipe), samples.dim() == 2
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
    table = json.loads((evaluate / TABLE).read_text())
    lines = {line["name"]: line for line in table["rows"]}
    genotype = about["options"].get("genotype", {})
    write_card(
        work.out / CARD,
        Facts(
            name=options.model or recipe.name,
            recipe={"name": recipe.name, "task": recipe.task, "method": recipe.method, "seed": recipe.seed},
            onnx=file,
            parity=difference,
            data=trained_on(recipe, evaluate),
            licence=recipe.data.licence,
            budget=recipe.budget.model_dump(exclude_none=True),
            cost=costs(lines["found"]),
            original_cost=costs(lines["original"]),
            quality={name: line["metrics"] for name, line in lines.items()},
            protocol=str(table["protocol"]),
            latency=[latency.as_dict(), lines["found"]["latency"]],
            versions=versions(),
            genotype=genotype,
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


def costs(line: Mapping[str, object]) -> dict[str, int]:
    """The costs of a table's row under every convention."""
    macs = line["macs"]
    named = {f"macs ({name})": int(value) for name, value in macs.items()} if isinstance(macs, dict) else {}
    return {"params": int(str(line["params"])), "bytes": int(str(line["bytes"])), **named}


def trained_on(recipe: Recipe, evaluate: Path) -> dict[str, str | int]:
    """What the generator was trained on, as the card says it."""
    digest = read_record(evaluate)["inputs"]["prepare"]
    directed = traits_of(recipe).given != NOISE
    direction: dict[str, str | int] = {"direction": recipe.data.direction} if directed else {}
    return {**direction, "size": recipe.size, "digest of the prepared images": digest}
