"""What a distance between sets of features says of itself where there are no more images than features."""

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.frechet import FRECHET, Statistics, frechet
from slimgen.metrics.kid import KERNEL, KernelSide, kernel
from slimgen.metrics.registry import METRICS, find

CPU = Compute(torch.device("cpu"))
LENGTH = 3  # of the features of `colours`


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> dict[str, dict[str, object]]:
    """A feature network that returns the images, which are then averaged."""
    path = tmp_path_factory.mktemp("features") / "colours.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Identity(), torch.zeros(1, 3, 8, 8)), path)
    return {"colours": {"path": str(path)}}


def notes(colours, made: int, real: int, metrics: list[str]) -> list[str]:
    pair = tuple(torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count)) for count in (made, real))
    evaluator = Evaluator(pair, metrics, compute=CPU, features=colours)
    assert evaluator.notes == []  # no notes before a measurement
    evaluator.measure(lambda x: x)
    return evaluator.notes


@pytest.mark.parametrize(("made", "real"), [(LENGTH, 20), (20, LENGTH), (2, 2)])
def test_each_distance_has_a_note_with_the_numbers_of_images_and_features(colours, made: int, real: int) -> None:
    found = notes(colours, made, real, ["fd:colours", "kid:colours"])
    counts = f"of {made} generated and {real} real images, for {LENGTH} features"
    assert found == [f"fd:colours {counts}: {FRECHET.few}", f"kid:colours {counts}: {KERNEL.few}"]
    assert "covariance is singular" in found[0]


def test_there_is_no_note_with_more_images_than_features_or_for_other_metrics(colours) -> None:
    assert notes(colours, LENGTH + 1, LENGTH + 1, ["fd:colours", "kid:colours", "psnr"]) == []
    assert notes(colours, 2, 2, ["is:colours", "psnr"]) == []


def test_the_note_does_not_change_the_protocol_by_which_values_are_kept(colours) -> None:
    images = torch.rand(2, 3, 8, 8)
    evaluator = Evaluator((images, images), ["fd:colours"], compute=CPU, features=colours)
    before = evaluator.protocol
    evaluator.measure(lambda x: x)
    assert evaluator.protocol == before


@pytest.mark.parametrize("metric", [name for name in METRICS if name.partition(":")[0] in ("fid", "fd", "kid")])
def test_every_distance_between_sets_has_a_note_for_few_images(metric: str) -> None:
    assert find(metric.replace("<name>", "a")).few


def drawn(seed: int, count: int) -> Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_what_is_said_is_so() -> None:
    """Two draws of one distribution: of few, a singular covariance and a larger distance; the kernel's stays at 0."""
    few = [(drawn(2 * seed, 8), drawn(2 * seed + 1, 8)) for seed in range(200)]
    assert int(torch.linalg.matrix_rank(few[0][0].T.cov())) == 7 < 16
    many = frechet(Statistics.of(drawn(0, 2000)), drawn(1, 2000))
    assert min(frechet(Statistics.of(a), b) for a, b in few) > 20 * many
    values = torch.tensor([kernel(KernelSide.of(a), b) for a, b in few])
    assert abs(float(values.mean())) < 3 * float(values.std()) / len(values) ** 0.5
    wide = torch.tensor([kernel(KernelSide.of(drawn(2 * s, 80)), drawn(2 * s + 1, 80)) for s in range(50)])
    assert float(values.std()) > 5 * float(wide.std())
