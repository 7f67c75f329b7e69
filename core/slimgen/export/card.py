"""Model card: all facts for a user of the exported file, as Markdown and as JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slimgen.errors import RunError
from slimgen.export.axes import in_words
from slimgen.export.editions import BYTES, EDGES, IDS, Edition
from slimgen.export.example import RGB, bytes_snippet, pictured, snippet
from slimgen.export.front_matter import front_matter
from slimgen.export.onnx import OnnxFile, Parity
from slimgen.export.tables import Value, editions_table, pairs, records, rows, text, variants_table
from slimgen.export.tiling import ALIKE, Tiling
from slimgen.export.variants import Variant
from slimgen.files import plain, write_json, write_text
from slimgen.text import markdown


@dataclass(frozen=True)
class Facts:
    """Contents of a card, all of them measured or configured.

    Attributes:
        recipe: name, task, method and other facts that identify it.
        data: the training data: name, images, size, digest.
        licence: the data's, in its owners' words; it also binds the model's use. None if none was given.
        budget: limits of the search, such as `macs`.
        cost: `params`, `bytes` and MACs by convention of the exported generator.
        original_cost: the same of the original; empty for a generator that was trained elsewhere and adopted.
        quality: values by metric, for each measured network (`original`, `found`, `narrowed`).
        protocol: how these values were measured.
        latency: one mapping per measurement: runtime, threads, size, milliseconds.
        versions: of slimgen, torch and the like.
        reads: type and range of the input values.
        origin: file, sha256 and notes of an imported original.
        row: name of the exported generator in `quality`.
        speed: its latency relative to the original's, in words; empty if one of them was not measured.
        pictures: name of a file beside the card that shows inputs and outputs; empty for none.
        tiles: how pictures of any size pass through a file that enlarges them; None if it does not.
        variants: the file in each number format, fp32 first; empty in cards of older versions.
        files: other editions of the file.
        calibrated: what the value ranges of int8 come from; empty without int8.
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
    row: str = "found"
    speed: str = ""
    pictures: str = ""
    tiles: Tiling | None = None
    variants: Sequence[Variant] = ()
    files: Sequence[Edition] = ()
    calibrated: str = ""


def write_card(path: Path, facts: Facts) -> None:
    """Write the card beside the exported file, as Markdown to `path` (`card.md`) and as JSON (`card.json`).

    Raises:
        RunError: a file cannot be written.
    """
    record = dataclasses.asdict(facts)
    record["onnx"]["path"] = facts.onnx.path.name
    record["call"] = snippet(facts.onnx, facts.tiles)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".json"), record)
    write_text(path, card(facts))


def read_facts(path: Path) -> Facts:
    """Return the facts of the card at `path`, from the JSON beside it.

    Raises:
        RunError: it is missing, damaged, or of another slimgen.
    """
    beside = path.with_suffix(".json")
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        onnx = {**record["onnx"], "path": path.with_name(record["onnx"]["path"])}
        read = ("call", "onnx", "parity", "tiles", "variants", "files")
        rest = {name: value for name, value in record.items() if name not in read}
        # Cards of older versions have no tiles, variants or files.
        rest["tiles"] = Tiling.of(record["tiles"]) if record.get("tiles") else None
        rest["variants"] = [Variant.of(one) for one in record.get("variants", ())]
        rest["files"] = [Edition(**one) for one in record.get("files", ())]
        return Facts(**rest, onnx=OnnxFile(**onnx), parity=Parity(**record["parity"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{beside} must hold the facts of the card", error, "run slimgen export again") from error


def card(facts: Facts) -> str:
    """Return the card as Markdown, with the YAML that model hubs read at its head."""
    onnx, parity = facts.onnx, facts.parity
    varies = f"{_listed(onnx.dynamic)} may vary" if onnx.dynamic else "every axis is fixed"
    reason = f" ({onnx.fixed_because})" if onnx.fixed_because else ""
    source, given = ("images", "images") if pictured(onnx) else ("noise", "rows of noise")
    made = "found and exported" if facts.original_cost else "trained elsewhere, adopted and exported"
    about = {**facts.recipe, "size": facts.data.get("size")}
    quality = facts.quality.get(facts.row, {})
    parts = [
        front_matter(facts.name, about, facts.licence, quality, from_images=pictured(onnx)),
        f"# {markdown(facts.name)}",
        f"A generator of images from {source}, {made} by slimgen: `{onnx.path.name}`, "
        f"{onnx.bytes:,} bytes, ONNX operator set {onnx.opset}.",
        *([f"![Test inputs, and the output of each generator for them]({facts.pictures})"] if facts.pictures else []),
        "## Use",
        "```sh\npip install onnxruntime pillow numpy\n```",
        rows(("", "name", "shape", "values"), [_end(onnx, "input", facts.reads), _end(onnx, "output")]),
        f"Exported at {onnx.height}x{onnx.width} px; {varies}{reason}{_multiples(onnx)}{_least(onnx)}.",
        *([_tiles(facts.tiles)] if facts.tiles else []),
        f"```python\n{snippet(onnx, facts.tiles)}```",
        *(["## Variants", *variants_table(facts.variants, facts.calibrated)] if len(facts.variants) > 1 else []),
        *(["## Other files", editions_table(facts.files), *_bytes(facts)] if facts.files else []),
        "## Intended use and limits",
        _limits(facts),
        *_came(facts),
        "## Training" if facts.original_cost else "## Measuring",
        pairs({**facts.recipe, **{f"data: {key}": value for key, value in facts.data.items()}}),
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
        speed = [f"Relative to the original, on the machine that measured both: {facts.speed}."] if facts.speed else []
        turns = [TURNS] if any("in turns" in str(one.get("measured")) for one in facts.latency) else []
        parts += ["## Latency", *speed, _latency(facts.latency), *turns]
    if facts.genotype:
        parts += ["## Architecture", f"```json\n{json.dumps(plain(facts.genotype), indent=2)}\n```"]
    if facts.versions:
        parts += ["## Made with", pairs(facts.versions)]
    return "\n\n".join(parts) + "\n"


ALONE = "this file, when exported"
TURNS = (
    "Compare what was measured in turns, original and file one after the other, again and again: a machine is not "
    "equally fast all the time. This file itself was measured later, in turns with its variants."
)
"""Why a file has two latencies."""


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words: `batch, height and width`."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def _multiples(onnx: OnnxFile) -> str:
    """Return the rule for other heights and widths, where not every size runs."""
    return f"; height and width must be multiples of {onnx.multiple}" if onnx.multiple > 1 else ""


def _bytes(facts: Facts) -> list[str]:
    """Return the code for a file of 8-bit pictures, of the recommended variant; nothing where there is none."""
    best = next((one.name for one in facts.variants if one.recommended), "fp32")
    names = [one.file for one in facts.files if one.kind == BYTES]
    name = next((name for name in names if f"_{best}_" in name), next(iter(names), None))
    if name is None:
        return []
    about = next(one.about for one in facts.files if one.file == name)
    code = bytes_snippet(facts.onnx, name, labels=IDS in about, instances=EDGES in about)
    return ["A file of 8-bit pictures needs no conversion:", f"```python\n{code}```"] if code else []


def _least(onnx: OnnxFile) -> str:
    """Return the smallest sides, where they may vary."""
    return f", at least {onnx.least} px each" if onnx.least else ""


def _tiles(tiles: Tiling) -> str:
    """Return what the code below does with a picture of any size, and how far its result is from the whole one's."""
    begin = "This code enlarges `picture.png`, which may have any size,"
    if tiles.window is None:
        return f"{begin} whole, so its memory grows with the picture: {markdown(tiles.whole_because)}."
    size = f"{tiles.window[0]}x{tiles.window[1]} px"
    if tiles.least == tiles.window:
        size = f"{size}, the only size that the file takes"
    windows = f"{begin} in windows of {size}, so its memory does not grow with the picture."
    around = f"What a window makes of the {tiles.overlap} px at its inner sides is not used."
    if tiles.max_abs is None or tiles.measured_at is None:
        return f"{windows} {around} How far windows differ where they meet was not measured."
    other = "from that of their neighbours" if tiles.least == tiles.window else "from that of the whole picture"
    drawn = f"a drawn picture of {tiles.measured_at[0]}x{tiles.measured_at[1]} px"
    seams = " Their borders may be seen." if tiles.max_abs > ALIKE[-1] else ""
    rest = f"The rest differed {other} by at most {tiles.max_abs:.3g}, of a range of [-1, 1], in {drawn}."
    return f"{windows} {around} {rest}{seams}"


def _end(onnx: OnnxFile, kind: str, values: str = "float32 in [-1, 1]") -> tuple[str, ...]:
    name, shape = onnx.input if kind == "input" else onnx.output
    kinds = {RGB: ", RGB", 1: ", grey"}
    channels = kinds.get(int(shape[1]), f", {shape[1]} channels") if len(shape) == 4 else ""
    return kind, f"`{name}`", ", ".join(in_words(axis, onnx.multiple) for axis in shape), f"{values}{channels}"


def _limits(facts: Facts) -> str:
    """Return the section on the purpose of the model and on uses that were not tested."""
    onnx, recipe = facts.onnx, facts.recipe
    given = "images like its training images" if pictured(onnx) else "random noise"
    task = f" (task `{recipe['task']}`)" if recipe.get("task") else ""
    other = "Other sizes" if onnx.multiple == 1 else f"Other multiples of {onnx.multiple} px"
    trained = f"{facts.data.get('size') or f'{onnx.height}x{onnx.width}'} px"
    lines = [
        f"For generating images from {given}{task}, on devices where the original is too large or too slow.",
        f"Trained on patches of {trained}, and measured on {facts.data['measured on']}."
        if "measured on" in facts.data
        else f"Trained and measured at {trained}."
        + (f" {other} run; their quality was not measured." if {"height", "width"} & set(onnx.dynamic) else ""),
        "Its quality was measured on the test images of one data set. Inputs of another kind may give poor images.",
        "It invents details that look plausible: its images are no evidence of anything, and it repeats the biases of "
        "its training images.",
        "Latency depends on the device, the runtime and the number of threads: measure it again on the target device.",
    ]
    if facts.licence:
        lines.append(f"Use of the model is bound by the licence of the data: {markdown(facts.licence)}.")
    else:
        lines.append("The terms of the training images are unknown: ask their owners before you publish the model.")
    return "\n".join(f"- {line}" for line in lines)


def _latency(latency: Sequence[Mapping[str, Value]]) -> str:
    """Return the measurements that differ as a table; the JSON beside the card has the rest."""
    lines = []
    for one in latency:
        size = f"{one['height']}x{one['width']}" if "height" in one and "width" in one else ""
        times = [
            f"{value:.4g}" if isinstance(value := one.get(name), int | float) else "" for name in ("p50_ms", "p95_ms")
        ]
        about = [text(one.get(name)) for name in ("measured", "runtime", "variant", "threads")]
        lines.append([*about, size, *times])
    return rows(("", "runtime", "variant", "threads", "px", "median ms", "95th percentile ms"), lines)


def _came(facts: Facts) -> list[str]:
    """Return the section on the source of imported weights; empty if there are none."""
    if not facts.origin:
        return []
    what = "The original that it was compressed from was" if facts.original_cost else "It was"
    return ["## Origin", f"{what} trained elsewhere, and imported from a file.", pairs(facts.origin)]


def _quality(facts: Facts) -> str:
    if not any(facts.quality.values()):
        return "Not measured."
    return records([{"network": name, **values} for name, values in facts.quality.items()])


def _cost(facts: Facts) -> str:
    if not facts.original_cost:
        return pairs(facts.cost)
    lines = []
    for name in dict.fromkeys((*facts.cost, *facts.original_cost)):
        found, original = facts.cost.get(name), facts.original_cost.get(name)
        numbers = isinstance(found, int | float) and isinstance(original, int | float) and found
        times = f"{original / found:.2f}x" if numbers else ""  # type: ignore[operator]
        lines.append((name, text(original), text(found), times, text(facts.budget.get(name))))
    lines += [(name, "", "", "", text(limit)) for name, limit in facts.budget.items() if name not in facts.cost]
    return rows(("", "original", "exported", "smaller by", "budget"), lines)
