import math
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.evaluator import Evaluator

CPU = Compute(torch.device("cpu"))
COUNT, BATCH = 22, 4


def noise(seed: int, count: int = COUNT) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def apart(path: Path) -> dict[str, dict[str, object]]:
    """A distance of pairs in the place of LPIPS, whose goal is `min`."""

    class Apart(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (a - b).abs().mean(dim=(1, 2, 3))

    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(Apart(), (noise(0, 2), noise(1, 2))), path)
    return {"lpips": {"path": str(path)}}


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    features = apart(tmp_path_factory.mktemp("racing") / "apart.pt")
    pair = noise(0), noise(1)
    return Evaluator(pair, ["psnr", "lpips"], compute=CPU, batch=BATCH, features=features)


def halve(images: Tensor) -> Tensor:
    return images / 2


def dropped_after(gains: numpy.ndarray, first: int, z: float) -> int | None:
    """The images seen when a candidate of these gains is hopeless, straight from the rule; None if it never is."""
    for seen in range(BATCH, COUNT, BATCH):
        some = gains[:seen]
        if seen >= first and some.mean() + z * some.std(ddof=1) / math.sqrt(seen) < 0:
            return seen
    return None


@pytest.mark.parametrize("metric", ["psnr", "lpips"])
@pytest.mark.parametrize(("first", "z"), [(8, 3.0), (2, 1.0), (13, 2.0)])
def test_exactly_the_hopeless_candidates_are_dropped_as_soon_as_possible(
    metric: str, first: int, z: float, evaluator: Evaluator
) -> None:
    mine = evaluator.per_image(halve, metric)
    sign = 1 if metric == "psnr" else -1
    rng, ends = numpy.random.default_rng(0), set()
    for _ in range(60):
        gains = rng.normal(rng.normal(-0.2, 0.2), 0.5, COUNT)
        rival = mine - sign * torch.from_numpy(gains)
        raced = evaluator.race(halve, rival, metric=metric, first=first, z=z)
        expected = dropped_after(gains, first, z)
        assert raced.complete == (expected is None)
        assert len(raced.per_image) == (expected or COUNT)
        assert torch.equal(raced.per_image, mine[: len(raced.per_image)])
        if expected:
            value = float(rival.mean()) + sign * gains[:expected].mean()
            assert raced.values == pytest.approx({metric: value}, rel=1e-9)
            assert sign * (raced.values[metric] - float(rival.mean())) < 0
        else:
            assert raced.values == {metric: evaluator.measure(halve)[metric]}
        ends.add(expected)
    # Some were dropped early, some late, some never.
    assert len(ends) >= 3


def test_all_images_are_evaluated_without_a_rival_or_against_itself(evaluator: Evaluator) -> None:
    mine = evaluator.per_image(halve, "psnr")
    assert mine.shape == (COUNT,)
    assert mine.dtype == torch.float64
    for rival in (None, mine):
        raced = evaluator.race(halve, rival, metric="psnr")
        assert raced.complete
        assert len(raced.per_image) == COUNT
        assert raced.values == {"psnr": evaluator.measure(halve)["psnr"]}
        assert torch.equal(raced.per_image, mine)


def test_a_rival_that_is_better_by_a_constant_ends_the_race_at_the_first_check(evaluator: Evaluator) -> None:
    mine = evaluator.per_image(halve, "psnr")
    calls: list[int] = []
    raced = evaluator.race(lambda x: calls.append(len(x)) or x / 2, mine + 1, metric="psnr", first=8)
    assert calls == [BATCH, BATCH]
    assert not raced.complete
    assert raced.values["psnr"] == pytest.approx(float(mine.mean()), rel=1e-12)


def test_a_candidate_that_has_diverged_is_dropped_at_once_with_the_worst_value(evaluator: Evaluator) -> None:
    for rival in (None, torch.zeros(COUNT)):
        for metric, worst in (("psnr", -math.inf), ("lpips", math.inf)):
            raced = evaluator.race(lambda x: x * math.nan, rival, metric=metric)
            assert raced.values == {metric: worst}
            assert (len(raced.per_image), raced.complete) == (BATCH, False)


def test_a_rival_that_has_diverged_drops_no_candidate(evaluator: Evaluator) -> None:
    assert evaluator.race(halve, torch.full((COUNT,), math.nan), metric="psnr").complete
    assert evaluator.race(halve, torch.full((COUNT,), -math.inf), metric="psnr").complete


def test_metrics_of_sets_cannot_be_raced(tmp_path: Path, evaluator: Evaluator) -> None:
    path = tmp_path / "images.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Identity(), noise(0, 1)), path)
    sets = Evaluator((noise(0), noise(1)), ["fd:x", "ssim"], compute=CPU, features={"x": {"path": str(path)}})
    with pytest.raises(RecipeError, match="need a per-image metric"):
        sets.race(halve, None, metric="fd:x")
    with pytest.raises(RecipeError, match="known: psnr, lpips"):
        evaluator.per_image(halve, "ssim")
    with pytest.raises(DataError, match="one value for every image"):
        evaluator.race(halve, torch.zeros(COUNT - 1), metric="psnr")
