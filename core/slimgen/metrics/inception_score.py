"""The Inception score: high where a classifier is sure of each image and finds many classes over all images."""

import math

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import OfFeatures


def inception_score(real: None, logits: Tensor) -> float:
    """Return exp(mean KL(p(y|x) || p(y))) in one split (Salimans et al. 2016, section 4): `is` and `is:<name>`.

    It is between 1 (the classifier sees no difference between images) and the number of classes. The usual mean over
    ten splits is smaller with few images, because each split has fewer classes.

    Args:
        real: unused; the score does not depend on real images.
        logits: (N, K) scores of the classes, before the softmax.
    """
    conditional = logits.double().log_softmax(1)
    marginal = conditional.logsumexp(0) - math.log(len(logits))
    divergence = (conditional.exp() * (conditional - marginal)).sum(1)
    return float(divergence.mean().exp())


SPLITS = 10


def scores_of_splits(logits: Tensor) -> Tensor:
    """Return the score of each of `SPLITS` equal parts of the images, float64 (10,), in their order.

    Images that are left over are not used. That is what papers print, as mean and standard deviation over the parts.

    Raises:
        DataError: there are fewer images than parts.
    """
    size = len(logits) // SPLITS
    if not size:
        raise DataError(f"an Inception score over {SPLITS} splits needs as many images", f"{len(logits)}")
    parts = torch.split(logits[: SPLITS * size], size)
    return torch.tensor([inception_score(None, part) for part in parts], dtype=torch.float64)


def mean_of_splits(real: None, logits: Tensor) -> float:
    """Return the mean over ten splits: `is10` and `is10:<name>`; arguments as for `inception_score`."""
    return float(scores_of_splits(logits).mean())


def deviation_of_splits(real: None, logits: Tensor) -> float:
    """Return the standard deviation over ten splits, of which there are no others: `is10_sd` and `is10_sd:<name>`."""
    return float(scores_of_splits(logits).std(correction=0))


_SAYS = "exp(mean KL(p(y|x) || p(y))) in one split"
SCORE = OfFeatures("max", inception_score, logits=True, says=_SAYS)
_BIASLESS = "Inception's 1008 scores without bias"
INCEPTION_SCORE = SCORE._replace(says=f"{_SAYS}, {_BIASLESS}")
_OF_SPLITS = "mean over ten equal splits, in order, of exp(mean KL(p(y|x) || p(y)))"
SCORE_OF_SPLITS = OfFeatures("max", mean_of_splits, logits=True, says=_OF_SPLITS)
INCEPTION_SCORE_OF_SPLITS = SCORE_OF_SPLITS._replace(says=f"{_OF_SPLITS}, {_BIASLESS}")
SPREAD_OF_SPLITS = OfFeatures("min", deviation_of_splits, logits=True, says=_OF_SPLITS.replace("mean", "deviation", 1))
INCEPTION_SPREAD_OF_SPLITS = SPREAD_OF_SPLITS._replace(says=f"{SPREAD_OF_SPLITS.says}, {_BIASLESS}")
