"""The kernel distance between two sets of features: Inception's is the kernel Inception distance."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import OfFeatures

ROWS = 1024


@dataclass(frozen=True)
class KernelSide:
    """Features, float64 (N, d), and the mean of k(x, y) `within` the N (N - 1) ordered pairs of different images."""

    features: Tensor
    within: float

    @staticmethod
    def of(features: Tensor) -> "KernelSide":
        """Takes it of features (N, d); DataError where fewer than two have no pairs."""
        if features.dim() != 2 or len(features) < 2:
            raise DataError("a kernel distance needs at least two images on each side", f"{tuple(features.shape)}")
        features = features.double()
        itself = (features.square().sum(1) / features.shape[1] + 1).pow(3).sum()
        pairs = len(features) * (len(features) - 1)
        return KernelSide(features, float(_kernel_sum(features, features) - itself) / pairs)

    def arrays(self) -> dict[str, Tensor]:
        """The features, and the mean kernel in float64."""
        return {"features": self.features, "within": torch.tensor(self.within, dtype=torch.float64)}

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "KernelSide":
        """What `arrays` gave."""
        return KernelSide(arrays["features"], float(arrays["within"]))


def kernel_distance(a: KernelSide, b: KernelSide) -> float:
    """The unbiased squared maximum mean discrepancy, k(x, y) = (x . y / d + 1)^3 (Binkowski et al. 2018, section 4).

    Over all images at once: the mean over random subsets that is commonly printed estimates the same quantity, with
    more variance and a seed. Being unbiased, it is negative about as often as not where the two sets agree. The counts
    of the two sides may differ.

    Raises:
        DataError: features of different lengths.
    """
    if a.features.shape[1] != b.features.shape[1]:
        raise DataError("features compared have one length", f"{a.features.shape[1]} and {b.features.shape[1]}")
    between = float(_kernel_sum(a.features, b.features)) / (len(a.features) * len(b.features))
    return a.within + b.within - 2 * between


def kernel(real: KernelSide, features: Tensor) -> float:
    """The kernel distance of features (N, d) from the real side: the metrics `kid` and `kid:<name>`."""
    return kernel_distance(real, KernelSide.of(features))


KERNEL = OfFeatures(
    "min",
    kernel,
    KernelSide,
    says="unbiased squared MMD with kernel (x.y/d + 1)^3 over all images at once",
    few="unbiased all the same, as it needs no covariance, but of so few images small differences say nothing",
)


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """The sum of k(x, y) over all pairs, in blocks of rows so that no N x N matrix is held."""
    total = a.new_zeros(())
    for rows in torch.split(a, ROWS):
        total += (rows @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum()
    return total
