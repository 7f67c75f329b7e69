"""The exact Frechet distance between two sets of features; with few images it takes milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import OfFeatures


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of N features of length d, in float64; the covariance has divisor N - 1, as in `numpy.cov`.

    Only the smaller of `centred` (for N < d) and `spread` (for N >= d) is kept; the other is None.

    Attributes:
        count: N.
        mean: (d,).
        centred: (N, d), the features minus the mean, divided by sqrt(N - 1); the covariance is centred^T centred.
        spread: (d, d), the covariance.
    """

    count: int
    mean: Tensor
    centred: Tensor | None
    spread: Tensor | None

    @staticmethod
    def of(features: Tensor) -> "Statistics":
        """Compute the statistics of features (N, d); raise DataError for fewer than two, which have no covariance."""
        if features.dim() != 2 or len(features) < 2:
            raise DataError("a Frechet distance needs at least two images on each side", f"{tuple(features.shape)}")
        features = features.double()
        mean = features.mean(0)
        centred = (features - mean).div_((len(features) - 1) ** 0.5)
        few = features.shape[0] < features.shape[1]
        return Statistics(len(features), mean, centred if few else None, None if few else centred.T @ centred)

    @cached_property
    def factor(self) -> Tensor:
        """A matrix F with d columns and F^T F = covariance, cached: it is the slow part of the real side."""
        if self.centred is not None:
            return self.centred
        values, vectors = torch.linalg.eigh(self.covariance)
        # Rounding can make the zero eigenvalues of a degenerate covariance slightly negative.
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
        """Return the statistics with their factor, by name."""
        parts = {"count": torch.tensor(self.count), "mean": self.mean, "factor": self.factor}
        return parts if self.spread is None else {**parts, "spread": self.spread}

    @staticmethod
    def restored(arrays: Mapping[str, Tensor]) -> "Statistics":
        """Restore the statistics from `arrays`."""
        factor, spread = arrays["factor"], arrays.get("spread")
        centred = factor if spread is None else None
        statistics = Statistics(int(arrays["count"]), arrays["mean"], centred, spread)
        statistics.__dict__["factor"] = factor
        return statistics


def frechet(real: Statistics, features: Tensor) -> float:
    """Return the Frechet distance of features (N, d) from the real side: `fid`, `clean_fid` and `fd:<name>`."""
    return frechet_distance(real, Statistics.of(features))


FRECHET = OfFeatures(
    "min",
    frechet,
    Statistics,
    few="a covariance is singular, so the value is higher than with many images; compare only equal numbers of images",
)


CLEAN_FRECHET = FRECHET._replace(
    says="Inception's images resized to 299 x 299 by Pillow's bicubic kernel, with antialiasing, as in clean-fid"
)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Return the Frechet distance between Gaussians: |m_a - m_b|^2 + tr(C_a + C_b - 2 sqrt(C_a C_b)).

    See Heusel et al. 2017. With C = F^T F on both sides, tr sqrt(C_a C_b) is the sum of the singular values of
    F_a F_b^T. On a side with fewer images than features F is the centred features, so this matrix is as small as the
    smaller set of images. Where both sides have more images than features, the singular values are the square roots of
    the eigenvalues of F_a C_b F_a^T, which avoids factoring the changing side `b`. The distance is at least 0.

    Raises:
        DataError: the features have different lengths.
    """
    if a.mean.shape != b.mean.shape:
        raise DataError("features to compare must have the same length", f"{len(a.mean)} and {len(b.mean)}")
    if b.centred is None and a.centred is None:
        product = a.factor @ b.covariance @ a.factor.T
        overlap = torch.linalg.eigvalsh(product).clamp_(min=0).sqrt_().sum()
    else:
        overlap = _nuclear_norm(a.factor @ b.factor.T)
    distance = float((a.mean - b.mean).square().sum()) + a.trace + b.trace - 2 * float(overlap)
    return max(distance, 0.0)


def _nuclear_norm(matrix: Tensor) -> Tensor:
    """Return the sum of the singular values; an oblong matrix is first reduced by a QR decomposition."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    if tall.shape[0] > 2 * tall.shape[1]:
        tall = torch.linalg.qr(tall, mode="r").R
    total: Tensor = torch.linalg.svdvals(tall).sum()
    return total
