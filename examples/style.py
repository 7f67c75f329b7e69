"""A generator trained in another framework, adopted: fast style transfer (Johnson et al. 2016).

The weights at https://github.com/ml5js/ml5-data-and-models (MIT) are raw arrays in TensorFlow's order, one file each,
with their shapes in `manifest.json`. Once converted to safetensors, they are adopted like any others:

    python examples/style.py models/style-transfer/la_muse la_muse.safetensors
    slimgen adopt la_muse.safetensors examples/style.py:Style --data photographs --out runs/la_muse

There are no target images, so nothing is scored; the pictures are in the report.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-3
"""The constant added to a variance, as in the training of these networks."""


class Normed(nn.Module):
    """A convolution with TensorFlow's `SAME` padding, an affine InstanceNorm, and a ReLU if asked for.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel, odd.
        step: 2 halves the size, -2 doubles it.
        relu: whether a ReLU follows.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, step: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.kernel, self.step, self.relu = kernel, step, relu
        kind = nn.ConvTranspose2d if step < 0 else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, abs(step), 0 if abs(step) > 1 else kernel // 2, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, eps=EPSILON, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W')."""
        if self.step == 2:  # for an even size, `SAME` pads at the bottom and on the right only
            x = functional.pad(x, (0, self.kernel - 2, 0, self.kernel - 2))
        x = self.conv(x)
        if self.step == -2:
            x = x[..., : 2 - self.kernel, : 2 - self.kernel]
        x = self.norm(x)
        return functional.relu(x) if self.relu else x


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Normed(width, width, 3), Normed(width, width, 3, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features of the same shape."""
        return x + self.layers(x)


class Style(nn.Module):
    """The network of fast style transfer, for pictures in [-1, 1] whose sides are multiples of 4.

    The published network takes levels 0..255 and returns 150 tanh + 127.5. Here input and output are rescaled to
    [-1, 1], so outputs may lie slightly outside.

    Args:
        channels: channels after the first convolution.
        blocks: number of residual blocks.
    """

    def __init__(self, channels: int = 32, blocks: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Normed(3, channels, 9),
            Normed(channels, 2 * channels, 3, 2),
            Normed(2 * channels, 4 * channels, 3, 2),
            *(Residual(4 * channels) for _ in range(blocks)),
            Normed(4 * channels, 2 * channels, 3, -2),
            Normed(2 * channels, channels, 3, -2),
            Normed(channels, 3, 9, relu=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to pictures of the same shape."""
        made = torch.tanh(self.layers((images + 1) * 127.5))
        return made * (150 / 127.5)


def converted(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a folder of raw arrays under the names of `Style`.

    Arrays are numbered `Variable`, `Variable_1` and so on, three for each layer in order: the kernel (height, width,
    inputs, outputs; for a transposed convolution outputs before inputs), the shift and the scale.

    Raises:
        ValueError: an array does not have the manifest's size, or the number of arrays does not fit the network.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    arrays = []
    for number in range(len(manifest)):
        about = manifest[f"Variable_{number}" if number else "Variable"]
        values = np.fromfile(folder / about["filename"], "<f4")
        if values.size != np.prod(about["shape"]):
            raise ValueError(f"{about['filename']} must hold {about['shape']} numbers, not {values.size}")
        arrays.append(torch.from_numpy(values.reshape(about["shape"])))
    with torch.device("meta"):
        layers = [name for name, module in Style().named_modules() if isinstance(module, Normed)]
    if len(arrays) != 3 * len(layers):
        raise ValueError(f"{folder} must hold {3 * len(layers)} arrays, not {len(arrays)}")
    found = {}
    for number, name in enumerate(layers):
        kernel, shift, scale = arrays[3 * number : 3 * number + 3]
        found[f"{name}.conv.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        found |= {f"{name}.norm.weight": scale, f"{name}.norm.bias": shift}
    return found


def main() -> None:
    """Convert the arrays named on the command line."""
    parser = argparse.ArgumentParser(description="Convert a style-transfer network from raw arrays to safetensors.")
    parser.add_argument("folder", type=Path, help="folder with the arrays and manifest.json")
    parser.add_argument("out", type=Path, help="safetensors file to write")
    given = parser.parse_args()
    weights = converted(given.folder)
    save_file(weights, given.out)
    print(f"{given.out}: {sum(weight.numel() for weight in weights.values()):,} numbers in {len(weights)} tensors")


if __name__ == "__main__":
    main()
