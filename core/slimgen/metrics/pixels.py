"""Rounding of generated tensors to 8-bit pictures, as saved; every metric is measured on these."""

from torch import Tensor

from slimgen.errors import DataError


def eight_bit(images: Tensor) -> Tensor:
    """Round images (N, C, H, W) in [-1, 1] to the levels of a saved picture: whole numbers 0..255, in float32.

    Values outside the range are clipped, as in saving. NaN stays NaN.
    """
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255)


def eight_bit_pair(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Round two batches for a comparison image by image; raise DataError where their shapes differ."""
    if fake.shape != real.shape or fake.dim() != 4:
        raise DataError(
            "images to compare must have the same shape (N, C, H, W)", f"{tuple(fake.shape)} and {tuple(real.shape)}"
        )
    return eight_bit(fake), eight_bit(real)


def luma(levels: Tensor) -> Tensor:
    """Return the luma of RGB levels 0..255 (N, 3, H, W): ITU-R BT.601 with studio swing, 16..235, float64 (N, 1, H, W).

    Its weights are those of MATLAB's `rgb2ycbcr`. It is not rounded again, as in most published figures.

    Raises:
        DataError: the images are not RGB.
    """
    if levels.shape[1] != 3:
        raise DataError("images for metrics of the luma must be RGB", f"{levels.shape[1]} channels")
    red, green, blue = levels.double().unbind(1)
    return (16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255).unsqueeze(1)
