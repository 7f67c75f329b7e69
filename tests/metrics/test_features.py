import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import RecipeError, WeightsError
from slimgen.export.onnx import export_onnx
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.features import FeatureNetwork, open_features

CPU = torch.device("cpu")
RAW: dict[str, object] = {"mean": 0, "std": 1}


def flat(levels: Tensor, size: int = 8) -> Tensor:
    """Flat pictures (N, 3, size, size) of levels (N, 3) in 0..255."""
    return (levels.float() / 127.5 - 1)[:, :, None, None].expand(-1, -1, size, size).contiguous()


def colours(seed: int, count: int = 9) -> Tensor:
    return torch.randint(0, 200, (count, 3), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small network as TorchScript and as ONNX, and one that returns its images."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("features")
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 5, 3)).eval()
    script(net, folder / "net.pt")
    script(nn.Identity(), folder / "images.pt")
    export_onnx(net, folder / "net.onnx", height=16, width=16)
    return {name: folder / name for name in ("net.pt", "images.pt", "net.onnx")}


def script(net: nn.Module, path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), path)


def test_the_distance_of_mean_colours_has_its_closed_form(files: dict[str, Path]) -> None:
    features = {"colour": {"path": str(files["images.pt"]), **RAW}}
    fake, real = flat(colours(0)), flat(colours(0) + 51)
    evaluator = Evaluator((fake, real), ["fd:colour"], compute=Compute(CPU), batch=4, features=features)
    assert evaluator.measure(nn.Identity())["fd:colour"] == pytest.approx(3 * 0.2**2, rel=1e-6)


def test_real_images_may_be_uint8(files: dict[str, Path]) -> None:
    features = {"x": {"path": str(files["net.pt"])}}
    real = torch.randint(0, 256, (7, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    fake = flat(colours(0))
    values = [
        Evaluator((fake, side), ["fd:x"], compute=Compute(CPU), batch=4, features=features).measure(nn.Identity())
        for side in (real, real.float() * (2 / 255) - 1)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(("size", "shape"), [(16, (16, 16)), ([12, 20], (12, 20))])
def test_images_are_rounded_resized_and_normalised_as_the_recipe_says(files: dict[str, Path], size, shape) -> None:
    options = {"path": str(files["images.pt"]), "size": size, "mean": [0.5, 0, 0.25], "std": [1, 2, 0.5]}
    network = open_features("fd:x", {"x": options}, CPU)
    seen = []
    spy = FeatureNetwork("", lambda images: seen.append(images) or images, network.size, network.mean, network.std)
    levels = torch.tensor([[51, 102, 204]])
    features = spy(flat(levels) + 0.4 / 127.5)
    assert seen[0].shape == (1, 3, *shape)
    assert features[0].tolist() == pytest.approx([0.2 - 0.5, 0.4 / 2, (0.8 - 0.25) / 0.5], abs=1e-6)


def test_torchscript_and_onnx_of_one_network_give_the_same_features(files: dict[str, Path]) -> None:
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    a, b = (open_features("fd:x", {"x": {"path": str(files[name])}}, CPU) for name in ("net.pt", "net.onnx"))
    with torch.inference_mode():
        assert a(images).shape == (3, 5)
        torch.testing.assert_close(a(images), b(images), atol=1e-5, rtol=1e-5)
    assert a.digest != b.digest


def test_the_preprocessing_is_part_of_the_protocol(files: dict[str, Path]) -> None:
    pair = flat(colours(0)), flat(colours(1))
    protocols = {
        Evaluator(
            pair, ["fd:x"], compute=Compute(CPU), features={"x": {"path": str(files["net.pt"]), **options}}
        ).protocol
        for options in ({}, {"size": 12}, {"mean": 0.1}, {"std": 2})
    }
    assert len(protocols) == 4
    assert all("fid" not in protocol and "fd:x@" in protocol for protocol in protocols)


def test_the_real_side_is_computed_once_and_kept_between_processes(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    raw = FeatureNetwork.raw

    def counted(self: FeatureNetwork, images: Tensor) -> Tensor:
        counts.append(len(images))
        return raw(self, images)

    monkeypatch.setattr(FeatureNetwork, "raw", counted)

    def measured() -> list[dict[str, float]]:
        features = {"x": {"path": str(files["net.pt"])}}
        pair = flat(colours(0)), flat(colours(1))
        names = ["fd:x", "is:x", "kid:x"]
        evaluator = Evaluator(pair, names, compute=Compute(CPU), features=features, reference=tmp_path)
        return [evaluator.measure(nn.Identity()), evaluator.measure(torch.neg)]

    first = measured()
    assert sum(counts) == 9 + 9 + 9
    counts.clear()
    assert measured() == first
    assert sum(counts) == 9 + 9
    kept = list(tmp_path.iterdir())
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(path.read_bytes()[:50])
        assert measured() == first


def test_sets_of_different_size_can_be_compared_by_distances(files: dict[str, Path]) -> None:
    features = {"x": {"path": str(files["net.pt"])}}
    pair = flat(colours(0, 5)), flat(colours(1, 8))
    value = Evaluator(pair, ["fd:x"], compute=Compute(CPU), features=features).measure(nn.Identity())["fd:x"]
    assert 0 < value < float("inf")


def test_a_generator_that_has_diverged_is_infinitely_far_away(files: dict[str, Path]) -> None:
    features = {"x": {"path": str(files["net.pt"])}}
    evaluator = Evaluator((flat(colours(0)), flat(colours(1))), ["fd:x"], compute=Compute(CPU), features=features)
    assert evaluator.measure(lambda x: x * float("nan")) == {"fd:x": float("inf")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a path"),
        ({"path": "x.pt", "szie": 3}, "did you mean 'size'"),
        ({"path": "x.pt", "size": 0}, "size of feature network .* height and width"),
        ({"path": "x.pt", "mean": [1, 2]}, "one number or three"),
        ({"path": "x.pt", "std": 0}, "must not be zero"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        open_features("fd:x", {"x": options}, CPU)


def test_missing_and_damaged_networks_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="needs a feature network called y"):
        open_features("fd:y", {"x": {"path": "x.pt"}}, CPU)
    with pytest.raises(WeightsError, match="no file"):
        open_features("fd:x", {"x": {"path": str(tmp_path / "none.pt")}}, CPU)
    for name in ("net.pt", "net.onnx"):
        damaged = tmp_path / name
        damaged.write_bytes(files[name].read_bytes()[:300])
        with pytest.raises(WeightsError, match=name):
            open_features("fd:x", {"x": {"path": str(damaged)}}, CPU)


def test_a_pickle_in_place_of_torchscript_is_not_run(tmp_path: Path) -> None:
    evil, mark = tmp_path / "evil.pt", tmp_path / "mark"
    evil.write_bytes(pickle.dumps(Evil(str(mark))))
    with pytest.raises(WeightsError, match="TorchScript"):
        open_features("fd:x", {"x": {"path": str(evil)}}, CPU)
    with pytest.raises(WeightsError, match="load safely"):
        open_features("fid", {"inception": {"path": str(evil)}}, CPU)
    assert not mark.exists()


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")
