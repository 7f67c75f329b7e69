"""The model card: everything a user of the exported file must know, for people (Markdown) and programs (JSON)."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slimgen.errors import RunError
from slimgen.export.onnx import OnnxFile, Parity
from slimgen.files import plain, write_json, write_text
from slimgen.text import markdown

Value = str | int | float | bool | None
RGB = 3


@dataclass(frozen=True)
class Facts:
    """What a card tells. All of it was measured or configured; nothing is typed in.

    Attributes:
        recipe: its name, task, method and whatever else identifies it.
        data: what the model was trained on: name, images, size, digest.
        licence: of the data, in its owners' words, by which the model's use is bound; None where nobody gave one.
        budget: limits the search kept, such as `macs`.
        cost: what the exported generator costs, such as `params`, `bytes` and MACs by convention.
        original_cost: likewise of the generator it replaces; empty where it replaces none, but was trained elsewhere.
        quality: metric to value for each network measured (`original`, `found`, `narrowed`).
        protocol: the evaluator's, of these values.
        latency: one mapping for each measurement: runtime, threads, size, milliseconds.
        versions: of slimgen, torch and the like.
        reads: what the values of its input are.
        origin: where the original came from, if it was imported: file, sha256 and what was noted.
    """

    name: str
    recipe: Mapping[str, Value]
    onnx: OnnxFile
    parity: Parity
    data: Mapping[str, Value]
    licence: str | None
    budget: Mapping[str, Value]
    cost: Mapping[str, Value]
    original_cost: Mapping[str, Value]
    quality: Mapping[str, Mapping[str, float]]
    protocol: str
    latency: Sequence[Mapping[str, Value]] = ()
    versions: Mapping[str, Value] = field(default_factory=dict)
    genotype: Mapping[str, object] = field(default_factory=dict)
    reads: str = "float32 in [-1, 1]"
    origin: Mapping[str, Value] = field(default_factory=dict)


def write_card(path: Path, facts: Facts) -> None:
    """Writes the card beside the exported file, as Markdown to `path` (`card.md`) and as JSON (`card.json`).

    Raises:
        RunError: a file cannot be written.
    """
    record = dataclasses.asdict(facts)
    record["onnx"]["path"] = facts.onnx.path.name
    record["call"] = snippet(facts.onnx)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".json"), record)
    write_text(path, card(facts))


def read_facts(path: Path) -> Facts:
    """The facts of the card at `path`, from the JSON beside it.

    Raises:
        RunError: it is missing, damaged, or of another slimgen.
    """
    beside = path.with_suffix(".json")
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        onnx = {**record["onnx"], "path": path.with_name(record["onnx"]["path"])}
        rest = {name: value for name, value in record.items() if name not in ("call", "onnx", "parity")}
        return Facts(**rest, onnx=OnnxFile(**onnx), parity=Parity(**record["parity"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{beside} must hold the facts of the card", error, "run slimgen export again") from error


def card(facts: Facts) -> str:
    """The card as Markdown."""
    onnx, parity = facts.onnx, facts.parity
    varies = f"{' and '.join(onnx.dynamic)} may vary" if onnx.dynamic else "fixed in every axis"
    reason = f" ({onnx.fixed_because})" if onnx.fixed_because else ""
    source, given = ("images", "images") if pictured(onnx) else ("noise", "rows of noise")
    made = "found and exported" if facts.original_cost else "trained elsewhere, adopted and exported"
    parts = [
        f"# {markdown(facts.name)}",
        f"A generator of images from {source}, {made} by slimgen: `{onnx.path.name}`, "
        f"{onnx.bytes:,} bytes, ONNX operator set {onnx.opset}.",
        "## Use",
        _rows(("", "name", "shape", "values"), [_end("input", *onnx.input, facts.reads), _end("output", *onnx.output)]),
        f"Exported at {onnx.height}x{onnx.width} px; {varies}{reason}.",
        f"```python\n{snippet(onnx)}```",
        *_came(facts),
        "## Training" if facts.original_cost else "## Measuring",
        _pairs({**facts.recipe, **{f"data: {key}": value for key, value in facts.data.items()}}),
        *([f"Licence of the data: {markdown(facts.licence)}"] if facts.licence else []),
        "## Cost",
        _cost(facts),
        "## Quality",
        _quality(facts),
        f"Protocol: {markdown(facts.protocol)}.",
        "## Agreement with PyTorch",
        f"On {parity.images} {given}, onnxruntime and PyTorch in float32 differ by {parity.max_abs:.3g} at most and "
        f"{parity.mean_abs:.3g} on average, of a range of [-1, 1] ({parity.psnr_db:.1f} dB). "
        f"Allowed: {parity.tolerance:g}.",
    ]
    if facts.latency:
        parts += ["## Latency", _records(facts.latency)]
    if facts.genotype:
        parts += ["## Architecture", f"```json\n{json.dumps(plain(facts.genotype), indent=2)}\n```"]
    if facts.versions:
        parts += ["## Made with", _pairs(facts.versions)]
    return "\n\n".join(parts) + "\n"


def snippet(onnx: OnnxFile) -> str:
    """Python that runs the file from its own folder: on `picture.png` where images are RGB or grey, else on an array.

    What it makes of noise is written to `generated.png`.
    """
    name, shape = onnx.input
    start = f'session = onnxruntime.InferenceSession("{onnx.path.name}")\n'
    levels = '((generated + 1) * 127.5).round().clip(0, 255).astype("uint8")'
    write = f'PIL.Image.fromarray({levels}).save("generated.png")\n'
    if not pictured(onnx):
        flat = "[..., 0]" if onnx.output[1][1] == 1 else ""
        return (
            f"import numpy, onnxruntime, PIL.Image\n\n{start}"
            f"noise = numpy.random.default_rng(0).standard_normal((1, {shape[1]}), numpy.float32)\n"
            f'generated = session.run(None, {{"{name}": noise}})[0][0].transpose(1, 2, 0){flat}\n'
            f"{write}"
        )
    if shape[1] == onnx.output[1][1] == 1:
        return (
            f"import numpy, onnxruntime, PIL.Image\n\n{start}"
            f'picture = PIL.Image.open("picture.png").convert("L").resize(({onnx.width}, {onnx.height}))\n'
            "image = numpy.asarray(picture, numpy.float32)[None, None] / 127.5 - 1\n"
            f'generated = session.run(None, {{"{name}": image}})[0][0, 0]\n'
            f"{write}"
        )
    if shape[1] != RGB or onnx.output[1][1] != RGB:
        return (
            f"import numpy, onnxruntime\n\n{start}"
            f"image = numpy.zeros((1, {shape[1]}, {onnx.height}, {onnx.width}), numpy.float32)\n"
            f'generated = session.run(None, {{"{name}": image}})[0]\n'
        )
    return (
        f"import numpy, onnxruntime, PIL.Image\n\n{start}"
        f'picture = PIL.Image.open("picture.png").convert("RGB").resize(({onnx.width}, {onnx.height}))\n'
        "image = numpy.asarray(picture, numpy.float32).transpose(2, 0, 1)[None] / 127.5 - 1\n"
        f'generated = session.run(None, {{"{name}": image}})[0][0].transpose(1, 2, 0)\n'
        f"{write}"
    )


def pictured(onnx: OnnxFile) -> bool:
    """Whether the file takes images or label maps, and not noise."""
    return len(onnx.input[1]) == 4


def _end(kind: str, name: str, shape: tuple[int | str, ...], values: str = "float32 in [-1, 1]") -> tuple[str, ...]:
    kinds = {RGB: ", RGB", 1: ", grey"}
    channels = kinds.get(int(shape[1]), f", {shape[1]} channels") if len(shape) == 4 else ""
    return kind, f"`{name}`", ", ".join(str(axis).replace(" ", "") for axis in shape), f"{values}{channels}"


def _came(facts: Facts) -> list[str]:
    """The section on where imported weights came from; none where there are none."""
    if not facts.origin:
        return []
    what = "The original that it was compressed from was" if facts.original_cost else "It was"
    return ["## Origin", f"{what} trained elsewhere, and imported from a file.", _pairs(facts.origin)]


def _quality(facts: Facts) -> str:
    if not any(facts.quality.values()):
        return "Not measured."
    return _records([{"network": name, **values} for name, values in facts.quality.items()])


def _cost(facts: Facts) -> str:
    if not facts.original_cost:
        return _pairs(facts.cost)
    rows = []
    for name in dict.fromkeys((*facts.cost, *facts.original_cost)):
        found, original = facts.cost.get(name), facts.original_cost.get(name)
        numbers = isinstance(found, int | float) and isinstance(original, int | float) and found
        times = f"{original / found:.2f}x" if numbers else ""  # type: ignore[operator]
        rows.append((name, _text(original), _text(found), times, _text(facts.budget.get(name))))
    rows += [(name, "", "", "", _text(limit)) for name, limit in facts.budget.items() if name not in facts.cost]
    return _rows(("", "original", "exported", "smaller by", "budget"), rows)


def _records(records: Sequence[Mapping[str, Value]]) -> str:
    """A column for each name that a record has."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return _rows(map(markdown, names), [[_text(record.get(name)) for name in names] for record in records])


def _pairs(values: Mapping[str, Value]) -> str:
    return _rows(("", ""), [(markdown(name), _text(value)) for name, value in values.items()])


def _rows(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    heading = list(names)
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return markdown(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1 else f"{value:,.3f}"
