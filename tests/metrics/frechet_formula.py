"""The Frechet distance as it is defined, to check the fast one by."""

import warnings

import numpy
from torch import Tensor


def frechet_distance_plain(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The distance straight from its formula, with a matrix square root: slow (10 s at d = 2048)."""
    from scipy.linalg import LinAlgWarning, sqrtm

    with warnings.catch_warnings():
        # Fewer images than features make every product singular, which the trace does not mind.
        warnings.simplefilter("ignore", LinAlgWarning)
        root = sqrtm(cov_a.numpy() @ cov_b.numpy())
    difference = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace()
    return float(difference) - 2 * float(numpy.trace(root).real)
