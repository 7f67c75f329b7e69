"""Speed of exported networks in onnxruntime, before and after their graphs are rewritten, against their MACs.

    taskset -c 1 python -m benchmarks.graph [--sizes 64 128 256 --rounds 6]

The networks are the original of the small presets, the generators found in benchmarks/results/fair-townhouses-32.json,
and one random generator for each path of townhouses-cf_gan's space, with 1/10 to 1/8 of the original's MACs. Each is
exported with dynamic batch, height and width, and its graph is rewritten; all graphs take turns on one thread. The
speed-up over the original is compared with the ratio of MACs, and onnxruntime's profile shows where the time goes. Then
each rewriting rule is tested on single convolutions, within and outside its range. Last, trellises with one width
throughout show the cost of a MAC when kernels compute more channels than there are. It takes minutes on an idle core.
"""

import argparse
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import onnx
from onnx import numpy_helper, parser, shape_inference

from benchmarks.results import RESULTS, save
from slimgen import recipe
from slimgen.cost.latency import onnx_call, onnx_session
from slimgen.export.latency.clock import Clock
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.onnx import export_onnx
from slimgen.export.rewriting import rewritten
from slimgen.export.rewriting.convolutions import enlarged, squared, transposed
from slimgen.export.rewriting.draft import Draft
from slimgen.export.rewriting.rows import in_rows
from slimgen.methods.cf_gan.options import SupernetOptions
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cf_gan.space import OPERATORS, Shape, path_name, paths, trellis_space
from slimgen.recipe import section

FOUND, PRESET, BUDGET = "benchmarks/townhouses-32.yaml", "townhouses-cf_gan", (1 / 10, 1 / 8)
ORIGINAL = "original"
FORMS = ("before", "after")
PROFILED = 20  # calls in a profile
WIDTHS = (4, 6, 8, 12, 16, 20, 24, 32)
RULES: Mapping[str, tuple[str, Callable[..., None]]] = {
    "transposed": ("y = Conv <pads={pads}> (input, k)", transposed),
    "squared": ("y = Conv <pads={pads}> (input, k)", squared),
    "enlarged": (
        'd = Resize <mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"> '
        "(input, , twice) y = Conv <pads={pads}> (d, k)",
        enlarged,
    ),
    "in rows": ("y = Conv (input, k)", in_rows),
}
CASES = {
    **{("transposed", 3): [(8, 3), (32, 3), (64, 3), (8, 4), (8, 8), (16, 8), (24, 8), (24, 12), (48, 12), (32, 16)]},
    **{("transposed", 7): [(8, 3), (16, 3), (32, 3), (64, 3)], ("squared", 7): [(8, 3), (16, 3), (32, 3), (64, 3)]},
    **{("squared", 3): [(8, 3), (32, 3), (64, 3), (8, 4), (16, 8)]},
    **{("enlarged", 3): [(8, 4), (8, 8), (16, 8), (24, 12), (16, 16), (32, 16), (8, 12)]},
    **{("in rows", 1): [(4, 8), (8, 8), (8, 12), (16, 16), (16, 48), (48, 16), (32, 32), (64, 64)]},
}
"""Rule and kernel to pairs of input and output channels."""


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        found = whole(networks(), arguments.sizes, arguments.rounds, Path(folder))
    found["rules"] = rules(arguments.sizes, arguments.rounds)
    found["widths"] = widths(arguments.sizes[0], arguments.rounds)
    save("graph", found)
    print("\n".join(lines(found)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=6, help="visits to each graph, with four timed calls each")
    return parser.parse_args()


def networks() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return name to family and options."""
    preset = recipe.load(PRESET)
    original = dict(preset.teach.generator)
    found: dict[str, tuple[str, dict[str, Any]]] = {ORIGINAL: (str(original.pop("family")), original)}
    measured = json.loads((RESULTS / "fair-townhouses-32.json").read_text())["budgets"]
    for budget, values in measured.items():
        for number, genotype in enumerate(values["genotypes"]):
            found[f"found {number}, {budget}"] = "trellis", {**options(shape_of(FOUND)), "genotype": genotype}
    shape, rng = shape_of(PRESET), random.Random(0)
    for name in map(path_name, paths(shape.groups)):
        found[f"random {name}, 1/8"] = "trellis", within(shape, name, macs(*found[ORIGINAL]), rng)
    return found


def shape_of(name: str) -> Shape:
    """Return the trellis of a recipe."""
    return section(SupernetOptions, recipe.load(name).supernet, "supernet").shape


def options(shape: Shape) -> dict[str, Any]:
    """Return the options to build a generator of this shape."""
    return {name: getattr(shape, name) for name in ("ngf", "groups", "blocks", "ratios", "multiple")}


def within(shape: Shape, path: str, original: int, rng: random.Random) -> dict[str, Any]:
    """Return the options of a random generator of a path, with MACs within the budget."""
    space = trellis_space(shape)
    while True:
        chosen = {**options(shape), "genotype": space.canonical({**space.sample(rng), "path": path})}
        if BUDGET[0] <= macs("trellis", chosen) / original <= BUDGET[1]:
            return chosen


def macs(family: str, chosen: Mapping[str, Any], size: int = 64) -> int:
    """Return the exact MACs on one image."""
    return generator_cost(family, size, size, **chosen).exact


def whole(
    chosen: Mapping[str, tuple[str, dict[str, Any]]], sizes: Sequence[int], rounds: int, folder: Path
) -> dict[str, Any]:
    """Measure every network: milliseconds before and after rewriting, MACs, and a profile after rewriting."""
    graphs: dict[tuple[str, str], bytes] = {}
    for name, (family, values) in chosen.items():
        path = folder / "generator.onnx"
        export_onnx(build_generator(family, seed=0, **values), path, height=sizes[0], width=sizes[0], rewrite=False)
        plain = onnx.load(path)
        graphs[name, "before"], graphs[name, "after"] = path.read_bytes(), rewritten(plain).SerializeToString()
    found: dict[str, Any] = {"networks": {}, "sizes": list(sizes)}
    for name, (family, values) in chosen.items():
        nodes = {form: len(onnx.load_from_string(graphs[name, form]).graph.node) for form in FORMS}
        found["networks"][name] = {"macs": macs(family, values), "nodes": nodes, "ms": {}, "kernels": {}}
    for size in sizes:
        times = in_turns(graphs, (1, 3, size, size), rounds)
        for name, row in found["networks"].items():
            row["ms"][size] = {form: times[name, form] for form in FORMS}
            row["kernels"][size] = profile(graphs[name, "after"], (1, 3, size, size), folder)
    return found


def in_turns(graphs: Mapping[Any, bytes], shape: Sequence[int], rounds: int) -> dict[Any, float]:
    """Return the median over the visits to each graph, in milliseconds on one thread."""
    clock, visits = Clock(1), defaultdict[Any, list[float]](list)
    for _ in range(rounds):
        for name, graph in graphs.items():
            visits[name].append(clock.visit(graph, shape))
    return {name: median(times) for name, times in visits.items()}


def profile(graph: bytes, shape: Sequence[int], folder: Path) -> dict[str, float]:
    """Return each kernel type's share of the time of all kernels, from onnxruntime's profile."""
    session = onnx_session(graph, 1, profile=folder / "profile")
    call = onnx_call(session, shape)
    for _ in range(PROFILED):
        call()
    path = Path(session.end_profiling())
    kernels = defaultdict[tuple[str, str], list[float]](list)
    for event in json.loads(path.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            kernels[event["args"]["op_name"], event["name"]].append(event["dur"])
    path.unlink()
    kinds = defaultdict[str, float](float)
    for (kind, _), times in kernels.items():
        kinds[kind] += min(times)  # wall-clock time, which includes other processes' use of the core
    spent = sum(kinds.values())
    return {kind: value / spent for kind, value in sorted(kinds.items(), key=lambda item: -item[1])}


def rules(sizes: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Measure single convolutions in microseconds, plain and rewritten, and whether the rule applies."""
    rows = []
    for rule, kernel, inputs, outputs, size in cases(sizes):
        text, rewrite = RULES[rule]
        side = size // 2 if rule == "enlarged" else size
        plain = single(text.format(pads=[kernel // 2] * 4), (outputs, inputs, kernel, kernel), side)
        forced = Draft(plain)
        rewrite(forced, everywhere=True)
        named = {"plain": plain.SerializeToString(), "rewritten": forced.model().SerializeToString()}
        times = in_turns(named, (1, inputs, side, side), rounds)
        applied = kinds(rewritten(plain)) == kinds(forced.model())
        about = {"rule": rule, "kernel": kernel, "inputs": inputs, "outputs": outputs, "size": size, "applied": applied}
        rows.append({**about, **{f"{name}, us": 1000 * value for name, value in times.items()}})
    return rows


def widths(size: int, rounds: int) -> dict[str, dict[int, dict[str, float]]]:
    """Return MACs and milliseconds after rewriting, by the operator of all blocks and the width at full resolution."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for operator in OPERATORS:
        every, graphs = {}, {}
        for ngf in WIDTHS:
            space = trellis_space(Shape(ngf, ratios=(1.0,)))
            blocks = {name: operator for name in space if name.startswith("operator.")}
            chosen = {"ngf": ngf, "ratios": (1.0,), "genotype": space.canonical({**space.largest(), **blocks})}
            every[ngf] = macs("trellis", chosen, size)
            graphs[ngf] = onnx_graph(build_generator("trellis", seed=0, **chosen), (1, 3, size, size))
        times = in_turns(graphs, (1, 3, size, size), rounds)
        found[operator] = {ngf: {"macs": every[ngf], "ms": times[ngf]} for ngf in WIDTHS}
    return found


def kinds(model: onnx.ModelProto) -> list[str]:
    """Return the operators of a model, in order."""
    return [node.op_type for node in model.graph.node]


def cases(sizes: Sequence[int]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield rule, kernel, inputs, outputs and size of every case."""
    for (rule, kernel), pairs in CASES.items():
        for inputs, outputs in pairs:
            yield from ((rule, kernel, inputs, outputs, size) for size in sizes)


def single(text: str, shape: tuple[int, ...], side: int) -> onnx.ModelProto:
    """Return a model with one convolution with drawn weights of this shape, and a ReLU."""
    head = f'<ir_version: 10, opset_import: ["": 20]> g (float[1, {shape[1]}, {side}, {side}] input)'
    model = parser.parse_model(f"{head} => (float[n, o, h, w] output) {{ {text} output = Relu (y) }}")
    weights = numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "k"))
    if "twice" in text:
        model.graph.initializer.append(numpy_helper.from_array(numpy.array([1, 1, 2, 2], numpy.float32), "twice"))
    return shape_inference.infer_shapes(model)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return three Markdown tables: networks, rules and widths."""
    sizes, original = [str(size) for size in found["sizes"]], found["networks"][ORIGINAL]
    heads = ["network", "MACs reduced, times", "nodes", *(f"{size} px, ms" for size in sizes)]
    heads += [f"times as fast, {size} px" for size in sizes]
    text = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name, row in found["networks"].items():
        ratio, ms = original["macs"] / row["macs"], {int(size): values for size, values in row["ms"].items()}
        first = {int(size): values for size, values in original["ms"].items()}
        cells = [name, f"{ratio:.1f}", " -> ".join(str(row["nodes"][form]) for form in FORMS)]
        cells += [" -> ".join(f"{ms[int(size)][form]:.2f}" for form in FORMS) for size in sizes]
        for size in map(int, sizes):
            gains = [first[size][form] / ms[size][form] for form in FORMS]
            cells.append(f"{gains[0]:.2f} -> {gains[1]:.2f} ({gains[1] / ratio:.2f} of the MACs)")
        text.append(f"| {' | '.join(cells)} |")
    text += ["", "| rule | kernel | channels | px | plain, us | rewritten, us | applied |", "| --- " * 7 + "|"]
    for row in found["rules"]:
        cells = [row["rule"], str(row["kernel"]), f"{row['inputs']} to {row['outputs']}", str(row["size"])]
        cells += [f"{row['plain, us']:.0f}", f"{row['rewritten, us']:.0f}", "yes" if row["applied"] else "no"]
        text.append(f"| {' | '.join(cells)} |")
    known = [str(ngf) for ngf in next(iter(found["widths"].values()))]
    text += ["", f"| us per MMAC at {sizes[0]} px | {' | '.join(f'{ngf} channels' for ngf in known)} |"]
    text.append("| --- " * (1 + len(known)) + "|")
    for operator, row in found["widths"].items():
        each = [1e9 * values["ms"] / values["macs"] for values in row.values()]
        text.append(f"| {' | '.join([operator, *(f'{value:.1f}' for value in each)])} |")
    return text


if __name__ == "__main__":
    main()
