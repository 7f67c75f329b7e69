from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.frechet import Statistics, frechet_distance
from slimgen.metrics.scorers import load_arrays, save_arrays
from tests.metrics.frechet_formula import frechet_distance_plain

CPU = torch.device("cpu")


def features(seed: int, count: int, length: int) -> Tensor:
    """Correlated features with a mean of their own."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(length, length, generator=generator, dtype=torch.float64) / length**0.5
    return torch.randn(count, length, generator=generator, dtype=torch.float64) @ mixing + 0.1 * seed


def axes(*spreads: float) -> Tensor:
    """Features whose covariance is exactly diagonal: a pair on each axis, of these standard deviations."""
    points = torch.diag(torch.tensor(spreads, dtype=torch.float64)) * ((2 * len(spreads) - 1) / 2) ** 0.5
    return torch.cat([points, -points])


def plain(a: Tensor, b: Tensor) -> float:
    """Means and covariances by numpy, then the formula."""
    moments = [(torch.from_numpy(x.numpy().mean(0)), torch.from_numpy(numpy.cov(x.numpy().T))) for x in (a, b)]
    return frechet_distance_plain(*moments[0], *moments[1])


def test_moving_all_features_costs_the_squared_distance() -> None:
    for count in (4, 40):
        a = features(1, count, 10)
        moved = a + torch.arange(10, dtype=torch.float64)
        assert frechet_distance(Statistics.of(a), Statistics.of(moved)) == pytest.approx(285, rel=1e-10)


def test_diagonal_covariances_cost_the_squared_differences_of_standard_deviations() -> None:
    a, b = axes(1.0, 2.0, 3.0), axes(4.0, 2.0, 0.5)
    assert Statistics.of(a).covariance.diagonal().tolist() == pytest.approx([1, 4, 9])
    assert frechet_distance(Statistics.of(a), Statistics.of(b)) == pytest.approx(9 + 0 + 6.25, rel=1e-10)
    padded = [torch.cat([x, torch.zeros(6, 9, dtype=torch.float64)], dim=1) for x in (a, b)]
    small = [Statistics.of(x) for x in padded]
    assert all(side.centred is not None for side in small)
    assert frechet_distance(*small) == pytest.approx(15.25, rel=1e-10)


@pytest.mark.parametrize(("count_a", "count_b"), [(5, 7), (12, 60), (60, 12), (60, 80), (32, 33), (2, 2)])
def test_every_path_equals_the_formula_with_a_matrix_square_root(count_a: int, count_b: int) -> None:
    a, b = features(1, count_a, 32), features(2, count_b, 32)
    expected = plain(a, b)
    assert frechet_distance(Statistics.of(a), Statistics.of(b)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(Statistics.of(b), Statistics.of(a)) == pytest.approx(expected, rel=1e-6)


def test_a_set_has_no_distance_to_itself() -> None:
    for count in (6, 50):
        side = Statistics.of(features(3, count, 20))
        assert 0 <= frechet_distance(side, side) < 1e-6


def test_features_in_float32_are_summed_in_float64() -> None:
    a = features(1, 30, 8)
    shifted = (a + 1000).float()
    expected = numpy.cov(shifted.numpy().astype(numpy.float64).T)
    assert numpy.allclose(Statistics.of(shifted).covariance.numpy(), expected, rtol=1e-12)


def test_one_image_has_no_covariance_and_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="at least two images"):
        Statistics.of(torch.zeros(1, 8))
    with pytest.raises(DataError, match="the same length"):
        frechet_distance(Statistics.of(torch.zeros(3, 8)), Statistics.of(torch.zeros(3, 9)))


@pytest.mark.parametrize("count", [6, 40])
def test_cached_statistics_give_the_same_distance_bit_for_bit(count: int, tmp_path: Path) -> None:
    a, b = Statistics.of(features(1, count, 16)), Statistics.of(features(2, 9, 16))
    save_arrays(tmp_path / "folder" / "real.npz", a.arrays())
    arrays = load_arrays(tmp_path / "folder" / "real.npz", CPU)
    assert arrays is not None
    again = Statistics.restored(arrays)
    assert (again.count, again.trace) == (a.count, a.trace)
    assert frechet_distance(again, b) == frechet_distance(a, b)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["real.npz"]


def test_damaged_or_missing_statistics_are_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "real.npz"
    assert load_arrays(path, CPU) is None
    save_arrays(path, Statistics.of(features(1, 40, 16)).arrays())
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (b"", content[:100], content[: len(content) // 2], content[:-1], bytes(flipped)):
        path.write_bytes(damaged)
        assert load_arrays(path, CPU) is None
