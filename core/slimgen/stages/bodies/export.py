"""The stage that exports: an ONNX file that was compared with the network, and its card; of each direction found."""

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
from slimgen.export.card import Facts, read_facts, write_card
from slimgen.export.onnx import export_onnx, parity
from slimgen.recipe import Recipe
from slimgen.run.record import recorded, versions
from slimgen.stages.generators import built, described, finished
from slimgen.stages.label import Label
from slimgen.stages.work import Work
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE


def export(work: Work) -> Mapping[str, float]:
    """`generator.onnx` with `card.md`; registered in MLflow as a candidate, and as champion once parity is shown.

    Of both directions where both were found: `generator_reverse.onnx` with `card_reverse.md`, too.
    """
    generators = {
        name: about for name, about in described(work.recipe, work.inputs["finetune"]).items() if "original" not in name
    }
    name = finished(generators)
    suffixes = [suffix for suffix in ("", files.REVERSE) if f"{name}{suffix}" in generators]
    metrics: dict[str, float] = {}
    for number, suffix in enumerate(suffixes):
        tell = partial(_told, work, 3 * number, 3 * len(suffixes))
        found = _exported(work, f"{name}{suffix}", generators[f"{name}{suffix}"], suffix, tell)
        metrics |= {f"{suffix[1:]}{'_' * bool(suffix)}{key}": value for key, value in found.items()}
    return metrics


def _told(work: Work, before: int, total: int, done: int, values: Mapping[str, float]) -> None:
    work.progress("export", before + done, total, values)


def _exported(
    work: Work,
    name: str,
    about: Mapping[str, Any],
    suffix: str,
    tell: Callable[[int, Mapping[str, float]], None],
) -> dict[str, float]:
    """Exports the generator of one direction, and writes its card."""
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
    directed = {} if traits.given == NOISE or traits.single else {"direction": _direction(recipe, suffix)}
    fitted = {} if recipe.data.fit is None else {"pictures of another aspect": recipe.data.fit}
    digest = str(recorded(evaluate, "inputs", "prepare"))
    write_card(
        work.out / files.of_direction(files.CARD, suffix),
        Facts(
            name=_named(recipe, work.label, suffix),
            recipe={"name": recipe.name, "task": recipe.task, "method": recipe.method, "seed": recipe.seed},
            onnx=file,
            parity=difference,
            data={**directed, "size": str(recipe.size), **fitted, "digest of the prepared images": digest},
            licence=work.label.licence,
            budget=recipe.budget.model_dump(exclude_none=True),
            cost=costs(lines[name]),
            original_cost={} if original is None else costs(original),
            quality={
                row: line["metrics"] for row, line in lines.items() if row.endswith(files.REVERSE) == bool(suffix)
            },
            protocol="; ".join([str(table["protocol"]), *table.get("notes", ())]),
            latency=[{"measured": "this file, alone", **latency._asdict()}, *in_turns(lines, name)],
            versions=versions(),
            genotype=about["options"].get("genotype", {}),
            origin=_origin(table.get("origins", {}).get(suffix, {})),
            **({} if traits.reads is None else {"reads": traits.reads}),
        ),
    )
    tell(3, {"parity": difference.max_abs})
    return {
        "bytes": file.bytes,
        "opset": file.opset,
        "parity_max_abs": difference.max_abs,
        "parity_mean_abs": difference.mean_abs,
        "onnxruntime_p50_ms": latency.p50_ms,
        "onnxruntime_p95_ms": latency.p95_ms,
    }


def show(recipe: Recipe, folders: Mapping[str, Path], out: Path, label: Label, compute: str) -> None:
    """Writes the cards again, under another label of their run."""
    for suffix in ("", files.REVERSE):
        path = out / files.of_direction(files.CARD, suffix)
        if path.is_file():
            facts = read_facts(path)
            write_card(path, replace(facts, name=_named(recipe, label, suffix), licence=label.licence))


def _named(recipe: Recipe, label: Label, suffix: str) -> str:
    """The name of the exported model of one direction."""
    return f"{recipe.export.model or label.name}{suffix}"


def _direction(recipe: Recipe, suffix: str) -> str:
    """The direction of a generator: the recipe's, or the reverse one."""
    given = recipe.data.direction
    return given if not suffix else {"AtoB": "BtoA", "BtoA": "AtoB"}[given]


def _origin(facts: Mapping[str, Any]) -> dict[str, str]:
    """Where the original came from, as a card tells it."""
    return {name: value if isinstance(value, str) else "; ".join(value) for name, value in facts.items() if value}


def in_turns(lines: Mapping[str, Mapping[str, Any]], name: str = "found") -> list[dict[str, Any]]:
    """What `evaluate` measured of the original and the exported generator in turns: in onnxruntime, then in PyTorch."""
    original = f"original{files.REVERSE if name.endswith(files.REVERSE) else ''}"
    return [
        {"measured": f"{row}, in turns", **lines[row][kind]}
        for kind in ("latency", "torch_latency")
        for row in (original, name)
        if row in lines and kind in lines[row]  # a table may be older than PyTorch's beside onnxruntime's
    ]


def costs(line: Mapping[str, Any]) -> dict[str, int]:
    """The costs of a table's row under every convention."""
    macs = {f"macs ({name})": int(value) for name, value in line["macs"].items()}
    return {"params": int(line["params"]), "bytes": int(line["bytes"]), **macs}
