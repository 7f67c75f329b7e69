import os
import time

import pytest
import torch
from onnx import TensorProto, helper, save
from torch import nn

from slimgen.cost.latency import ROUNDS, Timed, latencies_in_turns, onnx_latency, torch_latency
from slimgen.errors import ExportError, SlimgenError

NAP = 0.002


class Napping(nn.Module):
    """Sleeps for a known time, and remembers how often it was called and in which state."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.calls.append((self.training, torch.is_grad_enabled(), torch.get_num_threads()))
        time.sleep(NAP)
        return x


def test_a_network_that_sleeps_takes_as_long_as_it_sleeps():
    net = Napping()
    latency = torch_latency(net, (2, 3, 16, 24), threads=1, warmup=2, runs=5)
    assert latency.p95_ms >= latency.p50_ms >= 1000 * NAP
    assert len(net.calls) == 1 + 2 + 5
    assert set(net.calls) == {(False, False, 1)}
    assert (latency.batch, latency.height, latency.width) == (2, 16, 24)
    assert (latency.warmup, latency.runs, latency.threads) == (2, 5, 1)


def test_a_latency_says_what_it_was_measured_with():
    noted = torch_latency(nn.Conv2d(3, 4, 1), (1, 3, 8, 8), threads=1, warmup=0, runs=2)._asdict()
    assert noted["runtime"].startswith("torch 2.")
    assert noted["runtime"].endswith(" cpu")
    assert noted["variant"] == "float32 nchw"
    converted = torch_latency(
        nn.Conv2d(3, 4, 1), (1, 3, 8, 8), threads=1, warmup=0, runs=2, channels_last=True, dtype=torch.bfloat16
    )
    assert converted.variant == "bfloat16 nhwc"


def test_measuring_leaves_network_and_threads_as_they_were():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before, threads = net[0].weight.clone(), torch.get_num_threads()
    torch_latency(net, (1, 3, 8, 8), threads=threads + 1, warmup=0, runs=1, channels_last=True, dtype=torch.bfloat16)
    assert net.training
    assert torch.equal(net[0].weight, before)
    assert net[0].weight.dtype == torch.float32
    with pytest.raises(RuntimeError):
        torch_latency(net, (1, 5, 8, 8), threads=threads + 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": 1, "runs": 0}, {"threads": 1, "warmup": -1}])
def test_a_measurement_without_runs_or_threads_is_refused(wrong):
    with pytest.raises(SlimgenError, match="at least one thread and one run"):
        torch_latency(nn.Identity(), (1, 3, 8, 8), **wrong)


def subject(name: str, seconds: float, calls: list[str]) -> Timed:
    """What takes as long as is said, and says when it is called."""

    def call() -> None:
        calls.append(name)
        time.sleep(seconds)

    return Timed(call, "clock 1.0", "float32", (1, 3, 8, 16))


@pytest.mark.parametrize(
    ("runs", "rounds", "visit"), [(1, 2, 1), (2, 2, 1), (7, 7, 1), (20, ROUNDS, 2), (21, ROUNDS, 3)]
)
def test_every_one_is_visited_once_a_round_and_warmed_up_at_each_visit(runs, rounds, visit):
    calls: list[str] = []
    told: list[tuple[int, int]] = []
    timed = {name: subject(name, 0.0, calls) for name in ("a", "b", "c")}
    found = latencies_in_turns(timed, threads=1, runs=runs, progress=lambda *done: told.append(done))
    assert calls == (["a"] * (1 + visit) + ["b"] * (1 + visit) + ["c"] * (1 + visit)) * rounds
    assert told == [(number, 3 * rounds) for number in range(1, 3 * rounds + 1)]
    assert {(one.warmup, one.runs, one.height, one.width) for one in found.values()} == {(1, rounds * visit, 8, 16)}


def test_in_turns_the_median_of_all_rounds_counts_and_both_halves_are_reported():
    """Slow in the second half: 6 naps of 1 ms, then 6 of 20 ms."""
    naps = iter([0.001] * 6 + [0.02] * 6)
    slow = Timed(lambda: time.sleep(next(naps)), "clock 1.0", "float32", (1, 3, 8, 8))
    found = latencies_in_turns({"it": slow, "steady": subject("s", 0.002, [])}, threads=1, runs=6)
    assert found["it"].first_half_ms < 10 < 20 <= found["it"].second_half_ms
    assert found["it"].first_half_ms < found["it"].p50_ms < found["it"].second_half_ms
    assert found["it"].p95_ms >= 20
    assert min(found["steady"].first_half_ms, found["steady"].second_half_ms) >= 2
    assert torch_latency(nn.Conv2d(3, 4, 1), (1, 3, 8, 8), threads=1, runs=2).first_half_ms is None


@pytest.mark.skipif(os.name != "posix", reason="a thread's own time is counted in large steps elsewhere")
def test_one_cpu_thread_is_timed_by_its_own_processor_time():
    nap = Timed(lambda: time.sleep(0.01), "clock 1.0 cpu", "float32", (1, 3, 8, 8))
    assert latencies_in_turns({"it": nap}, threads=1, runs=2)["it"].p50_ms < 5
    assert latencies_in_turns({"it": nap}, threads=2, runs=2)["it"].p50_ms >= 10


@pytest.mark.parametrize("wrong", [{"threads": 0, "runs": 1}, {"threads": 1, "runs": 0}])
def test_turns_without_runs_or_threads_are_refused(wrong):
    with pytest.raises(SlimgenError, match="at least one thread and one run"):
        latencies_in_turns({}, **wrong)


@pytest.fixture
def upsampler(tmp_path):
    """A model in ONNX that doubles the sides of an image."""
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    node = helper.make_node("Resize", ["image", "", "scales"], ["out"], mode="nearest")
    graph = helper.make_graph(
        [node],
        "upsampler",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, "H", "W"])],
        [scales],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, tmp_path / "upsampler.onnx")
    return tmp_path / "upsampler.onnx"


def test_an_exported_model_is_timed_by_the_picture_it_makes(upsampler):
    latency = onnx_latency(upsampler, (2, 3, 8, 16), threads=1, warmup=1, runs=4)
    assert latency.runtime.startswith("onnxruntime 1.")
    assert (latency.batch, latency.height, latency.width, latency.runs) == (2, 16, 32, 4)
    assert latency.p95_ms >= latency.p50_ms > 0


def test_a_model_that_does_not_take_the_shape_is_refused_in_one_line(upsampler):
    with pytest.raises(ExportError, match=r"upsampler\.onnx") as refused:
        onnx_latency(upsampler, (1, 5, 8, 8), threads=1)
    assert "\n" not in str(refused.value)


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(ExportError, match=r"broken\.onnx"):
        onnx_latency(tmp_path / "broken.onnx", (1, 3, 8, 8), threads=1)
