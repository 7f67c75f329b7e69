"""Rewritten graphs compute the same, for every size and batch, and only what is known to be even is squared."""

import random
from pathlib import Path

import numpy
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from slimgen.export.onnx import export_onnx
from slimgen.export.rewriting import rewritten
from slimgen.export.rewriting.draft import Draft
from slimgen.export.rewriting.sides import parities
from slimgen.nets import build_generator
from tests.export.graphs import FAMILIES, IMAGES, agree, kinds, model, noise, run

SIZES = [(1, 8, 12), (3, 9, 7), (2, 10, 16)]


RULES = {
    "enlarged": (
        'd = Resize <mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"> '
        "(input, , twice) output = Conv <pads=[1, 1, 1, 1]> (d, k, b)",
        {"k": (4, 8, 3, 3), "b": (4,)},
        {"ConvTranspose": 1},
    ),
    "narrower": ("output = Conv <pads=[1, 1, 1, 1]> (input, k)", {"k": (4, 8, 3, 3)}, {"ConvTranspose": 1}),
    "unevenly padded": ("output = Conv <pads=[0, 1, 2, 0]> (input, k)", {"k": (3, 8, 3, 3)}, {"ConvTranspose": 1}),
    "deep": (
        'w = Conv (input, c) p = Pad <mode="reflect"> (w, around) output = Conv (p, k, b)',
        {"c": (32, 8, 1, 1), "k": (3, 32, 7, 7), "b": (3,)},
        {"Reshape": 2, "Shape": 1, "Concat": 1, "Conv": 1, "Pad": 1, "ConvTranspose": 1},
    ),
    "squared": (
        "t = ConvTranspose <strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]> (input, c) r = Relu (t) "
        'p = Pad <mode="reflect"> (r, around) s = Conv (p, k, b) output = Tanh (s)',
        {"c": (8, 6, 3, 3), "k": (3, 6, 7, 7), "b": (3,)},
        {"ConvTranspose": 1, "Relu": 1, "Pad": 1, "Conv": 1, "DepthToSpace": 1, "Tanh": 1},
    ),
    "rows": (
        "a = Conv (input, k1) m = InstanceNormalization (a, s, b) r = Relu (m) "
        "d = Conv <group=12, pads=[1, 1, 1, 1]> (r, k2) e = InstanceNormalization (d, s, b) "
        "f = Conv (e, k3) g = InstanceNormalization (f, t, t) o = Add (input, g) output = Conv (o, k4, c)",
        {"k1": (12, 8, 1, 1), "s": (12,), "b": (12,), "k2": (12, 1, 3, 3), "k3": (8, 12, 1, 1), "t": (8,)}
        | {"k4": (5, 8, 1, 1), "c": (5,)},
        # Without names for its sides, the sum is not known to be of equal parts, and is one of images.
        {"Conv": 4, "InstanceNormalization": 3, "Relu": 1, "Add": 1, "Reshape": 6, "Shape": 3, "Concat": 3},
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_computes_the_same_for_odd_sizes_and_any_batch(rule: str) -> None:
    text, shapes, expected = RULES[rule]
    plain = model(text, **shapes)
    found = rewritten(plain)
    assert kinds(found) == expected
    agree(plain, found, *((count, 8, height, width) for count, height, width in SIZES))


def test_a_sum_stays_in_rows_from_one_convolution_to_the_next() -> None:
    text, shapes, _ = RULES["rows"]
    plain = model(text, "float[n, 8, 6, 10]", **shapes)
    found = rewritten(plain)
    assert kinds(found) == {"Conv": 4, "InstanceNormalization": 3, "Relu": 1, "Add": 1, "Reshape": 4}
    agree(plain, found, (1, 8, 6, 10), (3, 8, 6, 10))


LEFT = {
    "a stride": ("output = Conv <strides=[2, 2], pads=[1, 1, 1, 1]> (input, k)", (4, 8, 3, 3)),
    "a dilation": ("output = Conv <dilations=[2, 2]> (input, k)", (4, 8, 3, 3)),
    "groups": ("output = Conv <group=2> (input, k)", (4, 4, 3, 3)),
    "as many outputs as inputs": ("output = Conv <pads=[1, 1, 1, 1]> (input, k)", (8, 8, 3, 3)),
    "more padding than kernel": ("output = Conv <pads=[3, 3, 3, 3]> (input, k)", (4, 8, 3, 3)),
    "sides that may be odd": ("output = Conv <pads=[3, 3, 3, 3]> (input, k)", (3, 8, 7, 7)),
    "wide, and even for onnxruntime's layout": ("output = Conv (input, k)", (32, 32, 1, 1)),
}


@pytest.mark.parametrize("reason", LEFT)
def test_unsuitable_nodes_are_left_unchanged(reason: str) -> None:
    text, shape = LEFT[reason]
    plain = model(text, f"float[n, {shape[1]}, h, w]" if "groups" not in reason else IMAGES, k=shape)
    assert rewritten(plain).graph.node == plain.graph.node


@pytest.mark.parametrize(("side", "squares"), [(9, 0), (10, 1)])
def test_a_fixed_size_is_squared_where_it_is_even(side: int, squares: int) -> None:
    plain = model("output = Conv <pads=[2, 2, 2, 2]> (input, k)", f"float[1, 8, {side}, 10]", k=(3, 8, 5, 5))
    found = rewritten(plain)
    assert kinds(found)["DepthToSpace"] == squares
    agree(plain, found, (1, 8, side, 10))


def test_a_convolution_is_put_in_rows_if_its_input_is_in_that_layout() -> None:
    pointwise = {"k": (8, 8, 1, 1), "c": (8, 8, 3, 3)}
    after = model("a = Conv (input, c) r = Relu (a) output = Conv (r, k)", **pointwise)
    assert rewritten(after).graph.node == after.graph.node
    twice = model("a = Conv (input, k) r = Relu (a) output = Conv (r, k)", "float[n, 8, 6, 6]", **pointwise)
    assert [node.op_type for node in rewritten(twice).graph.node] == ["Reshape", "Conv", "Relu", "Conv", "Reshape"]


def test_an_enlarged_feature_that_others_read_stays_for_them() -> None:
    text = RULES["enlarged"][0].replace("output", "c") + " m = Relu (d) output = Concat <axis=1> (c, m)"
    plain = model(text, **RULES["enlarged"][1])
    assert kinds(rewritten(plain)) == {"Resize": 1, "ConvTranspose": 1, "Relu": 1, "Concat": 1}
    agree(plain, rewritten(plain), (2, 8, 5, 6))


def test_sides_are_called_even_or_odd_only_where_they_always_are() -> None:
    rng, claims = random.Random(0), 0
    for _ in range(40):
        parts, last = [], "input"
        for number in range(rng.randint(1, 5)):
            pads, kernel, stride = [rng.randint(0, 3) for _ in range(4)], rng.randint(1, 4), rng.randint(1, 2)
            grown = "ConvTranspose" if rng.random() < 0.6 else "Conv"
            if grown == "ConvTranspose":
                pads = [0] * 4
            parts.append(f"v{number} = {grown} <strides=[{stride}, {stride}], pads={pads}> ({last}, k{kernel})")
            last = f"v{number}"
        shapes = {f"k{kernel}": (8, 8, kernel, kernel) for kernel in range(1, 5)}
        found = model(f"{' '.join(parts)} output = Relu ({last})", **shapes)
        claimed = parities(Draft(found))["output"]
        claims += sum(value is not None for value in claimed)
        for height, width in ((40, 41), (41, 40), (42, 43), (43, 42)):
            sides = run(found, noise(1, 8, height, width)).shape[2:]
            assert all(value in (None, side % 2) for value, side in zip(claimed, sides, strict=True))
    assert claims > 20


def test_a_graph_with_others_inside_is_left_as_it_is() -> None:
    inside = "() => (float[n, o, a, b] y) { y = Conv <pads=[1, 1, 1, 1]> (input, k) }"
    branches = f"then_branch = one {inside}, else_branch = other {inside.replace('y', 'z')}"
    plain = model(f"output = If <{branches}> (yes)", k=(4, 8, 3, 3))
    assert rewritten(plain) is plain


class Drawn(CalibrationDataReader):
    """A few drawn images."""

    def __init__(self) -> None:
        self._left = [{"input": noise(1, 8, 6, 10)} for _ in range(3)]

    def get_next(self) -> dict[str, numpy.ndarray] | None:
        return self._left.pop() if self._left else None


@pytest.mark.parametrize("rule", ["enlarged", "squared", "rows"])
def test_a_rewritten_graph_can_be_quantized_and_halved_as_well_as_a_plain_one(rule: str, tmp_path: Path) -> None:
    text, shapes, _ = RULES[rule]
    plain = model(text, **shapes)
    expected, errors = run(plain, noise(1, 8, 6, 10)), []
    for number, found in enumerate((plain, rewritten(plain))):
        paths = tmp_path / f"{number}.onnx", tmp_path / f"{number}.int8.onnx"
        onnx.save(found, paths[0])
        quantize_static(*paths, Drawn(), per_channel=True, op_types_to_quantize=["Conv", "ConvTranspose"])
        errors.append(numpy.abs(run(onnx.load(paths[1]), noise(1, 8, 6, 10)) - expected).mean())
    assert errors[1] < 1.5 * errors[0] + 1e-3 * expected.std()
    assert errors[1] < 0.1 * expected.std()
    halved = convert_float_to_float16(rewritten(plain), keep_io_types=True)
    assert numpy.abs(run(halved, noise(1, 8, 6, 10)) - expected).mean() < 0.01 * expected.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_computes_the_same_in_graphs_without_idle_or_repeated_nodes(family: str, tmp_path: Path) -> None:
    options, channels = FAMILIES[family]
    side = 64 if "spade" in family else 32 if channels is None else 24
    ends = {"latent": 4} if channels is None else {"channels": channels}
    net = build_generator(family, seed=0, **options)
    every = "spade" not in family  # of whose graphs for every size torch takes a minute
    path = tmp_path / "generator.onnx"
    export_onnx(net, path, height=side, width=side, dynamic=every, rewrite=False, **ends)
    plain = onnx.load(path)
    found = rewritten(plain)
    shapes = [(count, 4) for count in (1, 3)]
    if channels is not None:
        shapes = [(1, channels, side, side), (3, channels, side, (1 + every) * side)]
    agree(plain, found, *shapes)
    idle = {"Identity", "Cast", "Dropout", "Constant"}
    assert not idle & {*kinds(found)}
    once = {
        (node.op_type, *node.input, *(part.SerializeToString() for part in node.attribute)) for node in found.graph.node
    }
    assert len(once) == len(found.graph.node)


def test_the_export_rewrites_by_default(tmp_path: Path) -> None:
    for rewrite in (True, False):
        path = tmp_path / f"{rewrite}.onnx"
        export_onnx(nn.Conv2d(3, 3, 5, padding=2), path, height=8, width=8, dynamic=False, rewrite=rewrite)
        assert kinds(onnx.load(path))["DepthToSpace"] == rewrite


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (1, 1, 1, 1)])
def test_a_number_of_any_rank_leaves_the_axes_free(shape: tuple[int, ...], channels: int, tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8)
            self.rows, self.last = nn.Conv2d(8, channels, 1), nn.Conv2d(channels, 3, 3, padding=1)
            self.scale = nn.Parameter(torch.full(shape, 0.5))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(torch.relu(self.rows(self.norm(self.first(images))) * self.scale))
            return torch.tanh(out)

    file = export_onnx(Scaled().eval(), tmp_path / "scaled.onnx", height=16, width=16)
    assert len(file.dynamic) == 3
