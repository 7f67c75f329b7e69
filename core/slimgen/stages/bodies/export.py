"""The stage that exports: one ONNX file that was compared with the network, and its card."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from slimgen import files
from slimgen.cost.latency import onnx_latency
from slimgen.export.card import Facts, write_card
from slimgen.export.onnx import export_onnx, parity
from slimgen.run.record import recorded, versions
from slimgen.stages.generators import built, described
from slimgen.stages.work import Work
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def export(work: Work) -> Mapping[str, float]:
    """`generator.onnx` with `card.md`; registered in MLflow as a candidate, and as champion once parity is shown."""
    recipe, options, path = work.recipe, work.recipe.export, work.out / files.ONNX
    finetune, evaluate = work.inputs["finetune"], work.inputs["evaluate"]
    about, traits = described(recipe, finetune)["found"], traits_of(recipe)
    net = built(about, finetune / about["file"])
    samples = torch.from_numpy(np.load(evaluate / files.SAMPLES)["input"])
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
    work.progress("export", 1, 3, {})
    difference = parity(net, path, samples, tolerance=options.tolerance)
    work.progress("export", 2, 3, {"parity": difference.max_abs})
    threads, runs = recipe.evaluate.threads, recipe.evaluate.latency_runs
    latency = onnx_latency(path, (1, *samples.shape[1:]), threads=threads, runs=runs)
    table = json.loads((evaluate / files.TABLE).read_bytes())
    lines = {line["name"]: line for line in table["rows"]}
    directed = {} if traits.given == NOISE else {"direction": recipe.data.direction}
    digest = str(recorded(evaluate, "inputs", "prepare"))
    write_card(
        work.out / files.CARD,
        Facts(
            name=options.model or recipe.name,
            recipe={"name": recipe.name, "task": recipe.task, "method": recipe.method, "seed": recipe.seed},
            onnx=file,
            parity=difference,
            data={**directed, "size": str(recipe.size), "digest of the prepared images": digest},
            licence=recipe.data.licence,
            budget=recipe.budget.model_dump(exclude_none=True),
            cost=costs(lines["found"]),
            original_cost=costs(lines["original"]),
            quality={name: line["metrics"] for name, line in lines.items()},
            protocol="; ".join([str(table["protocol"]), *table.get("notes", ())]),
            latency=[{"measured": "this file, alone", **latency._asdict()}, *in_turns(lines)],
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


def in_turns(lines: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What `evaluate` measured of the original and the found generator in turns: in onnxruntime, then in PyTorch."""
    return [
        {"measured": f"{name}, in turns", **lines[name][kind]}
        for kind in ("latency", "torch_latency")
        for name in ("original", "found")
        if kind in lines[name]  # a table may be older than PyTorch's beside onnxruntime's
    ]


def costs(line: Mapping[str, Any]) -> dict[str, int]:
    """The costs of a table's row under every convention."""
    macs = {f"macs ({name})": int(value) for name, value in line["macs"].items()}
    return {"params": int(line["params"]), "bytes": int(line["bytes"]), **macs}
