"""`fid` is pytorch-fid's number: checked against pytorch-fid itself, with a file of random weights in its format."""

import warnings
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import RecipeError, WeightsError
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.features import INPUT, FeatureNetwork, open_features, resized
from slimgen.metrics.frechet import Statistics, frechet_distance
from slimgen.metrics.inception import WEIGHTS, import_torchvision, load_inception
from slimgen.metrics.kid import KernelSide, kernel_distance
from tests.metrics.frechet_formula import frechet_distance_plain

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch hub cache with a state dict of pytorch-fid's network: 1008 classes, random values."""
    import_torchvision()
    import torchvision
    from pytorch_fid import inception

    built: list[nn.Module] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda url, progress: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda net, state: built.append(net))
        inception.fid_inception_v3()
    generator = torch.Generator().manual_seed(0)
    for module in built[0].modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    path = tmp_path_factory.mktemp("hub") / "hub" / "checkpoints" / WEIGHTS
    path.parent.mkdir(parents=True)
    torch.save(built[0].state_dict(), path)
    return path


def pictures(seed: int) -> Tensor:
    """Soft random pictures of low contrast, float32, most of it between the 8-bit levels."""
    noise = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return 0.4 * nn.functional.interpolate(noise, size=64, mode="bicubic").clamp(-1, 1)


# A dark and a bright set: the matrix square root of pytorch-fid is itself off by 1e-6 of the covariances' traces where
# there are fewer images than features, so the distance must be large beside these for six digits to mean anything.
def fake() -> Tensor:
    return pictures(0) - 0.5


def real() -> Tensor:
    return pictures(1) + 0.5


def save(images: Tensor, folder: Path) -> str:
    folder.mkdir()
    levels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for index, picture in enumerate(levels):
        Image.fromarray(picture).save(folder / f"{index:02}.png")
    return str(folder)


@pytest.fixture
def from_hub(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages find the weights where pytorch-fid caches them."""
    monkeypatch.setenv("TORCH_HOME", str(weights.parent.parent.parent))
    monkeypatch.delenv("SLIMGEN_INCEPTION", raising=False)


@pytest.mark.usefixtures("from_hub")
def test_features_equal_pytorch_fids_and_so_does_their_distance(tmp_path: Path) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance, get_activations
    from pytorch_fid.inception import InceptionV3

    theirs, network = InceptionV3([3]).eval(), open_features("fid", {}, CPU)
    sides = []
    for name, images in (("real", real()[:3]), ("fake", fake()[:3])):
        save(images, tmp_path / name)
        features = get_activations(sorted((tmp_path / name).iterdir()), theirs, 4, 2048, "cpu", num_workers=0)
        with torch.inference_mode():
            expected = torch.from_numpy(features).float()
            assert (network(images) - expected).norm() < 1e-6 * expected.norm()
        # A part of the features: pytorch-fid's matrix square root takes ten seconds for all of them.
        sides.append(features[:, :128])
    moments = [part for side in sides for part in (side.mean(0), numpy.cov(side, rowvar=False))]
    with warnings.catch_warnings():
        # scipy announces the end of an argument that pytorch-fid passes, and that few pictures make singular matrices.
        warnings.simplefilter("ignore")
        expected = calculate_frechet_distance(*moments)
    a, b = (Statistics.of(torch.from_numpy(side)) for side in sides)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance_plain(a.mean, a.covariance, b.mean, b.covariance) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("from_hub")
def test_fid_is_the_number_that_pytorch_fid_prints_for_the_saved_pictures(tmp_path: Path) -> None:
    from pytorch_fid.fid_score import calculate_fid_given_paths

    folders = [save(real(), tmp_path / "real"), save(fake(), tmp_path / "fake")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = calculate_fid_given_paths(folders, batch_size=12, device="cpu", dims=2048, num_workers=0)
    evaluator = Evaluator((fake(), real()), ["fid"], compute=Compute(CPU), batch=5)
    assert evaluator.measure(nn.Identity())["fid"] == pytest.approx(expected, rel=1e-6)


def in_pillow(levels: Tensor) -> Tensor:
    """Levels (C, H, W) as clean-fid resizes them: each channel alone, in float, by Pillow's bicubic kernel."""
    channels = [Image.fromarray(channel.numpy().astype(numpy.float32)) for channel in levels]
    made = [numpy.asarray(channel.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255) for channel in channels]
    return torch.from_numpy(numpy.stack(made))


@pytest.mark.parametrize("size", [(20, 48), (299, 299), (512, 310)])
def test_clean_images_are_resized_as_pillow_resizes_floats(size: tuple[int, int]) -> None:
    levels = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0)).float()
    found = resized(levels[None] / 255, INPUT, clean=True)[0] * 255
    torch.testing.assert_close(found, in_pillow(levels), rtol=0, atol=1e-3)
    assert float((found - found.round()).abs().max()) > 0.1 or size == (299, 299)  # levels are not rounded again


def test_clean_resizing_keeps_a_ramp_and_blurs_what_is_finer_than_a_pixel() -> None:
    height, width = 2 * INPUT.height, 2 * INPUT.width
    ramp = torch.linspace(0, 1, width).expand(1, 3, height, width)
    middle = slice(4, -4)  # at the edges the kernel is cut off
    halves = ramp.unfold(3, 2, 2).mean(4)[:, :, ::2]  # two pixels become one, at their middle
    torch.testing.assert_close(resized(ramp, INPUT, clean=True)[..., middle], halves[..., middle], rtol=0, atol=1e-6)
    stripes = torch.tensor([0.0, 1.0]).repeat(INPUT.width).expand(1, 3, height, width)
    # Keys' kernel (a = -0.5) of twice its width weighs both kinds of stripe alike.
    grey = resized(stripes, INPUT, clean=True)[..., middle]
    torch.testing.assert_close(grey, torch.full_like(grey, 0.5), rtol=0, atol=1e-6)
    sharp = torch.zeros(1, 3, 75, 75)
    sharp[..., 40:] = 1
    found = resized(sharp, INPUT, clean=True)
    assert (float(found.min()), float(found.max())) == (
        0,
        1,
    )  # the kernel overshoots, and is cut to the levels there are


@pytest.mark.usefixtures("from_hub")
def test_clean_fid_is_the_same_networks_distance_behind_clean_fids_preprocessing(weights: Path) -> None:
    pair = fake()[:3], real()[:4]
    evaluator = Evaluator(pair, ["clean_fid", "fid"], compute=Compute(CPU), batch=4)
    values = evaluator.measure(nn.Identity())
    net = load_inception(weights)
    with torch.inference_mode():
        levels = [((images + 1) * 127.5).round() for images in pair]
        a, b = (net((torch.stack([in_pillow(one) for one in side]) - 128) / 128) for side in levels)
    expected = frechet_distance(Statistics.of(b), Statistics.of(a))
    assert values["clean_fid"] == pytest.approx(expected, rel=1e-4)
    assert abs(values["fid"] / expected - 1) > 1e-3
    assert "clean_fid: Inception's images resized to 299 x 299 by Pillow's bicubic kernel" in evaluator.protocol
    digests = {open_features(name, {}, CPU).digest for name in ("fid", "kid", "clean_fid")}
    assert len(digests) == 2
    with pytest.raises(RecipeError, match="inception has no option 'size'"):
        open_features("clean_fid", {"inception": {"path": "x.pth", "size": 299}}, CPU)


def test_the_error_for_missing_weights_names_the_places_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SLIMGEN_INCEPTION", raising=False)
    with pytest.raises(WeightsError, match=str(tmp_path / "hub" / "checkpoints" / WEIGHTS)):
        open_features("fid", {}, CPU)
    monkeypatch.setenv("SLIMGEN_INCEPTION", str(tmp_path / "elsewhere.pth"))
    with pytest.raises(WeightsError, match=r"elsewhere\.pth"):
        open_features("fid", {}, CPU)
    with pytest.raises(WeightsError, match=r"named\.pth"):
        open_features("fid", {"inception": {"path": str(tmp_path / "named.pth")}}, CPU)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    for other in ({"conv.weight": torch.zeros(3)}, [torch.zeros(3)]):
        torch.save(other, path)
        with pytest.raises(WeightsError, match="fit pytorch-fid's network") as caught:
            load_inception(path)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("from_hub")
def test_one_pass_of_inception_serves_the_distance_the_kernel_and_the_score(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    raw = FeatureNetwork.raw

    def counted(self: FeatureNetwork, images: Tensor) -> Tensor:
        counts.append(len(images))
        return raw(self, images)

    monkeypatch.setattr(FeatureNetwork, "raw", counted)
    pair = fake()[:3], real()[:4]
    evaluator = Evaluator(pair, ["kid", "is", "fid"], compute=Compute(CPU), batch=4)
    values = evaluator.measure(nn.Identity())
    assert counts == [3, 4]
    with torch.inference_mode():
        a, b = (open_features("fid", {}, CPU)(images) for images in pair)
    state = torch.load(weights, weights_only=True)
    scores = (a @ state["fc.weight"].T).double().softmax(1)
    assert values["fid"] == pytest.approx(frechet_distance(Statistics.of(b), Statistics.of(a)), rel=1e-12)
    assert values["kid"] == pytest.approx(kernel_distance(KernelSide.of(b), KernelSide.of(a)), rel=1e-12)
    sure = (scores * (scores / scores.mean(0)).log()).sum(1).mean().exp()
    assert values["is"] == pytest.approx(float(sure), rel=1e-9)
    assert "kid: unbiased squared MMD" in evaluator.protocol
    assert "is: exp(mean KL" in evaluator.protocol
    assert "1008 scores without bias" in evaluator.protocol


def test_inception_given_by_the_user_is_still_called_fid() -> None:
    with pytest.raises(RecipeError, match="use the metric fid"):
        open_features("fd:inception", {"inception": {"path": "x.pth"}}, CPU)
    for name in ("kid", "is"):
        with pytest.raises(RecipeError, match=f"use the metric {name}"):
            open_features(f"{name}:inception", {"inception": {"path": "x.pth"}}, CPU)
    pair = real(), fake()
    with pytest.raises(RecipeError, match="use the metric fid"):
        Evaluator(pair, ["fd:inception"], compute=Compute(CPU), features={"inception": {"path": "x.pth"}})
    with pytest.raises(RecipeError, match="no option 'size'"):
        open_features("fid", {"inception": {"path": "x.pth", "size": 299}}, CPU)
