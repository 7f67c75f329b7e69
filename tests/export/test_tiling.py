"""How far windows must overlap, measured with exported files whose reach is known."""

from dataclasses import replace

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

from slimgen.cost.latency import onnx_session
from slimgen.export.onnx import OnnxFile, export_onnx
from slimgen.export.tiled import enlarge
from slimgen.export.tiling import FURTHEST, Tiling, drawn, tiling

DOUBLE = nn.Upsample(scale_factor=2)


class Pooled(nn.Module):
    """Adds the means of squares to a picture, and doubles it."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, images):
        means = functional.avg_pool2d(images, self.side, ceil_mode=True)
        return functional.interpolate(images + functional.interpolate(means, size=images.shape[-2:]), scale_factor=2.0)


def averaging(radius, *, side=None, **options):
    """The mean of the pixels up to `radius` away, or of `side` x `side` of them."""
    side = side or 2 * radius + 1
    apart = max(1, 2 * radius // max(1, side - 1))
    conv = nn.Conv2d(1, 1, side, padding=radius, dilation=apart, bias=False, **options)
    nn.init.constant_(conv.weight, 1 / side**2)
    return nn.Sequential(conv, DOUBLE)


def exported(net, folder, *, height=24, width=32, channels=1, **options) -> OnnxFile:
    path = folder / "generator.onnx"
    return export_onnx(net.eval(), path, height=height, width=width, channels=channels, **options)


def ran(file: OnnxFile, picture, tiles: Tiling):
    session = onnx_session(file.path, 1)
    call = {name: getattr(tiles, name) for name in ("overlap", "step", "multiple", "least")}
    return enlarge(picture, lambda part: session.run(None, {"input": part})[0], window=tiles.window, **call)


@pytest.mark.parametrize(("radius", "overlap"), [(8, 8), (9, 16)])
def test_the_overlap_is_the_smallest_that_covers_what_outputs_depend_on(radius, overlap, tmp_path):
    found = tiling(exported(averaging(radius), tmp_path), 2)
    assert (found.overlap, found.step, found.multiple, found.least) == (overlap, 8, 1, (1, 1))
    assert found.max_abs < 1e-5
    assert found.whole_because == ""


def test_windows_are_as_large_as_memory_allows_and_hold_their_overlap(tmp_path, monkeypatch):
    file = exported(averaging(0), tmp_path)
    assert tiling(file, 2).window == (512, 512)
    # The largest feature is the output: 4 numbers of 4 bytes for a pixel of the input.
    monkeypatch.setattr("slimgen.export.tiling.MEMORY", 16 * 100**2)
    assert tiling(file, 2).window == (96, 96)
    monkeypatch.setattr("slimgen.export.tiling.MEMORY", 1)
    assert tiling(exported(averaging(9), tmp_path), 2).window == (48, 48)


@pytest.mark.parametrize(
    "net", [nn.Sequential(nn.InstanceNorm2d(1), DOUBLE), averaging(80, side=3)], ids=["norm", "far"]
)
def test_outputs_that_depend_on_the_whole_picture_are_noticed(net, tmp_path):
    found = tiling(exported(net, tmp_path), 2)
    assert found.window is None
    assert found.max_abs > 1 / 255
    assert f"depend on pixels further away than {FURTHEST} px" in found.whole_because


def test_a_grid_as_fine_as_the_steps_is_kept(tmp_path):
    file = exported(Pooled(2), tmp_path)
    found = tiling(file, 2)
    assert found.overlap == 0
    whole, picture = Tiling(None, 0, 8, 1, (1, 1)), drawn(1, 45, 71)
    assert numpy.abs(ran(file, picture, replace(found, window=(32, 32))) - ran(file, picture, whole)).max() < 1e-6


def test_a_grid_coarser_than_the_steps_is_noticed(tmp_path):
    assert tiling(exported(Pooled(16), tmp_path), 2).window is None


def test_multiples_and_the_smallest_sides_are_found(tmp_path):
    net = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 16, 3, padding=1), nn.PixelShuffle(4))
    found = tiling(exported(net, tmp_path, height=8, width=12), 2)
    assert (found.multiple, found.step, found.least) == (2, 8, (2, 2))
    file = exported(averaging(3, padding_mode="reflect"), tmp_path)
    found = tiling(file, 2)
    assert found.least == (4, 4)
    for size in ((1, 1), (2, 37), (5, 3)):
        assert ran(file, drawn(1, *size), found).shape == (1, 1, 2 * size[0], 2 * size[1])


@pytest.mark.parametrize(
    ("radius", "size", "step", "overlap"),
    [(3, (24, 32), 4, 4), (8, (64, 48), 8, 8), (0, (5, 7), 1, 0), (2, (1, 1), 1, 0)],
)
def test_a_file_of_one_size_is_tried_with_two_windows(radius, size, step, overlap, tmp_path):
    net = averaging(radius)
    file = exported(net, tmp_path, height=size[0], width=size[1], dynamic=False)
    found = tiling(file, 2)
    assert (found.window, found.least, found.step, found.overlap) == (size, size, step, overlap)
    picture = drawn(1, 3 * size[0] + 1, 2 * size[1] + 5)
    made = ran(file, picture, found)
    assert made.shape == (1, 1, 2 * picture.shape[2], 2 * picture.shape[3])
    if found.max_abs is not None:
        with torch.no_grad():
            whole = net(torch.from_numpy(picture)).numpy()
        inner = slice(2 * radius, -2 * radius or None)
        assert numpy.abs(made - whole)[0, 0, inner, inner].max() < 1e-5


def test_what_cannot_be_tried_is_passed_whole(tmp_path):
    found = tiling(exported(averaging(2), tmp_path), 3)  # it doubles
    assert found.window is None
    assert "could not be tried with parts of a picture" in found.whole_because
