"""The converter of a classifier of CIFAR-10 to a feature network: by hand, and on the real weights and images."""

import importlib.util
import io
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from slimgen.metrics.features import open_features

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet20.py"
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
WEIGHTS, CIFAR = SHARED / "weights" / "cifar_resnet20-12fca82f.th", SHARED / "cifar10" / "cifar10_jpeg.tar.xz"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def resnet20():
    spec = importlib.util.spec_from_file_location("resnet20", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn() -> dict[str, Tensor]:
    """Weights under the names and in the shapes of the published file, statistics and all."""
    draw = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}

    def conv(name: str, inputs: int, outputs: int) -> None:
        found[f"module.{name}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=draw) / (3 * inputs**0.5)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"module.{name}.{part}"] = torch.rand(channels, generator=draw) + 0.1
        found[f"module.{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 3, 16)
    norm("bn1", 16)
    inputs = 16
    for layer, channels in enumerate((16, 32, 64), 1):
        for block in range(3):
            for part, given in (("1", inputs), ("2", channels)):
                conv(f"layer{layer}.{block}.conv{part}", given, channels)
                norm(f"layer{layer}.{block}.bn{part}", channels)
            inputs = channels
    found["module.linear.weight"] = torch.randn(10, 64, generator=draw)
    found["module.linear.bias"] = torch.randn(10, generator=draw)
    return found


def by_hand(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """The features, written out: each name is used once."""
    used = dict(weights)

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        return functional.conv2d(x, used.pop(f"module.{name}.weight"), stride=stride, padding=1)

    def norm(name: str, x: Tensor) -> Tensor:
        used.pop(f"module.{name}.num_batches_tracked")
        scale, shift, mean, var = (
            used.pop(f"module.{name}.{part}")[:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = norm("bn1", conv("conv1", images)).relu()
    for layer in (1, 2, 3):
        for block in range(3):
            stride, at = (2 if layer > 1 and block == 0 else 1), f"layer{layer}.{block}"
            out = norm(f"{at}.bn1", conv(f"{at}.conv1", x, stride)).relu()
            out = norm(f"{at}.bn2", conv(f"{at}.conv2", out))
            kept = x[:, :, ::stride, ::stride]
            before = (out.shape[1] - kept.shape[1]) // 2
            out[:, before : before + kept.shape[1]] += kept
            x = out.relu()
    assert set(used) == {"module.linear.weight", "module.linear.bias"}
    return x.mean((2, 3))


def test_every_weight_has_its_place_and_the_written_network_gives_the_same_features(resnet20, drawn, tmp_path):
    torch.save({"best_prec1": 91.0, "state_dict": drawn}, tmp_path / "drawn.th")
    resnet20.write(resnet20.load(tmp_path / "drawn.th"), tmp_path / "net.pt")
    images = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    options = {"resnet20": {"path": str(tmp_path / "net.pt"), "mean": MEAN, "std": STD}}
    found = open_features("fd:resnet20", options, CPU)(images / 127.5 - 1)
    assert found.shape == (5, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    assert torch.allclose(found, by_hand(drawn, (images / 255 - mean) / std), rtol=1e-4, atol=1e-5)


def test_scores_are_made_of_the_features(resnet20, drawn, tmp_path):
    torch.save(drawn, tmp_path / "drawn.th")
    command = [sys.executable, "-W", "error", EXAMPLE, tmp_path / "drawn.th", tmp_path / "net.pt", "--scores"]
    assert "10 scores" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    scores = open_features("is:net", {"net": {"path": str(tmp_path / "net.pt")}}, CPU)(images)
    features = resnet20.load(tmp_path / "drawn.th")(((images + 1) * 127.5).round() / 127.5 - 1)
    wanted = functional.linear(features, drawn["module.linear.weight"], drawn["module.linear.bias"])
    assert torch.allclose(scores, wanted.detach(), rtol=1e-4, atol=1e-4)


def test_other_weights_and_code_in_disguise_are_refused(resnet20, drawn, tmp_path):
    torch.save({name: value for name, value in drawn.items() if "layer2.1" not in name}, tmp_path / "less.th")
    with pytest.raises(ValueError, match="ResNet-20"):
        resnet20.load(tmp_path / "less.th")
    torch.save({"state_dict": subprocess.run}, tmp_path / "code.th")
    with pytest.raises(pickle.UnpicklingError):
        resnet20.load(tmp_path / "code.th")


@pytest.mark.skipif(not (WEIGHTS.is_file() and CIFAR.is_file()), reason="the weights or the archive are not here")
def test_the_published_weights_recognise_what_they_were_trained_for(resnet20):
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    images, labels = [], []
    with tarfile.open(CIFAR, "r|*") as archive:
        for entry in archive:
            split, *_, kind, name = Path("none", *Path(entry.name).parts[-3:]).parts[-3:]
            if split == "test" and entry.isreg() and int(Path(name).stem) < 20:
                images.append(np.asarray(Image.open(io.BytesIO(archive.extractfile(entry).read()))))
                labels.append(classes.index(kind))
    given = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        scores = resnet20.load(WEIGHTS, scores=True)((given - mean) / std)
    assert len(labels) == 200
    # 91.7 % of the original images, fewer of these, which went through JPEG; a tenth by chance.
    assert float((scores.argmax(1) == torch.tensor(labels)).float().mean()) > 0.75
