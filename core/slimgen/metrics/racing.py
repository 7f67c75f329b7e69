"""Racing: a candidate that is hopeless against a rival is dropped before all images are looked at."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Raced:
    """What a race measured.

    Attributes:
        values: the metric's value. Of a candidate that was dropped, the rival's mean and the mean difference over the
            images that both have: an estimate whose noise from image to image is shared, and so cancels, and which
            stays behind the rival.
        per_image: float64 (n,) of the images that were looked at, the first n.
        images: n.
        complete: whether these are all, so that the value is that of `Evaluator.measure`.
    """

    values: dict[str, float]
    per_image: Tensor
    images: int
    complete: bool


def hopeless(values: Tensor, rival: Tensor, goal: Literal["min", "max"], z: float) -> bool:
    """Whether a candidate lies behind its rival by more than chance: mean(d) + z std(d) / sqrt(n) < 0.

    Differences are paired, image by image, which is far sharper than comparing means: most of the spread is that of the
    images. The test is repeated as images come in, so z is to be chosen larger than for a single one.

    Args:
        values: float64 (n,) of the candidate, n >= 2.
        rival: float64 (n,) of the rival, on the same images.
        goal: which way is better.
        z: standard errors that the candidate is given.
    """
    gains = values - rival if goal == "max" else rival - values
    error = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() + z * error < 0)
