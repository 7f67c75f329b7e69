"""The line from sums of pieces to latencies of whole networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# How strongly the intercept is drawn to zero: as if one network without pieces had been seen, at the noise expected of
# measurements (1 %) against the share that an intercept usually has (5 %). It settles what networks of almost equal
# sums leave open, so that predictions of smaller ones stay proportional instead of wild.
_DRAWN = 0.2
_ROUNDS = 20
_TUNING = 1.345  # of Huber's weights: 95 % of the efficiency of least squares where errors are normal
_MAD = 1.4826  # from the median absolute deviation to the standard deviation of normal errors


@dataclass(frozen=True)
class Line:
    """latency = intercept + slope * sum of pieces, in milliseconds."""

    intercept: float
    slope: float

    def at(self, total: float) -> float:
        """The latency at a sum of pieces, never negative."""
        return max(0.0, self.intercept + self.slope * total)


def fit_line(totals: Sequence[float], latencies: Sequence[float]) -> Line:
    """Fits the line by least squares of relative errors, with Huber's weights against disturbed measurements.

    Relative, as a budget is a limit on the smaller networks too, whose absolute errors are small.

    Args:
        totals: sums of the pieces of each network, ms.
        latencies: of the whole networks, ms.
    """
    total, latency = np.asarray(totals, float), np.asarray(latencies, float)
    rows = np.stack([np.ones_like(total), total], axis=1) / latency[:, None]
    prior = np.array([[_DRAWN / latency.mean(), 0.0]])
    weights = np.ones(len(total))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        left = np.concatenate([rows * root[:, None], prior])
        found = np.linalg.lstsq(left, np.append(root, 0.0), rcond=None)[0]
        errors = rows @ found - 1
        spread = max(_MAD * float(np.median(np.abs(errors))), 1e-9)
        weights = np.minimum(1.0, _TUNING * spread / np.maximum(np.abs(errors), 1e-12))
    return Line(float(found[0]), float(found[1]))
