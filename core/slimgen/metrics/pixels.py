"""Generated tensors as the 8-bit pictures a user would save: every quality figure is taken on these."""

from torch import Tensor

from slimgen.errors import DataError


def eight_bit(images: Tensor) -> Tensor:
    """Rounds images to the 256 levels of a saved picture.

    Args:
        images: (N, C, H, W) in [-1, 1]; what lies outside is cut off, as saving would. NaN stays NaN.

    Returns:
        float32 (N, C, H, W) holding whole numbers 0..255.
    """
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255)


def eight_bit_pair(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds two batches that are compared image by image.

    Raises:
        DataError: the shapes differ, so there is nothing to compare pixel by pixel.
    """
    if fake.shape != real.shape or fake.dim() != 4:
        raise DataError(
            "images compared pixel by pixel have one shape (N, C, H, W)", f"{tuple(fake.shape)} and {tuple(real.shape)}"
        )
    return eight_bit(fake), eight_bit(real)


def luma(images: Tensor) -> Tensor:
    """The luma of ITU-R BT.601 in studio range as MATLAB's `rgb2ycbcr` returns it for 8-bit images.

    Args:
        images: (N, 3, H, W) whole numbers 0..255.

    Returns:
        (N, 1, H, W) whole numbers 16..235: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, rounded half up.

    Raises:
        DataError: the images are not RGB.
    """
    if images.shape[1] != 3:
        raise DataError("luma is computed from RGB images", f"{images.shape[1]} channels")
    red, green, blue = images.double().unbind(1)
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    # Half up, not half to even: MATLAB's rounding.
    return y.add_(0.5).floor_().to(images.dtype).unsqueeze(1)
