"""The kernel distance between two sets of features; with Inception's it is the kernel Inception distance."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import OfFeatures

ROWS = 1024


@dataclass(frozen=True)
class KernelSide:
    """One side: features, float64 (N, d), and `within`, the mean of k(x, y) over the N (N - 1) pairs of two images."""

    features: Tensor
    within: float

    @staticmethod
    def of(features: Tensor) -> "KernelSide":
        """Compute it from features (N, d); raise DataError for fewer than two, which have no pairs."""
        if features.dim() != 2 or len(features) < 2:
            raise DataError("a kernel distance needs at least two images on each side", f"{tuple(features.shape)}")
        features = features.double()
        itself = (features.square().sum(1) / features.shape[1] + 1).pow(3).sum()
        pairs = len(features) * (len(features) - 1)
        return KernelSide(features, float(_kernel_sum(features, features) - itself) / pairs)

    def arrays(self) -> dict[str, Tensor]:
        """Return the features and the mean kernel, in float64."""
        return {"features": self.features, "within": torch.tensor(self.within, dtype=torch.float64)}

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "KernelSide":
        """Restore it from `arrays`."""
        return KernelSide(arrays["features"], float(arrays["within"]))


def kernel_distance(a: KernelSide, b: KernelSide) -> float:
    """Return the unbiased squared MMD with k(x, y) = (x . y / d + 1)^3 (Binkowski et al. 2018, section 4).

    It uses all images at once: the usual mean over random subsets estimates the same quantity with more variance and a
    seed. As an unbiased estimate it is often negative where the two sets agree. The two sides may have different
    numbers of images.

    Raises:
        DataError: the features have different lengths.
    """
    if a.features.shape[1] != b.features.shape[1]:
        lengths = f"{a.features.shape[1]} and {b.features.shape[1]}"
        raise DataError("features to compare must have the same length", lengths)
    between = float(_kernel_sum(a.features, b.features)) / (len(a.features) * len(b.features))
    return a.within + b.within - 2 * between


def kernel(real: KernelSide, features: Tensor) -> float:
    """Return the kernel distance of features (N, d) from the real side: the metrics `kid` and `kid:<name>`."""
    return kernel_distance(real, KernelSide.of(features))


SUBSETS, SUBSET = 100, 1000


def kernel_of_subsets(real: KernelSide, features: Tensor) -> float:
    """Return the mean over random subsets: `kid_subsets` and `kid_subsets:<name>`; see `distances_of_subsets`."""
    return float(distances_of_subsets(real, features).mean())


def deviation_of_subsets(real: KernelSide, features: Tensor) -> float:
    """Return the standard deviation over random subsets: `kid_subsets_sd` and `kid_subsets_sd:<name>`."""
    return float(distances_of_subsets(real, features).std(correction=0))


def distances_of_subsets(real: KernelSide, features: Tensor) -> Tensor:
    """Return the kernel distances of `SUBSETS` pairs of random subsets of `SUBSET` images, float64 (100,).

    That is the usual way to print it (Binkowski et al. 2018): it estimates what `kernel_distance` does with all images.
    Smaller sets are used whole. The subsets are drawn without replacement from a fixed seed.
    """
    features, distances = features.double(), []
    size = min(SUBSET, len(features), len(real.features))
    draws = torch.Generator().manual_seed(0)
    for _ in range(SUBSETS):
        a, b = (side[torch.randperm(len(side), generator=draws)[:size]] for side in (real.features, features))
        distances.append(kernel_distance(KernelSide.of(a), KernelSide.of(b)))
    return torch.tensor(distances, dtype=torch.float64)


KERNEL = OfFeatures(
    "min",
    kernel,
    KernelSide,
    says="unbiased squared MMD with kernel (x.y/d + 1)^3 over all images at once",
    few="unbiased, as it needs no covariance, but with so few images small differences mean nothing",
)

_OF_SUBSETS = "mean over 100 random subsets of 1000 images of the unbiased squared MMD with kernel (x.y/d + 1)^3"
KERNEL_OF_SUBSETS = KERNEL._replace(value=kernel_of_subsets, says=_OF_SUBSETS)
SPREAD_OF_SUBSETS = KERNEL._replace(value=deviation_of_subsets, says=_OF_SUBSETS.replace("mean", "deviation", 1))


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of k(x, y) over all pairs, in blocks of rows, to avoid an N x N matrix in memory."""
    total = a.new_zeros(())
    for rows in torch.split(a, ROWS):
        total += (rows @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum()
    return total
