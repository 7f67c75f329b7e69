"""The code on a card for files of 8-bit pictures, run on pictures as users have them."""

import subprocess
import sys
from pathlib import Path

import numpy
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image
from torch import Tensor, nn

from slimgen.export.example import bytes_snippet
from slimgen.export.levels import in_bytes
from slimgen.export.onnx import OnnxFile, export_onnx


class Halved(nn.Module):
    """Pads nothing, and adds the first three channels, so it takes even sides alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, 8, 2, stride=2)
        self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(self.down(x)) + x[:, :3])


def ran(file: OnnxFile, folder: Path, classes: int | None = None, *, edges: bool = False) -> tuple[int, int]:
    """Run the lines of a file of 8-bit pictures in its folder; the size of what they wrote."""
    model = in_bytes(onnx.load(file.path), classes=classes)
    onnx.save(model, folder / "bytes.onnx")
    code = bytes_snippet(file, "bytes.onnx", labels=classes is not None, instances=edges)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, check=True)
    with Image.open(folder / "generated0.png") as made:
        return made.size


@pytest.mark.parametrize("size", [(8, 8), (13, 7)])
def test_pictures_of_any_size_are_brought_to_one_that_the_file_takes(size: tuple[int, int], tmp_path: Path) -> None:
    file = export_onnx(Halved(3), tmp_path / "n.onnx", height=8, width=8)
    Image.new("RGB", size).save(tmp_path / "picture.png")
    assert ran(file, tmp_path) == (8, 8)


@pytest.mark.parametrize("edges", [False, True])
def test_label_maps_with_a_palette_are_read_as_ids_with_edges_where_there_are_any(edges: bool, tmp_path: Path) -> None:
    file = export_onnx(Halved(4 + edges), tmp_path / "n.onnx", height=8, width=8, channels=4 + edges)
    ids = numpy.random.default_rng(0).integers(0, 4, (8, 8), dtype=numpy.uint8)
    picture = Image.fromarray(ids).convert("P")
    picture.putdata(ids.ravel().tolist())
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture.resize((24, 24)).save(tmp_path / "picture.png")
    Image.new("L", (24, 24)).save(tmp_path / "edges.png")
    assert ran(file, tmp_path, 4, edges=edges) == (8, 8)
    given = numpy.eye(4, dtype=numpy.float32)[ids].transpose(2, 0, 1)[None]
    planes = numpy.concatenate([given, numpy.zeros_like(given[:, :edges])], 1)
    expected = (InferenceSession(file.path).run(None, {"input": planes})[0][0].transpose(1, 2, 0) + 1) * 127.5
    with Image.open(tmp_path / "generated0.png") as made:
        assert numpy.abs(numpy.asarray(made) - expected).max() <= 1
