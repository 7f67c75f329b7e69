"""The Inception score: high where a classifier is sure of each image and finds many classes over all images."""

import math

from torch import Tensor

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


_SAYS = "exp(mean KL(p(y|x) || p(y))) in one split"
SCORE = OfFeatures("max", inception_score, logits=True, says=_SAYS)
INCEPTION_SCORE = SCORE._replace(says=f"{_SAYS}, Inception's 1008 scores without bias")
