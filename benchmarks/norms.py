"""A norm's forward and backward pass on a CPU in channels_last: slimgen's against PyTorch's kernels, in turns.

    python -m benchmarks.norms [--runs 60]

The shapes are those of small generators, in which norms once took half of a training step, and of large ones. Figures
are medians of one thread's CPU time in microseconds. PyTorch's kernels get a contiguous gradient where their own would
be wrong otherwise, and their results are converted to channels_last, as the next convolution would do.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.results import save
from slimgen.cost.latency import clock_of
from slimgen.nets.norm import instance_norm

SHAPES = [
    (4, 16, 8, 8),
    (4, 24, 16, 16),
    (4, 12, 32, 32),
    (4, 32, 32, 32),
    (4, 12, 64, 64),
    (4, 64, 64, 64),
    (1, 256, 64, 64),
    (1, 64, 128, 128),
]
LAST = torch.channels_last


def by_instance_norm(images: Tensor) -> Tensor:
    """Apply PyTorch's instance_norm, which takes channels_last but does not return it."""
    out = functional.instance_norm(images)
    if out.requires_grad:
        out.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
    return out.contiguous(memory_format=LAST)


def by_group_norm(images: Tensor) -> Tensor:
    """Apply PyTorch's group_norm with one group per channel, in channels_last throughout."""
    return functional.group_norm(images, images.shape[1])


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "here": instance_norm,
    "instance_norm": by_instance_norm,
    "group_norm": by_group_norm,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    rows = [
        {"dtype": str(dtype).removeprefix("torch."), "shape": shape, "microseconds": timed(shape, dtype, runs)}
        for dtype in (torch.float32, torch.bfloat16)
        for shape in SHAPES
    ]
    save("norms", {"runs": runs, "rows": rows})
    print("\n".join(lines(rows)))


def timed(shape: tuple[int, ...], dtype: torch.dtype, runs: int) -> dict[str, float]:
    """Return the median microseconds of each way."""
    draw = torch.Generator().manual_seed(0)
    images, upstream = (torch.randn(shape, generator=draw).to(dtype).contiguous(memory_format=LAST) for _ in range(2))
    images.requires_grad_()
    clock, took = clock_of(1), dict[str, list[float]]({name: [] for name in WAYS})
    for run in range(runs + runs // 4):
        for name, way in WAYS.items():
            images.grad = None
            started = clock()
            way(images).backward(upstream)
            if run >= runs // 4:  # the first quarter warms up
                took[name].append((clock() - started) * 1e6)
    return {name: median(values) for name, values in took.items()}


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table with the ratios of PyTorch's times to slimgen's."""
    text = [f"| type | batch, channels, px | {', us | '.join(WAYS)}, us |", "| --- " * (2 + len(WAYS)) + "|"]
    for row in rows:
        here = row["microseconds"]["here"]
        others = [f"{value:.0f} ({value / here:.1f}x)" for name, value in row["microseconds"].items() if name != "here"]
        text.append(f"| {row['dtype']} | {'x'.join(map(str, row['shape']))} | {here:.0f} | {' | '.join(others)} |")
    return text


if __name__ == "__main__":
    main()
