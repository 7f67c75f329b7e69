import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError, WeightsError
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.inception import import_torchvision
from slimgen.metrics.kinds import Networks
from slimgen.metrics.lpips import open_lpips
from slimgen.metrics.registry import check

CPU = torch.device("cpu")
ENDS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}
"""Where each slice of torchvision's features ends."""
LENGTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
SHIFT, SCALE = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])


def trunk(net: str) -> nn.Sequential:
    """torchvision's features, of random weights."""
    import_torchvision()
    import torchvision

    torch.manual_seed(0)
    if net == "alex":
        return torchvision.models.AlexNet().features
    return torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])


def state_of(net: str, features: nn.Sequential, weights: list[Tensor]) -> dict[str, Tensor]:
    """As PyPI's lpips names its parts: the slices keep torchvision's numbers."""
    state = {"scaling_layer.shift": SHIFT.view(1, 3, 1, 1), "scaling_layer.scale": SCALE.view(1, 3, 1, 1)}
    for name, value in features.state_dict().items():
        slice_ = next(n for n, end in enumerate(ENDS[net], 1) if int(name.split(".")[0]) < end)
        state[f"net.slice{slice_}.{name}"] = value
    for number, weight in enumerate(weights):
        state[f"lin{number}.model.1.weight"] = state[f"lins.{number}.model.1.weight"] = weight
    return state


def slices(net: str, features: nn.Sequential, images: Tensor) -> list[Tensor]:
    """Each slice's output, computed by torchvision's network in float64."""
    out = (images.double() - SHIFT.double()[:, None, None]) / SCALE.double()[:, None, None]
    found, start = [], 0
    for end in ENDS[net]:
        out, start = features[start:end](out), end
        found.append(out)
    return found


def independent(net: str, features: nn.Sequential, weights: list[Tensor], a: Tensor, b: Tensor) -> list[float]:
    """The distance of each pair, by cosines: w (x - y)^2 summed over a channel's positions, one after the other."""
    double = features.double()
    totals = [0.0] * len(a)
    for x, y, weight in zip(slices(net, double, a), slices(net, double, b), weights, strict=True):
        x, y = (nn.functional.normalize(maps, dim=1, eps=1e-10) for maps in (x, y))
        distance = torch.einsum("c,nchw->nhw", weight.double().flatten(), (x - y) ** 2)
        totals = [total + float(one.mean()) for total, one in zip(totals, distance, strict=True)]
    features.float()
    return totals


@pytest.fixture(scope="module", params=["alex", "vgg"])
def weighed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, nn.Sequential, list[Tensor], Networks]:
    net = request.param
    features = trunk(net)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.rand(1, length, 1, 1, generator=generator) for length in LENGTHS[net]]
    path = tmp_path_factory.mktemp("lpips") / f"{net}.pth"
    torch.save(state_of(net, features, weights), path)
    return net, features, weights, {"lpips": {"path": str(path), "net": net}}


def pictures(seed: int, count: int = 2, size: int = 48) -> Tensor:
    """Pictures on the 8-bit levels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator) / 127.5 - 1


def test_it_equals_an_independent_implementation(
    weighed: tuple[str, nn.Sequential, list[Tensor], Networks],
) -> None:
    net, features, weights, networks = weighed
    distance = open_lpips(networks, CPU).function
    a, b = pictures(0), pictures(1)
    with torch.inference_mode():
        expected = independent(net, features, weights, a, b)
        assert distance(a, b).tolist() == pytest.approx(expected, rel=1e-5)
        assert distance(b, a).tolist() == pytest.approx(expected, rel=1e-5)
        assert distance(a, b).dtype == torch.float64


def test_equal_images_have_no_distance_and_grey_ones_count_as_rgb(
    weighed: tuple[str, nn.Sequential, list[Tensor], Networks],
) -> None:
    distance = open_lpips(weighed[3], CPU).function
    a, b = pictures(0), pictures(1)
    with torch.inference_mode():
        assert distance(a, a).tolist() == [0, 0]
        # As of saved pictures: what lies between the levels does not count.
        assert distance(a + 0.4 / 127.5, a).tolist() == [0, 0]
        grey = [images[:, :1] for images in (a, b)]
        assert torch.equal(distance(*grey), distance(*[images.expand(-1, 3, -1, -1) for images in grey]))
    with pytest.raises(DataError, match="at least"):
        distance(a[..., :15], a[..., :15])


def test_it_is_a_metric_of_single_images_whose_protocol_names_its_weights(
    weighed: tuple[str, nn.Sequential, list[Tensor], Networks],
) -> None:
    pair, networks = (pictures(0, 3), pictures(1, 3)), weighed[3]
    evaluator = Evaluator(pair, ["lpips"], compute=Compute(CPU), batch=2, features=networks)
    opened = open_lpips(networks, CPU)
    with torch.inference_mode():
        assert evaluator.measure(nn.Identity())["lpips"] == pytest.approx(float(opened.function(*pair).mean()))
    assert evaluator.goals == {"lpips": "min"}
    assert f"lpips@{opened.digest[:12]} of 3 images" in evaluator.protocol
    assert "lpips: LPIPS 0.1" in evaluator.protocol


class Apart(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)


def test_a_torchscript_file_that_takes_two_images_can_replace_the_network(tmp_path: Path) -> None:
    path = tmp_path / "apart.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(Apart()), path)
    distance = open_lpips({"lpips": {"path": str(path)}}, CPU).function
    a = torch.full((2, 3, 8, 8), 100 / 127.5 - 1)
    assert distance(a + torch.tensor([10, 40]).view(2, 1, 1, 1) / 127.5, a).tolist() == pytest.approx(
        [10 / 127.5, 40 / 127.5], rel=1e-6
    )
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.PairwiseDistance(), (a, a)), path)
    with pytest.raises(WeightsError, match="one value per pair"):
        open_lpips({"lpips": {"path": str(path)}}, CPU).function(a, a)


def test_missing_or_wrong_weights_are_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="lpips needs its weights"):
        check("lpips", {})
    with pytest.raises(WeightsError, match="no file"):
        check("lpips", {"lpips": {"path": str(tmp_path / "none.pth"), "net": "alex"}})
    with pytest.raises(RecipeError, match="alex or vgg"):
        check("lpips", {"lpips": {"path": "x.pth", "net": "squeeze"}})
    with pytest.raises(RecipeError, match="did you mean 'net'"):
        check("lpips", {"lpips": {"path": "x.pth", "nett": "vgg"}})
    with pytest.raises(RecipeError, match="reserved for the metric lpips"):
        check("fd:lpips", {"lpips": {"path": "x.pth"}})
    path = tmp_path / "other.pth"
    for other in ({"conv.weight": torch.zeros(3)}, [torch.zeros(3)]):
        torch.save(other, path)
        with pytest.raises(WeightsError, match="those of lpips") as caught:
            open_lpips({"lpips": {"path": str(path), "net": "vgg"}}, CPU)
        assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(WeightsError, match="load safely"):
        open_lpips({"lpips": {"path": str(path), "net": "vgg"}}, CPU)
    with pytest.raises(WeightsError, match="TorchScript"):
        open_lpips({"lpips": {"path": str(path)}}, CPU)


def test_weights_of_the_other_trunk_are_refused(
    weighed: tuple[str, nn.Sequential, list[Tensor], Networks],
) -> None:
    net, _, _, networks = weighed
    other = {"alex": "vgg", "vgg": "alex"}[net]
    with pytest.raises(WeightsError, match=other):
        open_lpips({"lpips": {**networks["lpips"], "net": other}}, CPU)
