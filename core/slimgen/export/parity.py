"""How closely an exported model computes what the PyTorch network computes."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from slimgen.cost.latency import onnx_session
from slimgen.errors import ExportError, reason

LIMIT = 200.0


@dataclass(frozen=True)
class Parity:
    """The difference of two runtimes on so many images, in the network's own range of [-1, 1].

    `psnr_db` is 10 log10(2^2 / mean squared difference), at most 200; `tolerance` what `max_abs` was allowed to be.
    """

    max_abs: float
    mean_abs: float
    psnr_db: float
    tolerance: float
    images: int


def parity(net: nn.Module, path: Path, images: Tensor, *, tolerance: float = 1e-3, batch: int = 8) -> Parity:
    """Runs real images through the network in float32 and through the ONNX file in onnxruntime, both on the CPU.

    Args:
        net: the network that was exported; it is not changed.
        path: the file.
        images: (N, C, H, W) in [-1, 1], of a size the file accepts.
        tolerance: largest difference allowed. One 8-bit level is 0.0078.
        batch: images per run, where the file leaves that free.

    Raises:
        ExportError: no images, a file that onnxruntime cannot run on them, other shapes, or a difference above the
            tolerance (or NaN).
    """
    if not len(images):
        raise ExportError("parity is measured on images", "none")
    net = copy.deepcopy(net).to("cpu", torch.float32).eval()
    try:
        session = onnx_session(path)
        entry = session.get_inputs()[0]
        size = entry.shape[0] if isinstance(entry.shape[0], int) else batch
        worst, total, squares, count = 0.0, 0.0, 0.0, 0
        for part in torch.split(images.detach().cpu().float().contiguous(), size):
            with torch.inference_mode():
                expected = net(part).numpy()
            got = session.run(None, {entry.name: part.numpy()})[0]
            if got.shape != expected.shape:
                rule = "the exported model returns the network's shape"
                raise ExportError(rule, f"{got.shape}, not {expected.shape}")
            difference = numpy.abs(got.astype(numpy.float64) - expected)
            # Python's max would drop a NaN.
            worst = float(numpy.maximum(worst, difference.max()))
            total, squares = total + float(difference.sum()), squares + float((difference**2).sum())
            count += difference.size
    except ExportError:
        raise
    except Exception as error:
        rule = f"onnxruntime runs {path.name} on images {tuple(images.shape[1:])}"
        raise ExportError(rule, reason(error)) from error
    if not worst <= tolerance:
        raise ExportError(
            f"the exported model differs from the network by at most {tolerance:g}",
            f"{worst:g} on {len(images)} images",
            "raise export.tolerance if that is good enough",
        )
    decibels = min(10 * math.log10(4 * count / squares), LIMIT) if squares else LIMIT
    return Parity(worst, total / count, decibels, tolerance, len(images))
