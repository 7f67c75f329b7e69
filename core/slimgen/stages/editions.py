"""Other editions of an exported generator that a recipe asks for: shapes, pictures of 8 bits, files for phones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimgen import files
from slimgen.cost.latency import onnx_session
from slimgen.errors import ExportError
from slimgen.export.editions import BYTES, EDGE, EDGES, IDS, STATIC, Edition
from slimgen.export.levels import HALF, ids_of, in_bytes
from slimgen.export.onnx import OnnxFile, export_fixed, parity
from slimgen.export.rewriting.phones import for_phones
from slimgen.export.usability import verdicts
from slimgen.stages.exporting import Exporting
from slimgen.tasks import traits_of
from slimgen.tasks.traits import LABEL_MAPS

LEVELS = 1
"""Largest difference, in 8-bit levels, of a file that takes and returns pictures of 8 bits: rounding a half."""


def write_editions(exporting: Exporting, file: OnnxFile) -> list[Edition]:
    """Write the files that the recipe asks for beside the variants, check them, and return what they are."""
    recipe, options = exporting.work.recipe, exporting.work.recipe.export
    editions = [_one_shape(exporting, file, shape) for shape in options.static]
    if options.edge:
        editions += [_one_shape(exporting, file, shape, edge=True) for shape in options.static or [(1, *recipe.size)]]
    if options.bytes:
        editions += [_bytes(exporting, name) for name in options.variants]
    return editions


def _one_shape(exporting: Exporting, file: OnnxFile, shape: Sequence[int], *, edge: bool = False) -> Edition:
    """Write the file of one shape: as it is for a CPU, or in the operations that phones take, with a verdict."""
    options, full = exporting.work.recipe.export, given_shape(file, shape)
    try:
        content = export_fixed(exporting.net, full, options.opset, rewrite=not edge)
    except ExportError as error:
        rule = f"export.static: the generator must take an input of shape {tuple(full)}"
        raise ExportError(rule, error.got, "choose a size that the card allows") from error
    sides = "x".join(map(str, shape))
    name = sides if not edge else f"edge_{sides}" if options.static else "edge"
    path, model = exporting.path(name), onnx.load_from_string(content)
    files.write_bytes(path, exporting.stamped(name, for_phones(model) if edge else model))
    tolerance = options.parity
    apart = parity(exporting.net, path, inputs_of(exporting.samples, full), tolerance=tolerance)
    about = f"fp32, of one shape: {tuple(full)}"
    if not edge:
        return Edition(STATIC, path.name, about, path.stat().st_size, apart.max_abs)
    return Edition(EDGE, path.name, f"{about}, for phones", path.stat().st_size, apart.max_abs, said(path))


def said(path: Path) -> str:
    """Return what phones' accelerators take of a file, in words."""
    found = verdicts(path).values()
    each = [
        f"{one.provider}: {one.takes}, {one.supported} of {one.nodes} nodes, pieces: {one.partitions}" for one in found
    ]
    return "; ".join(each)


def given_shape(file: OnnxFile, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the input's shape for a batch, height and width.

    Raises:
        ExportError: the size is not the file's, where it makes images of one size from noise.
    """
    batch, *size = shape
    axes = file.input[1]
    if len(axes) == 4:
        return batch, int(axes[1]), *size
    if tuple(size) != (file.height, file.width):
        rule = f"export.static: a generator from noise makes images of {file.height} x {file.width} px alone"
        raise ExportError(rule, f"{size[0]} x {size[1]}", "give that size")
    return batch, int(axes[1])


def inputs_of(samples: Tensor, shape: Sequence[int]) -> Tensor:
    """Return inputs of a shape, made of the samples: repeated to fill a batch, and a larger size, or cut off."""
    times = [-(-wanted // given) for wanted, given in zip(shape, samples.shape, strict=True)]
    times[1] = 1
    return samples.repeat(times)[tuple(slice(length) for length in shape)].contiguous()


def _bytes(exporting: Exporting, variant: str) -> Edition:
    """Write a variant that takes and returns pictures of 8 bits, and compare it with the variant itself."""
    recipe = exporting.work.recipe
    plain = exporting.path(variant)
    classes, ids = None, None
    if traits_of(recipe).given == LABEL_MAPS and not exporting.suffix:
        classes = exporting.samples.shape[1] - recipe.data.instances
        ids = ids_of(classes, unknown=recipe.data.unknown)
    name = "bytes" if variant == "fp32" else f"{variant}_bytes"
    path = exporting.path(name)
    made = in_bytes(onnx.load(plain), classes=classes, unknown=recipe.data.unknown)
    files.write_bytes(path, exporting.stamped(name, made))
    given = levels_of(exporting.samples, ids)
    before, after = onnx_session(plain), onnx_session(path)
    entry, size = before.get_inputs()[0], before.get_inputs()[0].shape[0]
    most = 0
    step = size if isinstance(size, int) else 1
    for at in range(0, len(given) - step + 1, step):
        values = values_of(given[at : at + step], ids, exporting.samples.shape[1])
        expected = before.run(None, {entry.name: values})[0]
        levels = np.clip(np.round((expected + 1) * HALF), 0, 255).transpose(0, 2, 3, 1)
        got = after.run(None, {entry.name: given[at : at + step]})[0]
        most = max(most, int(np.abs(got.astype(int) - levels.astype(int)).max()))
    if most > LEVELS:
        raise ExportError(f"a file of 8-bit pictures must differ by at most {LEVELS} level", f"{most} levels")
    edges = f", and {EDGES}" if recipe.data.instances else ""
    takes = f"{IDS}{edges}" if classes else "takes pictures" if len(entry.shape) == 4 else "takes noise"
    octets = ", uint8 (N, H, W, C)"
    about = f"{variant}; {takes}{octets if len(entry.shape) == 4 else ''}; returns pictures{octets}"
    return Edition(BYTES, path.name, about, path.stat().st_size, float(most))


def levels_of(samples: Tensor, ids: NDArray[np.int32] | None) -> NDArray[Any]:
    """Return samples as a file of 8-bit pictures takes them, `ids` being those of classes; noise stays as it is."""
    if samples.dim() == 2:
        return samples.numpy()
    if ids is not None:
        classes = torch.from_numpy(ids)[samples[:, : len(ids)].argmax(1, keepdim=True)]
        planes = [classes, *torch.split(samples[:, len(ids) :], 1, 1)]
        return torch.cat([plane.to(torch.uint8) for plane in planes], 1).permute(0, 2, 3, 1).contiguous().numpy()
    pixels = ((samples + 1) * HALF).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def values_of(levels: NDArray[Any], ids: NDArray[np.int32] | None, channels: int) -> NDArray[Any]:
    """Return the float32 input that a file of 8-bit pictures makes of them."""
    if levels.dtype != np.uint8:
        return levels
    planes = levels.transpose(0, 3, 1, 2)
    if ids is None:
        return np.ascontiguousarray(planes.astype(np.float32) / np.float32(HALF) - np.float32(1))
    seen = (planes[:, :1] == ids.reshape(1, -1, 1, 1)).astype(np.float32)
    return np.concatenate([seen, (planes[:, 1:] > 0).astype(np.float32)], 1)[:, :channels]
