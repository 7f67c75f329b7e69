"""How a large picture is divided for an exported file: the size of windows, and how far they must overlap."""

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from slimgen.cost.latency import onnx_session
from slimgen.errors import reason
from slimgen.export.onnx import OnnxFile

STEP = 8
"""Windows begin at multiples of this many pixels, since networks that pool see a grid; finer than most pool."""
FURTHEST = 64
"""Largest overlap that is tried, in pixels."""
ALIKE = (1e-5, 1e-4, 1e-3, 1 / 255)
"""Differences from the whole picture, in [-1, 1], that are tried in turn; the last is half a level of 8 bits."""
MEMORY = 2**27
"""Bytes that the largest feature of a window may take. With all others, and what malloc keeps after many windows, an
RRDBNet was seen to take 5 times as much in onnxruntime and an SRResNet 7 times: less than 1 GB with the libraries."""
LARGEST = 512
_BEYOND = 2 * STEP  # compared pixels further from the cut than that
_Run = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Tiling:
    """The arguments with which `slimgen.export.tiled.enlarge` enlarges any picture, and what they cost.

    Attributes:
        window: height and width of a window in px; None where the picture must be passed whole.
        overlap: px at each inner side of a window whose outputs are not used.
        step: windows begin at multiples of this many px.
        multiple: height and width must be multiples of this many px.
        least: smallest height and width in px.
        max_abs: largest difference between outputs for a picture with and without what is further than `overlap` px
            away, in a range of [-1, 1]; None if it could not be measured.
        measured_at: height and width in px of the picture that it was measured on; None if it was not.
        whole_because: the reason why pictures are passed whole; empty if they are not.
    """

    window: tuple[int, int] | None
    overlap: int
    step: int
    multiple: int
    least: tuple[int, int]
    max_abs: float | None = None
    measured_at: tuple[int, int] | None = None
    whole_because: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Tiling":
        """Return the tiling that was stored as JSON."""
        read: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in record.items()}
        return cls(**read)


def tiling(file: OnnxFile, scale: int) -> Tiling:
    """Return how pictures are best divided for a file that enlarges them, as measured with it in onnxruntime.

    A drawn picture is enlarged whole, and without the pixels that a window would not have; the smallest overlap counts
    beyond which the two outputs are alike (`ALIKE`). A file of one size sees two windows instead, one of them shifted.
    Windows are as large as `MEMORY` allows.

    Args:
        file: a file that takes images.
        scale: factor of the enlargement.
    """
    try:
        return _free(file, scale) if {"height", "width"} <= set(file.dynamic) else _fixed(file, scale)
    except Exception as error:  # what a file of another's network may do with other sizes is unknown
        step, size = math.lcm(STEP, file.multiple), (file.height, file.width)
        why = f"it could not be tried with parts of a picture: {reason(error)}"
        least = size if "height" not in file.dynamic else (file.multiple, file.multiple)
        return Tiling(None, 0, step, file.multiple, least, whole_because=why)


def _free(file: OnnxFile, scale: int) -> Tiling:
    """Return the tiling of a file that takes other sizes."""
    run, step = _runner(file.path), math.lcm(STEP, file.multiple)
    least = _least(run, file, scale)
    # An odd multiple of the step, and an end within one, or what depends on either would not be noticed.
    cut = (FURTHEST // step + 1 | 1) * step
    inner = -(-(FURTHEST + _BEYOND) // step) * step
    size = cut + inner + file.multiple % step
    picture = drawn(file.input[1][1], size, size)
    whole = run(picture)
    # One part lacks what is above and left of it, the other what is below and right; both are counted from there.
    after = _largest(run(picture[..., cut:, cut:]), whole[..., scale * cut :, scale * cut :])
    until = _largest(run(picture[..., :inner, :inner]), whole[..., : scale * inner, : scale * inner])[::-1, ::-1]
    far = {overlap: slice(scale * overlap, None) for overlap in _overlaps(STEP)}
    differences = {overlap: float(max(one[at, at].max() for one in (after, until))) for overlap, at in far.items()}
    found = _smallest(differences)
    if found is None:
        most = differences[FURTHEST]
        why = (
            f"its outputs depend on pixels further away than {FURTHEST} px, by up to {most:.3g}, of a range of [-1, 1]"
        )
        return Tiling(None, 0, step, file.multiple, least, most, (size, size), why)
    overlap, most = found
    side = math.isqrt(int(MEMORY / _bytes_per_pixel(file, step))) // step * step
    side = max(min(side, LARGEST // step * step), -(-max(3 * overlap, 2 * overlap + step) // step) * step)
    return Tiling((side, side), overlap, step, file.multiple, least, most, (size, size))


def _fixed(file: OnnxFile, scale: int) -> Tiling:
    """Return the tiling of a file of one size: windows of this size."""
    size, run = (file.height, file.width), _runner(file.path)
    short = min(size)
    # A side that is too short for steps of 8 px has smaller ones.
    step = next(step for step in (STEP, 4, 2, 1) if step <= max(1, short // 4))
    # An odd multiple of the step, as above; about half a window, so that half of it is seen twice.
    shifts = [(max(0, side // 2 // step - 1) | 1) * step for side in size]
    picture = drawn(file.input[1][1], size[0] + shifts[0], size[1] + shifts[1])
    first = run(picture[..., : size[0], : size[1]])[..., scale * shifts[0] :, scale * shifts[1] :]
    second = run(picture[..., shifts[0] :, shifts[1] :])[..., : first.shape[-2], : first.shape[-1]]
    apart, differences = _largest(first, second), {}
    for overlap in _overlaps(step):
        cut = scale * overlap
        inner = apart[cut : len(apart) - cut, cut : apart.shape[1] - cut]
        if 2 * overlap + step <= short and inner.size:
            differences[overlap] = float(inner.max())
    widest = max(differences, default=0)
    overlap, most = _smallest(differences) or (widest, differences.get(widest))
    return Tiling(size, overlap, step, 1, size, most, (picture.shape[2], picture.shape[3]))


def _overlaps(step: int) -> range:
    return range(0, FURTHEST + 1, step)


def _smallest(differences: Mapping[int, float]) -> tuple[int, float] | None:
    """Return the smallest overlap beyond which outputs are alike, and how far they are apart; None if there is none."""
    for limit in ALIKE:
        for overlap, most in differences.items():
            if most <= limit:
                return overlap, most
    return None


def _largest(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return the largest difference at each pixel, (H, W)."""
    found: NDArray[Any] = numpy.abs(one.astype(numpy.float64) - other).max((0, 1))
    return found


def drawn(channels: int | str, height: int, width: int) -> NDArray[numpy.float32]:
    """Return a picture of noise over squares of other noise, (1, channels, height, width) in [-1, 1].

    Noise alone would have the same mean everywhere, so what depends on the mean would seem to depend on nothing.
    """
    rng, side = numpy.random.default_rng(0), 16
    fine = rng.uniform(-1, 1, (1, int(channels), height, width))
    coarse = rng.uniform(-1, 1, (1, int(channels), -(-height // side), -(-width // side)))
    coarse = coarse.repeat(side, 2).repeat(side, 3)[..., :height, :width]
    return ((fine + coarse) / 2).astype(numpy.float32)


def _runner(path: Path) -> _Run:
    session = onnx_session(path)
    name = session.get_inputs()[0].name
    return lambda part: session.run(None, {name: numpy.ascontiguousarray(part)})[0]


def _least(run: _Run, file: OnnxFile, scale: int) -> tuple[int, int]:
    """Return the smallest sides that run: networks that mirror the border need some pixels of it."""
    side = file.multiple
    while side < min(file.height, file.width):
        try:
            if run(drawn(file.input[1][1], side, side)).shape[-2:] == (scale * side, scale * side):
                return side, side
        except Exception:  # onnxruntime's errors have no public base class
            pass
        side *= 2
    return file.height, file.width


def _bytes_per_pixel(file: OnnxFile, step: int) -> float:
    """Return the bytes of the largest feature, by pixel of the input."""
    side = 4 * step
    with tempfile.TemporaryDirectory() as folder:
        session = onnx_session(file.path, profile=Path(folder) / "profile")
        session.run(None, {file.input[0]: drawn(file.input[1][1], side, side)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    sizes = [int(event["args"].get("output_size", 0)) for event in events if event.get("cat") == "Node"]
    return max(sizes, default=0) / side**2 or float(numpy.dtype(numpy.float32).itemsize)
