import sys

import pytest
import torch
from torch import Tensor, nn

from slimgen.export import turns
from slimgen.export.turns import NEEDED, timings
from slimgen.nets import build_generator

SHAPE = (1, 3, 16, 16)


class Bessel(nn.Module):
    """ONNX has no such function."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def generator(blocks: int = 1) -> nn.Module:
    return build_generator("resnet", ngf=4, blocks=blocks).eval()


def test_generators_are_timed_in_onnxruntime_and_in_pytorch_and_exported_once_for_each_kind(monkeypatch):
    exported, told = [], []
    real = turns.export_fixed
    monkeypatch.setattr(turns, "export_fixed", lambda net, *about: exported.append(net) or real(net, *about))
    one, other, wide = generator(), generator(), generator(2)
    networks = {"original": ("one", one), "original_reverse": ("one", other), "found": ("two", wide)}
    found = timings(networks, SHAPE, threads=1, runs=4, tell=lambda *news: told.append(news))
    assert exported == [one, wide]
    for timing in found.values():
        assert timing.instead == ""
        assert timing.latency.runtime.startswith("onnxruntime 1.")
        assert timing.torch_latency.runtime.startswith("torch 2.")
        for latency in (timing.latency, timing.torch_latency):
            assert (latency.batch, latency.height, latency.width, latency.threads, latency.runs) == (1, 16, 16, 1, 4)
            assert min(latency.p50_ms, latency.first_half_ms, latency.second_half_ms) > 0
    assert [news[0] for news in told] == ["exported"] * 3 + ["latency"] * 12 + ["latency in PyTorch"] * 12
    assert all(news[1] <= news[2] for news in told)


def test_a_network_that_cannot_be_exported_has_pytorchs_latency_and_the_reason():
    found = timings({"original": ("a", generator()), "odd": ("b", Bessel())}, SHAPE, threads=1, runs=2)
    assert found["original"].latency.runtime.startswith("onnxruntime")
    assert found["odd"].latency == found["odd"].torch_latency
    assert found["odd"].instead.startswith("it is not exported: ")
    assert "bessel_j0" in found["odd"].instead


@pytest.mark.parametrize("absent", NEEDED)
def test_without_the_runtime_or_the_exporter_latencies_are_pytorchs(absent, monkeypatch):
    monkeypatch.setitem(sys.modules, absent, None)
    found = timings({"original": ("a", generator())}, SHAPE, threads=1, runs=2)["original"]
    assert found.instead == f"{absent} is not installed"
    assert found.latency == found.torch_latency
    assert found.latency.runtime.startswith("torch")
