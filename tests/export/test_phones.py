"""Graphs for phones compute the same in the operators that phones take: in closed form, and for every family."""

import itertools
from pathlib import Path

import numpy
import onnx
import pytest
import torch
from onnx import ModelProto
from torch.nn import functional

from slimgen.errors import ExportError
from slimgen.export.converting.converters.graph import Graph
from slimgen.export.onnx import export_fixed
from slimgen.export.rewriting.phones import for_phones
from slimgen.export.rewriting.phones.pads import FILLED, positions, runs
from slimgen.export.rewriting.phones.pixels import cubic_kernels
from slimgen.export.usability import verdicts
from slimgen.nets import build_generator
from tests.export.graphs import FAMILIES, agree, kinds, model, noise, run

TAKEN = {
    *("Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "Resize", "DepthToSpace", "Slice", "Concat"),
    *("Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Tanh", "Reshape"),
}
"""All operators of all families' graphs for phones."""
NEAREST = 'mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"'


def fixed(text: str, *shape: int, **constants: tuple[int, ...] | numpy.ndarray) -> ModelProto:
    """A model from images of one shape."""
    found = model(text, f"float[{', '.join(map(str, shape))}]", **constants)
    found.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(found)


def both(plain: ModelProto, *shape: int) -> tuple[ModelProto, numpy.ndarray]:
    """The graph for phones, and its result; the plain one has the same."""
    before = plain.SerializeToString(deterministic=True)
    found = for_phones(plain)
    assert plain.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(found, full_check=True)
    result = run(found, noise(*shape))
    numpy.testing.assert_allclose(result, run(plain, noise(*shape)), rtol=0, atol=1e-5)
    return found, result


PADS = [(1, 1, 1, 1), (3, 3, 3, 3), (0, 1, 2, 3), (2, 0, 0, 0)]
"""Pixels before height and width, and after them."""


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap", "constant"])
@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("sides", [(5, 4), (4, 7)])
def test_a_padding_is_put_together_of_slices(mode: str, pads: tuple[int, ...], sides: tuple[int, int]) -> None:
    given = numpy.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
    text = f'output = Pad <mode="{mode}"> (input, p)'
    found, result = both(fixed(text, 1, 2, *sides, p=given), 1, 2, *sides)
    assert set(kinds(found)) <= {"Slice", "Concat"}
    around = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
    numpy.testing.assert_array_equal(result, numpy.pad(noise(1, 2, *sides), around, mode))


def test_a_padding_may_cut_and_fill_and_name_its_axes() -> None:
    text = "output = Pad (input, p, value, axes)"
    constants = {"p": numpy.array([-1, 2]), "value": numpy.array(7, numpy.float32), "axes": numpy.array([-1])}
    found, result = both(fixed(text, 1, 2, 3, 5, **constants), 1, 2, 3, 5)
    assert kinds(found) == {"Slice": 1, "Concat": 1}
    numpy.testing.assert_array_equal(result[..., :4], noise(1, 2, 3, 5)[..., 1:])
    assert (result[..., 4:] == 7).all()
    assert result.shape == (1, 2, 3, 6)


def test_a_padding_by_nothing_and_one_of_unknown_amounts() -> None:
    found, _ = both(fixed("p = Pad (input, none) output = Relu (p)", 1, 2, 3, 3, none=numpy.zeros(8, int)), 1, 2, 3, 3)
    assert kinds(found)["Pad"] == 0
    unknown = fixed("s = Shape (input) d = Concat <axis=0> (s, s) e = Sub (d, d) output = Pad (input, e)", 1, 2, 3, 3)
    unknown.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("output", 1, [1, 2, 3, 3]))
    assert kinds(both(unknown, 1, 2, 3, 3)[0])["Pad"] == 1


def test_positions_of_a_mirrored_row_and_their_runs() -> None:
    assert positions(4, 3, 2, "reflect") == [3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert runs([3, 2, 1, 0, 1, 2, 3, 2, 1]) == [(3, 1), (2, 1), (1, 1), (0, 4), (2, 1), (1, 1)]
    assert runs(positions(3, 2, 1, "constant")) == [(FILLED, 2), (0, 3), (FILLED, 1)]


def scattered(images: numpy.ndarray, kernel: numpy.ndarray, bias: numpy.ndarray, **window: list[int]) -> numpy.ndarray:
    """A transposed convolution by its definition: each pixel adds its multiple of the kernel to the result."""
    strides, pads, more, spread = (window[name] for name in ("strides", "pads", "output_padding", "dilations"))
    inputs, part = kernel.shape[:2]
    groups = window["group"][0]
    sides = [
        (images.shape[2 + at] - 1) * strides[at] + spread[at] * (kernel.shape[2 + at] - 1) + 1 + more[at]
        for at in (0, 1)
    ]
    result = numpy.zeros((1, part * groups, *sides))
    for channel, row, column in itertools.product(range(inputs), *map(range, images.shape[2:])):
        first = channel // (inputs // groups) * part
        for down, right in itertools.product(*map(range, kernel.shape[2:])):
            place = row * strides[0] + down * spread[0], column * strides[1] + right * spread[1]
            taps = kernel[channel, :, down, right]
            result[0, first : first + part, place[0], place[1]] += images[0, channel, row, column] * taps
    result += bias[None, :, None, None]
    return result[:, :, pads[0] : sides[0] - pads[2], pads[1] : sides[1] - pads[3]]


WINDOWS = {
    "of a ResNet": (3, [2, 2], [1, 1, 1, 1], [1, 1], [1, 1], 1),
    "of a U-Net": (4, [2, 2], [1, 1, 1, 1], [0, 0], [1, 1], 1),
    "with groups": (4, [2, 2], [1, 1, 1, 1], [0, 0], [1, 1], 2),
    "uneven": (3, [2, 3], [0, 1, 2, 1], [1, 2], [1, 1], 1),
    "spread": (3, [2, 2], [2, 2, 2, 2], [1, 1], [2, 2], 2),
    "beyond the kernel": (2, [2, 2], [0, 0, 0, 0], [1, 1], [1, 1], 1),
    "beyond a spread kernel": (2, [3, 3], [1, 0, 0, 0], [2, 1], [2, 2], 1),
    "with stride 1": (4, [1, 1], [2, 2, 2, 2], [0, 0], [1, 1], 1),
    "without padding": (2, [2, 2], [0, 0, 0, 0], [0, 0], [1, 1], 1),
}
"""Kernel, strides, pads, output padding, dilations and groups."""
WHOLE = ("without padding", "beyond the kernel")


@pytest.mark.parametrize("which", WINDOWS)
@pytest.mark.parametrize("sides", [(5, 4), (4, 5)])
def test_a_transposed_convolution_is_cropped_instead_of_padded(which: str, sides: tuple[int, int]) -> None:
    side, strides, pads, more, spread, groups = WINDOWS[which]
    kernel, bias = noise(4, 3, side, side), noise(3 * groups)
    text = (
        f"output = ConvTranspose <strides={strides}, pads={pads}, output_padding={more}, dilations={spread}, "
        f"group={groups}> (input, k, b)"
    )
    found, result = both(fixed(text, 1, 4, *sides, k=kernel, b=bias), 1, 4, *sides)
    window = {"strides": strides, "pads": pads, "output_padding": more, "dilations": spread, "group": [groups]}
    numpy.testing.assert_allclose(result, scattered(noise(1, 4, *sides), kernel, bias, **window), rtol=0, atol=1e-5)
    conv = found.graph.node[0]
    given = {one.name: onnx.helper.get_attribute_value(one) for one in conv.attribute}
    assert given["pads"] == [0] * 4
    assert "output_padding" not in given
    assert kinds(found)["Slice"] == (which not in WHOLE)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_enlargement_is_a_convolution(factor: int) -> None:
    text = 'output = Resize <mode="cubic"> (input, , s)'
    given = fixed(text, 1, 3, 5, 4, s=numpy.array([1, 1, factor, factor], numpy.float32))
    found, result = both(given, 1, 3, 5, 4)
    assert set(kinds(found)) == {"Slice", "Concat", "Conv", "DepthToSpace"}
    images = torch.from_numpy(noise(1, 3, 5, 4))
    expected = functional.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    numpy.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    numpy.testing.assert_allclose(cubic_kernels(factor, -0.75).sum((1, 2)), 1, atol=1e-6)


def test_nearest_neighbours_are_enlarged_by_whole_factors_and_sliced_where_they_shrink() -> None:
    sizes = fixed(f"output = Resize <{NEAREST}> (input, , , n)", 1, 2, 3, 4, n=numpy.array([1, 2, 6, 12]))
    found, result = both(sizes, 1, 2, 3, 4)
    numpy.testing.assert_array_equal(result, noise(1, 2, 3, 4).repeat(2, 2).repeat(3, 3))
    scales = next(one for one in found.graph.initializer if one.name == found.graph.node[0].input[2])
    assert onnx.numpy_helper.to_array(scales).tolist() == [1, 1, 2, 3]
    smaller = fixed(f"output = Resize <{NEAREST}> (input, , , n)", 1, 2, 6, 9, n=numpy.array([1, 2, 3, 3]))
    found, result = both(smaller, 1, 2, 6, 9)
    assert kinds(found) == {"Slice": 1}
    numpy.testing.assert_array_equal(result, noise(1, 2, 6, 9)[:, :, ::2, ::3])


LEFT = {
    "a factor that is not whole": (f"output = Resize <{NEAREST}> (input, , , n)", {"n": numpy.array([1, 8, 7, 9])}),
    "another rounding": (
        'output = Resize <mode="nearest", nearest_mode="ceil"> (input, , , n)',
        {"n": numpy.array([1, 8, 12, 12])},
    ),
    "cubic to a size that is no multiple": (
        'output = Resize <mode="cubic"> (input, , , n)',
        {"n": numpy.array([1, 8, 7, 9])},
    ),
    "cubic between aligned corners": (
        'output = Resize <mode="cubic", coordinate_transformation_mode="align_corners"> (input, , , n)',
        {"n": numpy.array([1, 8, 12, 12])},
    ),
    "channels of no convolution": ('output = DepthToSpace <blocksize=2, mode="CRD"> (input)', {}),
    "channels of a grouped convolution": (
        'c = Conv <group=2> (input, k) output = DepthToSpace <blocksize=2, mode="CRD"> (c)',
        {"k": (8, 4, 1, 1)},
    ),
    "channels that others read": (
        'c = Conv (input, k) d = DepthToSpace <blocksize=2, mode="CRD"> (c) s = ReduceMean (c) output = Add (d, s)',
        {"k": (8, 8, 1, 1)},
    ),
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_has_no_form_for_phones_is_left_as_it_is(reason: str) -> None:
    text, constants = LEFT[reason]
    plain = fixed(text, 1, 8, 6, 6, **constants)
    found, _ = both(plain, 1, 8, 6, 6)
    assert kinds(found) == kinds(plain)


def test_linear_resizing_keeps_what_it_reads() -> None:
    text = (
        'output = Resize <mode="linear", coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.5> (input, , s)'
    )
    found, _ = both(fixed(text, 1, 2, 4, 5, s=numpy.array([1, 1, 2, 2], numpy.float32)), 1, 2, 4, 5)
    assert {one.name for one in found.graph.node[0].attribute} == {"mode", "coordinate_transformation_mode"}


@pytest.mark.parametrize("biased", [True, False])
def test_channels_become_pixels_place_by_place(biased: bool) -> None:
    text = (
        f'c = Conv <pads=[1, 1, 1, 1]> (input, k{", b" * biased}) output = DepthToSpace <blocksize=2, mode="CRD"> (c)'
    )
    kernel, bias = noise(12, 2, 3, 3), noise(12)
    found, result = both(fixed(text, 1, 2, 4, 5, k=kernel, b=bias), 1, 2, 4, 5)
    assert kinds(found) == {"Conv": 1, "DepthToSpace": 1}
    order = next((one.s for one in found.graph.node[1].attribute if one.name == "mode"), b"DCR")
    assert order == b"DCR"
    images, *rest = map(torch.from_numpy, (noise(1, 2, 4, 5), kernel, *[bias] * biased))
    expected = functional.pixel_shuffle(functional.conv2d(images, *rest, padding=1), 2)
    numpy.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [2, 3])
def test_pixels_become_channels_by_a_convolution_of_ones_and_zeros(block: int) -> None:
    class Unshuffled(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return functional.pixel_unshuffle(images, block)

    shape = (1, 3, 2 * block, 4 * block)
    plain = onnx.load_from_string(export_fixed(Unshuffled(), shape, rewrite=False))
    found, result = both(plain, *shape)
    assert kinds(found) == {"Conv": 1}
    numpy.testing.assert_array_equal(result, functional.pixel_unshuffle(torch.from_numpy(noise(*shape)), block))


def test_a_batch_norm_is_a_product_and_a_sum() -> None:
    variance = numpy.abs(noise(3)) + 0.1
    text = "output = BatchNormalization <epsilon=0.01> (input, s, b, m, v)"
    values = {"s": noise(3) + 2, "b": noise(3) - 1, "m": noise(3) * 3, "v": variance}
    found, result = both(fixed(text, 1, 3, 4, 5, **values), 1, 3, 4, 5)
    assert kinds(found) == {"Mul": 1, "Add": 1}
    scale, bias, mean, spread = (value[None, :, None, None] for value in values.values())
    expected = (noise(1, 3, 4, 5) - mean) / numpy.sqrt(spread + 0.01) * scale + bias
    numpy.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("order", ["c, one", "one, c"])
def test_a_number_that_is_added_to_a_convolution_is_part_of_its_bias(biased: bool, order: str) -> None:
    text = f"c = Conv (input, k{', b' * biased}) d = Add ({order}) output = Mul (d, input)"
    constants = {"k": noise(2, 2, 1, 1), "b": noise(2), "one": numpy.array(1, numpy.float32)}
    found, result = both(fixed(text, 1, 2, 4, 5, **constants), 1, 2, 4, 5)
    assert kinds(found) == {"Conv": 1, "Mul": 1}
    made = numpy.einsum("oi,nihw->nohw", constants["k"][..., 0, 0], noise(1, 2, 4, 5)) + 1
    made += constants["b"].reshape(1, 2, 1, 1) * biased
    numpy.testing.assert_allclose(result, made * noise(1, 2, 4, 5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", ["d = Add (c, one) output = Mul (d, c)", "output = Add (c, b)", "output = Add (c, c)"])
def test_other_sums_after_a_convolution_stay(text: str) -> None:
    constants = {"k": (2, 2, 1, 1), "b": (2, 1, 1), "one": numpy.array(1, numpy.float32)}
    found, _ = both(fixed(f"c = Conv (input, k) {text}", 1, 2, 4, 5, **constants), 1, 2, 4, 5)
    assert kinds(found)["Add"] == 1


@pytest.mark.parametrize(("side", "left"), [(8, set()), (9, {"ceil_mode", "count_include_pad"})])
def test_pooling_rounds_up_only_where_that_has_an_effect(side: int, left: set[str]) -> None:
    window = "kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0]"
    text = f"output = AveragePool <{window}, ceil_mode=1, count_include_pad=1> (input)"
    found, result = both(fixed(text, 1, 2, side, 8), 1, 2, side, 8)
    names = {one.name for one in found.graph.node[0].attribute}
    assert names & {"ceil_mode", "count_include_pad"} == left
    expected = functional.avg_pool2d(torch.from_numpy(noise(1, 2, side, 8)), 2, ceil_mode=True)
    numpy.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_a_varying_shape_and_a_branch_are_refused() -> None:
    with pytest.raises(ExportError, match=r"must have one fixed shape; got one that varies in 'input'"):
        for_phones(model("output = Relu (input)", "float[n, 3, 8, 8]"))
    inside = "() => (float[n, o, a, b] y) { y = Relu (input) }"
    branches = f"then_branch = one {inside}, else_branch = other {inside.replace('y', 'z')}"
    with pytest.raises(ExportError, match="no branches and no loops"):
        for_phones(model(f"output = If <{branches}> (yes)", "float[1, 3, 8, 8]"))


def as_a_module(found: ModelProto, path: Path, shape: tuple[int, ...]) -> None:
    """Converters that start from PyTorch read the graph back as a module: it computes the same."""
    onnx.save(found, path)
    expected = run(found, noise(*shape))
    for norms in (False, True):
        module = Graph(str(path), norms=norms).eval()
        with torch.inference_mode():
            made = module(torch.from_numpy(noise(*shape)))
        numpy.testing.assert_allclose(made, expected, rtol=0, atol=1e-5 * numpy.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_computes_the_same_and_is_taken_whole_by_coreml(family: str, tmp_path: Path) -> None:
    options, channels = FAMILIES[family]
    side = 64 if "spade" in family else 24
    shape = (1, 4) if channels is None else (1, channels, side, side + side // 2 if family != "unet" else side)
    net = build_generator(family, seed=0, **options)
    plain = onnx.load_from_string(export_fixed(net, shape, rewrite=False))
    found = for_phones(plain)
    agree(plain, found, shape)
    as_a_module(found, tmp_path / "edge.onnx", shape)
    assert set(kinds(found)) <= TAKEN
    assert not any(" " in node.name for node in found.graph.node)
    verdict = verdicts(tmp_path / "edge.onnx")["CoreML"]
    assert (verdict.takes, verdict.partitions, verdict.reasons) == ("YES", 1, ())
    assert verdict.supported == verdict.nodes
