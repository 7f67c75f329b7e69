"""The networks of a run's page: the original, exported for it, and the variants that the export wrote."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from torch import Tensor, nn

from slimgen import files
from slimgen.demo.page import Model
from slimgen.errors import RunError
from slimgen.export.onnx import OnnxFile, export_onnx, parity
from slimgen.export.tiling import tiling
from slimgen.recipe import Recipe
from slimgen.report.words import number, title
from slimgen.report.words import size as filesize
from slimgen.run.record import Record
from slimgen.text import amount

RGB = 3


def original(
    net: nn.Module, recipe: Recipe, samples: Tensor, card: Mapping[str, Any], row: str
) -> tuple[Model, OnnxFile]:
    """Return an original for the page, exported and compared with the network on samples, and what its file takes.

    Args:
        net: the original, in evaluation mode.
        recipe: the run's recipe.
        samples: some of its inputs, (N, C, H, W) or (N, latent).
        card: the facts of the exported generator's card, with the original's costs and quality.
        row: the original's name in them.

    Raises:
        ExportError: it cannot be expressed in ONNX, or its outputs differ.
    """
    noise, scale = samples.dim() == 2, recipe.data.scale
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / files.ONNX
        made = export_onnx(
            net,
            path,
            **recipe.size._asdict(),
            channels=RGB if noise else samples.shape[1],
            latent=samples.shape[1] if noise else None,
            opset=recipe.export.opset,
            dynamic=recipe.export.dynamic,
        )
        parity(net, path, samples)
        windows = asdict(tiling(made, scale)) if scale > 1 else None
        content = path.read_bytes()
    facts = _facts(len(content), card.get("original_cost", {}), card.get("quality", {}).get(row, {}))
    return Model("original", "original", content, facts, windows), made


def variants(export: Path, record: Record, card: Mapping[str, Any]) -> tuple[list[Model], list[str]]:
    """Return the exported variants, and a sentence for each that a page cannot run.

    Args:
        export: the folder of the stage.
        record: its record; files that it does not list are left out.
        card: the facts of the card; older ones name no variants, and there is only the file itself.
    """
    row = str(card.get("row", "found"))
    alone = {"name": "fp32", "file": card["onnx"]["path"], "quality": card.get("quality", {}).get(row, {})}
    named, shown = card.get("variants") or [alone], row.removesuffix(files.REVERSE)
    models, skipped = [], []
    for variant in named:
        name, path = str(variant["name"]), export / Path(str(variant["file"])).name
        if path.name not in record["outputs"] or not path.is_file():
            skipped.append(f"The variant {name} is left out, because {path.name} is not among the export's files.")
            continue
        content = path.read_bytes()
        if not _float32(content):
            skipped.append(f"The variant {name} is left out, because it takes or returns no float32.")
            continue
        facts = _facts(len(content), card.get("cost", {}), variant.get("quality") or {})
        called = f"{shown}, {name}" if len(named) > 1 else shown
        recommended = bool(variant.get("recommended"))
        models.append(Model(name, called, content, facts, card.get("tiles"), recommended))
    return models, skipped


def read_card(path: Path) -> Mapping[str, Any]:
    """Return the content of a card; raise RunError if it is missing or lacks what a page needs."""
    card = files.read_json(path)
    file = card.get("onnx", {}) if isinstance(card, dict) else {}
    if not isinstance(card, dict) or not {"path", "height", "width", "dynamic", "input"} <= set(file):
        raise RunError(f"{path} must hold the facts of the card", "a damaged one", "run slimgen export again")
    return card


def sizes(card: Mapping[str, Any]) -> tuple[bool, int]:
    """Return whether the exported file takes any height and width, and of which number they must be multiples."""
    return {"height", "width"} <= set(card["onnx"]["dynamic"]), int(card["onnx"].get("multiple", 1))


def _facts(size: int, cost: Mapping[str, Any], quality: Mapping[str, float]) -> dict[str, str]:
    """Return what is known of a network, in words: its file, its costs, and what was measured of it."""
    found = {"file": filesize(size)}
    if "params" in cost:
        found["parameters"] = amount(cost["params"])
    if "macs (exact)" in cost:
        found["MACs"] = amount(cost["macs (exact)"])
    return found | {title(metric): number(value) for metric, value in quality.items()}


def _float32(content: bytes) -> bool:
    """Return whether a file takes and returns float32."""
    graph = onnx.load_model_from_string(content).graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return types == {onnx.TensorProto.FLOAT}
