import math
from dataclasses import asdict
from pathlib import Path

import numpy
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from slimgen.cost.latency import onnx_session
from slimgen.errors import ExportError
from slimgen.export.formats import ALL, FAST, INT8, MULTIPLIED, QUANTIZED, half, plan, quantized
from slimgen.export.onnx import export_onnx
from slimgen.export.running import OnnxGenerator
from slimgen.export.variants import Variant, change_of, recommended, tolerated

GOALS = {"psnr": "max", "fid": "min"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generator with a convolution and a transposed one, exported in float32."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 48, 3, 2, 1), nn.InstanceNorm2d(48), nn.ReLU(), nn.ConvTranspose2d(48, 3, 3, 2, 1, 1), nn.Tanh()
    )
    path = tmp_path_factory.mktemp("variants") / "generator.onnx"
    export_onnx(net.eval(), path, height=16, width=16)
    return path


def images(count: int) -> torch.Tensor:
    return torch.rand((count, 3, 16, 16), generator=torch.Generator().manual_seed(1)) * 2 - 1


def outputs(path: Path, given: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = OnnxGenerator(path, 1)(given)
    return made


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def test_half_precision_halves_the_weights_and_keeps_the_ends_in_float32(plain: Path, tmp_path: Path) -> None:
    made = half(onnx.load(plain))
    kinds = {tensor.data_type for tensor in made.graph.initializer if math.prod(tensor.dims) > 8}
    assert kinds == {onnx.TensorProto.FLOAT16}
    ends = (*made.graph.input, *made.graph.output)
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    path = written(tmp_path / "half.onnx", made)
    assert (outputs(path, images(2)) - outputs(plain, images(2))).abs().max() < 0.01


def test_quantized_weights_lie_on_the_grid_of_their_channel(plain: Path, tmp_path: Path) -> None:
    before = onnx.load(plain)
    model = quantized(before, (part.numpy() for part in images(8).split(1)), ALL)
    assert before == onnx.load(plain)  # the model itself is unchanged
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    original = {tensor.name: numpy_helper.to_array(tensor) for tensor in before.graph.initializer}
    checked = 0
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0].removesuffix("_quantized") in original:
            name = node.input[0].removesuffix("_quantized")
            if original[name].ndim != 4:
                continue
            axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
            shape = [1] * 4
            shape[axis] = -1
            scale = tensors[node.input[1]].reshape(shape)
            assert tensors[node.input[0]].dtype == numpy.int8
            # The largest weight of each channel is so many steps, so rounding is at most half a step.
            assert numpy.abs(tensors[node.input[0]] * scale - original[name]).max() <= 0.5001 * scale.max()
            largest = numpy.abs(original[name]).max(tuple(i for i in range(4) if i != axis))
            assert numpy.allclose(scale.ravel() * MULTIPLIED, largest, rtol=0.02)
            assert numpy.abs(tensors[node.input[0]]).max() == MULTIPLIED
            checked += 1
    assert checked == sum(node.op_type in QUANTIZED for node in before.graph.node)
    path = written(tmp_path / "int8.onnx", model)
    assert (outputs(path, images(4)) - outputs(plain, images(4))).abs().mean() < 0.02
    assert path.stat().st_size < plain.stat().st_size


def test_integers_compute_here_what_they_stand_for(tmp_path: Path) -> None:
    """Processors without VNNI overflow 16 bits where two weights of all 8 bits meet two bright pixels."""
    net = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False))
    torch.nn.init.constant_(net[0].weight, 0.02)
    given = torch.full((1, 16, 16, 16), 0.9)
    given[..., 0] = -1
    export_onnx(net, tmp_path / "plain.onnx", height=16, width=16, channels=16, rewrite=False)
    model = quantized(onnx.load(tmp_path / "plain.onnx"), [given.numpy()])
    wanted = net(given).detach().numpy()
    got = onnx_session(model.SerializeToString()).run(None, {"input": given.numpy()})[0]
    assert numpy.abs(got - wanted).max() < 0.02 * numpy.abs(wanted).max()


def test_only_what_is_faster_on_a_cpu_computes_with_integers_and_transposed_weights_are_stored_so(
    plain: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 24, 3, padding=1), nn.Conv2d(24, 24, 3, padding=1, groups=24)]
    net = nn.Sequential(*layers, nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh()).eval()
    path = tmp_path / "generator.onnx"
    export_onnx(net, path, height=16, width=16, rewrite=False)
    model = onnx.load(path)
    kinds = ["float", "whole", "float", "weights"]
    assert list(plan(model, FAST).values()) == kinds
    assert set(plan(model, ALL).values()) == {"whole"}
    made = quantized(model, (part.numpy() for part in images(8).split(1)))
    stored = {tensor.name: tensor.data_type for tensor in made.graph.initializer if len(tensor.dims) == 4}
    by_node = dict(zip([one.input[1] for one in model.graph.node if one.op_type in QUANTIZED], kinds, strict=True))
    integers = {name.removesuffix("_quantized") for name, kind in stored.items() if kind == onnx.TensorProto.INT8}
    assert integers == {name for name, kind in by_node.items() if kind != "float"}
    makers = {name: one.op_type for one in made.graph.node for name in one.output}
    convolutions = [one for one in made.graph.node if one.op_type in QUANTIZED]
    dequantized = [[makers.get(name) == "DequantizeLinear" for name in one.input[:2]] for one in convolutions]
    assert dequantized[1] == [True, True]
    assert not dequantized[2][1]
    assert dequantized[3] == [False, True]
    written(tmp_path / "int8.onnx", made)
    assert (outputs(tmp_path / "int8.onnx", images(4)) - outputs(path, images(4))).abs().mean() < 0.01


def test_quantizing_twice_gives_the_same_bytes_and_other_images_others(plain: Path) -> None:
    def made(scale: float) -> bytes:
        model = quantized(onnx.load(plain), (scale * part.numpy() for part in images(4).split(1)), ALL)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    assert made(1) == made(1)
    assert made(1) != made(0.5)


def test_a_model_without_inputs_to_calibrate_with_is_refused(plain: Path) -> None:
    with pytest.raises(ExportError, match="must be able to quantize the graph"):
        quantized(onnx.load(plain), iter(()), ALL)


def test_a_file_runs_like_a_network_in_parts_of_its_batch(plain: Path, tmp_path: Path) -> None:
    model = onnx.load(plain)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 2
    fixed = written(tmp_path / "two.onnx", model)
    assert torch.equal(outputs(fixed, images(6)), outputs(plain, images(6)))


def one(name: str, ms: float | None, size: int, **change: float) -> Variant:
    return Variant(name, f"{name}.onnx", size, {"psnr": 20.0, "fid": 50.0}, change, ms, ms)


@pytest.mark.parametrize(
    ("int8", "tolerance", "expected"),
    [
        (one(INT8, 5, 25, psnr=-0.09), {}, INT8),
        (one(INT8, 5, 25, psnr=-0.11), {}, "fp32"),
        (one(INT8, 5, 25, psnr=-0.11), {"psnr": -0.2}, INT8),
        (one(INT8, 5, 25, psnr=math.nan), {}, "fp32"),
        (one(INT8, 5, 25, psnr=0, fid=2), {"fid": 1}, "fp32"),
        (one(INT8, 5, 25, psnr=0, fid=0.5), {"fid": 1}, INT8),
        (one(INT8, 5, 25, fid=0.4), {}, INT8),  # 1 % of the first metric
        (one(INT8, 5, 25, fid=0.6), {}, "fp32"),
        (one(INT8, 10.2, 25, psnr=0), {}, INT8),  # as fast, and smaller
        (one(INT8, 11.5, 25, psnr=0), {}, "fp32"),
        (one(INT8, None, 25, psnr=0), {}, "fp32"),
    ],
)
def test_the_fastest_variant_within_the_tolerance_is_recommended(
    int8: Variant, tolerance: dict[str, float], expected: str
) -> None:
    plain = one("fp32", 10, 100, psnr=0, fid=0)
    assert recommended([plain, int8], GOALS, tolerance) == expected


def test_a_change_is_a_variants_value_minus_that_of_float32() -> None:
    assert change_of({"psnr": 20.5, "new": 1.0}, {"psnr": 21.0}) == {"psnr": -0.5}
    assert not tolerated({"psnr": -0.5}, {"psnr": 21.0}, GOALS, {"ssim": -0.1})  # what is not measured is not within


def test_a_variant_is_read_back_as_it_was_written() -> None:
    variant = one(INT8, 5, 25, psnr=-0.09)
    assert Variant.of(asdict(variant)) == variant
    assert math.isnan(Variant.of({**asdict(variant), "change": {"psnr": None}}).change["psnr"])


def test_the_session_of_a_variant_takes_any_size_that_the_plain_file_takes(plain: Path, tmp_path: Path) -> None:
    model = quantized(onnx.load(plain), (part.numpy() for part in images(2).split(1)), ALL)
    session = onnx_session(model.SerializeToString())
    wide = numpy.zeros((3, 3, 8, 32), numpy.float32)
    assert session.run(None, {"input": wide})[0].shape == wide.shape
