"""The Inception score: how sure a classifier is of each image, and how many classes it sees in all of them."""

import math

from torch import Tensor

from slimgen.metrics.kinds import OfFeatures


def inception_score(real: None, logits: Tensor) -> float:
    """exp(mean of KL(p(y|x) || p(y))), in one split (Salimans et al. 2016, section 4): the metrics `is`, `is:<name>`.

    Between 1 (all images alike to the classifier) and the number of classes. The mean over ten splits that is commonly
    printed is smaller with few images, because each split sees fewer classes.

    Args:
        real: the real images play no part.
        logits: (N, K) scores of the classes, before the softmax.
    """
    conditional = logits.double().log_softmax(1)
    marginal = conditional.logsumexp(0) - math.log(len(logits))
    divergence = (conditional.exp() * (conditional - marginal)).sum(1)
    return float(divergence.mean().exp())


_SAYS = "exp(mean KL(p(y|x) || p(y))) in one split"
SCORE = OfFeatures("max", inception_score, logits=True, says=_SAYS)
INCEPTION_SCORE = SCORE._replace(says=f"{_SAYS}, Inception's 1008 scores without bias")
