"""Learning-rate schedules of the papers: step to a factor of the base rate."""

from collections.abc import Callable

Rate = Callable[[int], float]


def constant_then_linear(steps: int, decay: float) -> Rate:
    """Constant, then linear to zero over the last part: pix2pix, CycleGAN, GAN Compression, CF-GAN.

    Args:
        steps: length of the training.
        decay: share of the steps over which the rate falls, 0 to 1.
    """
    falling = round(steps * decay)
    start = steps - falling

    def factor(step: int) -> float:
        # The last step still learns: it is one step's fall above zero.
        return 1.0 if step < start else 1.0 - (step - start) / (falling + 1)

    return factor
