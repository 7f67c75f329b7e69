"""A user-defined metric: one file, and one word in a recipe. Nothing of slimgen is edited.

GMSD, the deviation of gradient magnitude similarity (Xue et al. 2014), is a figure of single images: the edges of the
generated image are compared with those of the real one, and how unevenly they agree over the picture is the distance.
A recipe names it by its import path, wherever it may name `psnr`, as the objective of a search too:

    objective: {metric: "examples.own_metric:GMSD"}
    evaluate: {metrics: [psnr, "examples.own_metric:GMSD"]}

With Python's path set to the folder that holds `examples/`, all else follows from the record `GMSD` below: tables and
charts say that less is better, searches minimise it, and the protocol says what was measured:

    PYTHONPATH=. slimgen run townhouses-gan_compression --set 'evaluate.metrics=[psnr, "examples.own_metric:GMSD"]'

A metric that comes with slimgen is the same: a file in `slimgen/metrics/`, and a line of `METRICS` in `registry.py`.
Those of sets of images, by features of a network, are of the kinds `OfFeatures` and `OfSegmentations` and have a name
with a colon; see `slimgen/metrics/kid.py`. Run as a program, this file shows what GMSD says of a few spoilt pictures:

    PYTHONPATH=core:. python examples/own_metric.py
"""

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair

C = 170.0  # for levels 0..255; keeps flat areas, where both gradients are small, from counting (section III)
PREWITT = torch.tensor([[1.0, 0.0, -1.0]]).repeat(3, 1) / 3


def gmsd(fake: Tensor, real: Tensor) -> Tensor:
    """Return the standard deviation over the picture of how alike the two images' gradients are long (their Eq. 6).

    Args:
        fake: (N, C, H, W) in [-1, 1].
        real: likewise.

    Returns:
        float64 (N,), not negative; 0 where all edges agree equally well. NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ.
    """
    ours, theirs = (_gradient(images) for images in eight_bit_pair(fake, real))
    similarity = (2 * ours * theirs + C) / (ours.square() + theirs.square() + C)  # Eq. 4
    return similarity.flatten(1).std(1, unbiased=False)


def _gradient(levels: Tensor) -> Tensor:
    """The length of the gradient at every other pixel (their Eqs. 2 and 3): (N, C, H, W) to (N, 1, H / 2, W / 2)."""
    grey = functional.avg_pool2d(levels.double().mean(1, keepdim=True), 2)
    filters = torch.stack([PREWITT, PREWITT.T])[:, None].to(grey)
    return functional.conv2d(grey, filters, padding=1).square().sum(1, keepdim=True).sqrt()


GMSD = PerImage("min", plain(gmsd), "standard deviation of the gradients' similarity at half of the size")
"""What a recipe names: which way is better, the function, and what the protocol says of it."""


def main() -> None:
    """Print the distance of pictures that are blurred, noisy and brighter from the same picture."""
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
