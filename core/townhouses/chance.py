"""Random draws that depend only on a seed."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Chance:
    """Random draws from uniform numbers only, the one stream that is the same in all versions of numpy.

    Args:
        key: whole numbers from 0; equal keys give equal draws.
    """

    def __init__(self, *key: int) -> None:
        self._rng = np.random.default_rng(key)

    def yes(self, probability: float) -> bool:
        """Return True with a probability."""
        return float(self._rng.random()) < probability

    def between(self, low: float, high: float) -> float:
        """Return a number from low to high."""
        return low + (high - low) * float(self._rng.random())

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[int(self._rng.random() * len(options))]

    def noise(self, shape: tuple[int, ...], reach: int) -> NDArray[np.float32]:
        """Return random whole numbers from -reach to reach."""
        return np.floor(self._rng.random(shape) * (2 * reach + 1)).astype(np.float32) - np.float32(reach)
