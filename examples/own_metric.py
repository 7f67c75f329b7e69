"""A user-defined metric: one file and one word in a recipe, without editing slimgen.

GMSD, the gradient magnitude similarity deviation (Xue et al. 2014), is a metric of single images: it compares the edges
of the generated image with those of the real one, and measures how unevenly they agree over the picture. A recipe names
it by its import path, wherever it can name `psnr`, also as the objective of a search:

    objective: {metric: "examples.own_metric:GMSD"}
    evaluate: {metrics: [psnr, "examples.own_metric:GMSD"]}

With Python's path set to the folder that holds `examples/`, the rest follows from the record `GMSD` below: tables and
charts say that less is better, searches minimise it, and the protocol describes the measurement:

    PYTHONPATH=. slimgen run townhouses-gan_compression --set 'evaluate.metrics=[psnr, "examples.own_metric:GMSD"]'

Slimgen's own metrics work in the same way: a file in `slimgen/metrics/` and a line of `METRICS` in `registry.py`.
Metrics of whole sets, by features of a network, are of the kinds `OfFeatures` and `OfSegmentations`, and their names
have a colon; see `slimgen/metrics/kid.py`. Run as a program, this file prints GMSD for a few degraded pictures:

    PYTHONPATH=core:. python examples/own_metric.py
"""

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair

C = 170.0  # for levels 0..255; keeps flat areas, with small gradients, from counting (section III)
PREWITT = torch.tensor([[1.0, 0.0, -1.0]]).repeat(3, 1) / 3


def gmsd(fake: Tensor, real: Tensor) -> Tensor:
    """Return the standard deviation, over the picture, of the similarity of gradient magnitudes (their Eq. 6).

    Args:
        fake: generated images (N, C, H, W) in [-1, 1].
        real: real images of the same shape.

    Returns:
        float64 (N,), at least 0; 0 where all edges agree equally well. NaN where the generated image has NaN.

    Raises:
        DataError: the shapes differ.
    """
    ours, theirs = (_gradient(images) for images in eight_bit_pair(fake, real))
    similarity = (2 * ours * theirs + C) / (ours.square() + theirs.square() + C)  # Eq. 4
    return similarity.flatten(1).std(1, unbiased=False)


def _gradient(levels: Tensor) -> Tensor:
    """Map levels (N, C, H, W) to the gradient magnitudes (N, 1, H / 2, W / 2) at half the size (Eqs. 2 and 3)."""
    grey = functional.avg_pool2d(levels.double().mean(1, keepdim=True), 2)
    filters = torch.stack([PREWITT, PREWITT.T])[:, None].to(grey)
    return functional.conv2d(grey, filters, padding=1).square().sum(1, keepdim=True).sqrt()


GMSD = PerImage("min", plain(gmsd), "standard deviation of the gradients' similarity at half of the size")
"""The record that a recipe names: the better direction, the function, and its description in the protocol."""


def main() -> None:
    """Print the distances of a brighter, a noisy and a blurred picture from the original one."""
    torch.manual_seed(0)
    real = functional.interpolate(torch.rand(1, 3, 16, 16) * 2 - 1, scale_factor=4, mode="bilinear")
    spoilt = {
        "equal": real,
        "brighter": real + 0.2,
        "noisy": real + 0.1 * torch.randn(real.shape),
        "blurred": functional.avg_pool2d(real, 9, 1, 4),
    }
    for name, fake in spoilt.items():
        print(f"{name:10} {float(gmsd(fake, real)):.4f}")


if __name__ == "__main__":
    main()
