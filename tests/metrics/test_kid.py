from itertools import combinations
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics import kid
from slimgen.metrics.kid import KernelSide, deviation_of_subsets, kernel, kernel_distance, kernel_of_subsets
from slimgen.metrics.scorers import load_arrays, save_arrays

CPU = torch.device("cpu")


def column(*values: float) -> KernelSide:
    return KernelSide.of(torch.tensor(values)[:, None])


def features(seed: int, count: int, length: int = 6) -> Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


def by_hand(a: numpy.ndarray, b: numpy.ndarray) -> float:
    def mean(x: numpy.ndarray, y: numpy.ndarray, distinct: bool) -> float:
        pairs = [
            (x @ y.T / x.shape[1] + 1)[i, j] for i in range(len(x)) for j in range(len(y)) if i != j or not distinct
        ]
        return float(numpy.mean(numpy.array(pairs) ** 3))

    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)


def test_small_sets_have_the_value_worked_out_on_paper() -> None:
    # k(0, 0) = 1, k(0, 1) = 1, k(1, 1) = 8, k(1, 2) = 27, k(0, 2) = 1.
    assert kernel_distance(column(0, 0), column(1, 1)) == pytest.approx(1 + 8 - 2 * 1)
    assert kernel_distance(column(0, 1), column(1, 2)) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_the_distance_of_a_set_from_itself_is_negative_by_the_diagonal_that_pairs_leave_out() -> None:
    assert kernel_distance(column(0, 1), column(0, 1)) == pytest.approx(2 * 1 - 2 * (1 + 1 + 1 + 8) / 4)


def test_its_average_over_all_splits_of_a_set_into_two_is_zero_as_it_is_unbiased() -> None:
    points = features(0, 7)
    values = []
    for chosen in combinations(range(7), 3):
        rest = [n for n in range(7) if n not in chosen]
        values.append(kernel_distance(KernelSide.of(points[list(chosen)]), KernelSide.of(points[rest])))
    assert min(values) < 0 < max(values)
    assert numpy.mean(values) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 1024])
def test_it_equals_a_loop_over_all_pairs_whatever_the_block(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "ROWS", rows)
    a, b = features(1, 7), features(2, 5) + 0.5
    expected = by_hand(a.double().numpy(), b.double().numpy())
    assert kernel_distance(KernelSide.of(a), KernelSide.of(b)) == pytest.approx(expected, rel=1e-12)
    assert kernel(KernelSide.of(b), a) == pytest.approx(expected, rel=1e-12)


def test_one_image_has_no_pairs_and_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="at least two images"):
        KernelSide.of(torch.zeros(1, 8))
    with pytest.raises(DataError, match="the same length"):
        kernel_distance(KernelSide.of(torch.zeros(3, 8)), KernelSide.of(torch.zeros(3, 9)))


def test_a_cached_side_gives_the_same_distance_bit_for_bit_and_a_damaged_one_is_ignored(tmp_path: Path) -> None:
    a, b, path = KernelSide.of(features(1, 7)), KernelSide.of(features(2, 5)), tmp_path / "folder" / "real.npz"
    assert load_arrays(path, CPU) is None
    save_arrays(path, a.arrays())
    arrays = load_arrays(path, CPU)
    assert arrays is not None
    again = KernelSide.restored(arrays)
    assert kernel_distance(again, b) == kernel_distance(a, b)
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:-1]):
        path.write_bytes(damaged)
        assert load_arrays(path, CPU) is None


def test_the_mean_over_subsets_estimates_the_distance_and_of_sets_no_larger_is_the_distance(monkeypatch) -> None:
    a, b = features(1, 60), features(2, 50) + 0.5
    whole = kernel(KernelSide.of(a[:50]), b)
    # Sets of the subsets' size are used whole, in another order.
    assert kernel_of_subsets(KernelSide.of(a[:50]), b) == pytest.approx(whole, rel=1e-12)
    assert deviation_of_subsets(KernelSide.of(a[:50]), b) == pytest.approx(0, abs=1e-12)
    monkeypatch.setattr(kid, "SUBSET", 20)
    side = KernelSide.of(a)
    mean, deviation = kernel_of_subsets(side, b), deviation_of_subsets(side, b)
    assert deviation > 0
    assert abs(mean - kernel(side, b)) < 4 * deviation / kid.SUBSETS**0.5
    assert kernel_of_subsets(side, b) == mean
