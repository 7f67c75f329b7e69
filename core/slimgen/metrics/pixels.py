"""Generated tensors as the 8-bit pictures a user would save: every quality figure is taken on these."""

from torch import Tensor

from slimgen.errors import DataError


def eight_bit(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] to the levels of a saved picture: whole numbers 0..255 in float32.

    What lies outside is cut off, as saving would. NaN stays NaN.
    """
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255)


def eight_bit_pair(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds two batches that are compared image by image; DataError where their shapes differ."""
    if fake.shape != real.shape or fake.dim() != 4:
        raise DataError(
            "images compared pixel by pixel have one shape (N, C, H, W)", f"{tuple(fake.shape)} and {tuple(real.shape)}"
        )
    return eight_bit(fake), eight_bit(real)
