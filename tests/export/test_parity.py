import copy
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from slimgen.errors import ExportError
from slimgen.export.onnx import export_onnx, parity


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.Conv2d(8, 3, 1), nn.Tanh())
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    export_onnx(net, path, height=12, width=12, dynamic=False)
    return net, path


def test_an_honest_export_agrees_to_float32(exported: tuple[nn.Module, Path]) -> None:
    found = parity(*exported, images())
    assert found.images == 5
    assert 0 <= found.mean_abs <= found.max_abs < 1e-5
    assert found.psnr_db > 100


def test_the_differences_are_those_of_the_closed_form(exported: tuple[nn.Module, Path]) -> None:
    net, path = exported
    shifted = nn.Sequential(copy.deepcopy(net), Shift(0.25))
    found = parity(shifted, path, images(), tolerance=0.3, batch=2)
    assert (found.max_abs, found.mean_abs) == pytest.approx((0.25, 0.25), abs=1e-5)
    assert found.psnr_db == pytest.approx(20 * numpy.log10(2 / 0.25), abs=1e-3)


def test_one_changed_weight_is_found_out(exported: tuple[nn.Module, Path]) -> None:
    net, path = exported
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[2].weight[0, 0] += 0.05
    with pytest.raises(ExportError, match=r"at most 0\.001; got 0\.\d+ on 5 images"):
        parity(other, path, images())


def test_nan_is_no_agreement(exported: tuple[nn.Module, Path]) -> None:
    net, path = exported
    with pytest.raises(ExportError, match="got nan"):
        parity(nn.Sequential(copy.deepcopy(net), Shift(float("nan"))), path, images(), tolerance=10)


def test_images_the_file_does_not_take_and_damaged_files_are_named(
    exported: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    net, path = exported
    with pytest.raises(ExportError, match=r"must run generator\.onnx on images of shape \(3, 10, 12\)"):
        parity(net, path, images()[:, :, :10])
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ExportError, match=r"damaged\.onnx"):
        parity(net, damaged, images())
    with pytest.raises(ExportError, match="got none"):
        parity(net, path, images(0))


class Shift(nn.Module):
    """Adds a constant."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.by
