import math

import pytest
import torch

from slimgen.errors import DataError
from slimgen.metrics.inception_score import deviation_of_splits, inception_score, mean_of_splits


@pytest.mark.parametrize("classes", [2, 10, 1008])
def test_sure_scores_for_different_classes_give_the_number_of_classes(classes: int) -> None:
    assert inception_score(None, 1000 * torch.eye(classes)) == pytest.approx(classes, rel=1e-12)


def test_equal_images_or_undecided_scores_have_a_score_of_one() -> None:
    assert inception_score(None, torch.zeros(5, 10)) == pytest.approx(1, abs=1e-12)
    assert inception_score(None, torch.arange(10.0).expand(5, -1)) == pytest.approx(1, abs=1e-12)
    assert inception_score(None, torch.randn(1, 10)) == pytest.approx(1, abs=1e-12)


def test_two_mirrored_images_are_worth_two_less_their_entropy() -> None:
    share = 0.8
    scores = torch.tensor([[share, 1 - share], [1 - share, share]], dtype=torch.float64).log()
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert inception_score(None, scores) == pytest.approx(math.exp(math.log(2) - entropy), rel=1e-12)


def test_a_constant_added_to_an_images_scores_changes_nothing() -> None:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    moved = scores + torch.arange(6.0).double()[:, None]
    assert inception_score(None, moved) == pytest.approx(inception_score(None, scores), rel=1e-12)


def test_ten_splits_are_scored_in_order_and_have_a_mean_and_a_deviation() -> None:
    sure = 1000 * torch.eye(10)
    # Five splits of two equal images score 1, five of two different ones 2; the last image is left over.
    alike, apart = torch.cat([sure[:1], sure[:1]]), sure[:2]
    logits = torch.cat([*[alike] * 5, *[apart] * 5, sure[5:6]])
    assert mean_of_splits(None, logits) == pytest.approx(1.5, rel=1e-12)
    assert deviation_of_splits(None, logits) == pytest.approx(0.5, rel=1e-12)
    assert inception_score(None, logits[:-1]) > 1.5
    with pytest.raises(DataError, match="over 10 splits"):
        mean_of_splits(None, sure[:9])
