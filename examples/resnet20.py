"""A feature network for 32-pixel images: a ResNet-20 that classifies CIFAR-10, as a TorchScript file for slimgen.

The weights are from https://github.com/akamaster/pytorch_resnet_cifar10 (91.7 % test accuracy, BSD 2-clause):

    python examples/resnet20.py pretrained_models/resnet20-12fca82f.th resnet20.pt

The written network maps images to 64 features, by which a recipe measures distances as `fd:resnet20` or `kid:resnet20`:

    evaluate:
      metrics: ["fd:resnet20"]
      features:
        resnet20: {path: resnet20.pt, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}

With `--scores`, it maps images to the scores of the ten classes instead, for `is:resnet20`. A distance in these
features is not an FID and must not be called one.
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE, CLASSES = 32, 10
PREFIX = "module."
"""The prefix of each name that training on several GPUs adds."""


class Block(nn.Module):
    """A residual block of two convolutions, with a shortcut without weights.

    Where the shape changes, the shortcut takes every other pixel, and zeros for the new channels (He et al. 2016,
    option A).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.wider = stride, (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        kept = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(out + functional.pad(kept, (0, 0, 0, 0, self.wider, self.wider)))


class Resnet20(nn.Module):
    """ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2): three blocks each with 16, 32 and 64 channels.

    Args:
        scores: return the scores of the classes instead of the features before them.
    """

    def __init__(self, scores: bool = False) -> None:
        super().__init__()
        self.scores = scores
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, 64), or to scores (N, 10)."""
        x = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(x))).mean((2, 3))
        return self.linear(features) if self.scores else features


def load(path: Path, scores: bool = False) -> Resnet20:
    """Return the network with the weights of a file, in evaluation mode.

    Args:
        path: a file with a dictionary that has a `state_dict`, whose names may begin with `module.`, or with the
            `state_dict` itself.
        scores: as for `Resnet20`.

    Raises:
        ValueError: the weights belong to another network.
    """
    found = torch.load(path, map_location="cpu", weights_only=True)
    weights: Mapping[str, Tensor] = found.get("state_dict", found)
    net = Resnet20(scores)
    try:
        net.load_state_dict({name.removeprefix(PREFIX): value for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"{path} must hold the weights of a ResNet-20 of CIFAR-10: {error}") from error
    return net.eval()


def write(net: Resnet20, path: Path) -> None:
    """Write a network as TorchScript."""
    with warnings.catch_warnings():
        # torch warns at each use that TorchScript is deprecated; slimgen still reads feature networks in this form.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(net, torch.zeros(2, 3, SIDE, SIDE)), path)


def main() -> None:
    """Convert the weights named on the command line."""
    parser = argparse.ArgumentParser(description="Convert a ResNet-20 for CIFAR-10 to a feature network for slimgen.")
    parser.add_argument("weights", type=Path, help="weights file, such as resnet20-12fca82f.th")
    parser.add_argument("out", type=Path, help="TorchScript file to write")
    parser.add_argument("--scores", action="store_true", help="return the class scores instead of the features")
    given = parser.parse_args()
    write(load(given.weights, given.scores), given.out)
    print(f"{given.out}: {CLASSES} scores" if given.scores else f"{given.out}: 64 features")


if __name__ == "__main__":
    main()
