"""The Frechet distance between two sets of features, exactly, in milliseconds where few images are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import OfFeatures


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of N features of d numbers, float64, covariances divided by N - 1 as `numpy.cov` does.

    Exactly one of `centred` (for N < d) and `spread` (for N >= d) is kept: the smaller.

    Attributes:
        count: N.
        mean: (d,).
        centred: (N, d) features minus mean, divided by sqrt(N - 1), so that the covariance is centred^T centred.
        spread: (d, d) the covariance.
    """

    count: int
    mean: Tensor
    centred: Tensor | None
    spread: Tensor | None

    @staticmethod
    def of(features: Tensor) -> "Statistics":
        """Takes the statistics of features (N, d); DataError where fewer than two have no covariance."""
        if features.dim() != 2 or len(features) < 2:
            raise DataError("a Frechet distance needs at least two images on each side", f"{tuple(features.shape)}")
        features = features.double()
        mean = features.mean(0)
        centred = (features - mean).div_((len(features) - 1) ** 0.5)
        few = features.shape[0] < features.shape[1]
        return Statistics(len(features), mean, centred if few else None, None if few else centred.T @ centred)

    @cached_property
    def factor(self) -> Tensor:
        """A matrix F of d columns with F^T F = covariance. Found once: this is the slow part of the fixed real side."""
        if self.centred is not None:
            return self.centred
        values, vectors = torch.linalg.eigh(self.covariance)
        # Rounding makes the zero eigenvalues of a degenerate covariance slightly negative.
        factor: Tensor = vectors.mul(values.clamp(min=0).sqrt()).T
        return factor.contiguous()

    @property
    def covariance(self) -> Tensor:
        """The (d, d) covariance."""
        return self.factor.T @ self.factor if self.spread is None else self.spread

    @property
    def trace(self) -> float:
        """The covariance's trace."""
        return float(self.factor.square().sum() if self.spread is None else self.spread.trace())

    def arrays(self) -> dict[str, Tensor]:
        """The statistics with their factor, by name."""
        parts = {"count": torch.tensor(self.count), "mean": self.mean, "factor": self.factor}
        return parts if self.spread is None else {**parts, "spread": self.spread}

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "Statistics":
        """What `arrays` gave."""
        factor, spread = arrays["factor"], arrays.get("spread")
        centred = factor if spread is None else None
        statistics = Statistics(int(arrays["count"]), arrays["mean"], centred, spread)
        statistics.__dict__["factor"] = factor
        return statistics


def frechet(real: Statistics, features: Tensor) -> float:
    """The Frechet distance of features (N, d) from the real side: the metrics `fid` and `fd:<name>`."""
    return frechet_distance(real, Statistics.of(features))


FRECHET = OfFeatures(
    "min",
    frechet,
    Statistics,
    few="a covariance is singular: the value lies above that of many images, and compares at these numbers alone",
)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """The Frechet distance between two Gaussians, |m_a - m_b|^2 + tr(C_a + C_b - 2 sqrt(C_a C_b)) (Heusel et al. 2017).

    With C = F^T F on either side, tr sqrt(C_a C_b) is the sum of the singular values of F_a F_b^T. A side of fewer
    images than features has its centred features for F, so that matrix is as small as the smaller set of images. Where
    both sides have more images than features, the singular values are square roots of the eigenvalues of
    F_a C_b F_a^T, which spares the factor of the changing side `b`. The distance is not negative.

    Raises:
        DataError: features of different lengths.
    """
    if a.mean.shape != b.mean.shape:
        raise DataError("features compared have one length", f"{len(a.mean)} and {len(b.mean)}")
    if b.centred is None and a.centred is None:
        product = a.factor @ b.covariance @ a.factor.T
        overlap = torch.linalg.eigvalsh(product).clamp_(min=0).sqrt_().sum()
    else:
        overlap = _nuclear_norm(a.factor @ b.factor.T)
    distance = float((a.mean - b.mean).square().sum()) + a.trace + b.trace - 2 * float(overlap)
    return max(distance, 0.0)


def _nuclear_norm(matrix: Tensor) -> Tensor:
    """The sum of singular values, through the triangle of a QR where the matrix is oblong."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    if tall.shape[0] > 2 * tall.shape[1]:
        tall = torch.linalg.qr(tall, mode="r").R
    total: Tensor = torch.linalg.svdvals(tall).sum()
    return total
