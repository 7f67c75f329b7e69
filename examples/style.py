"""A generator trained in another framework, adopted: fast style transfer (Johnson et al. 2016).

Its weights are raw arrays in TensorFlow's order, a file each, with a `manifest.json` that says their shapes; those of
https://github.com/ml5js/ml5-data-and-models (MIT) are. Made into safetensors once, they are adopted as any others:

    python examples/style.py models/style-transfer/la_muse la_muse.safetensors
    slimgen adopt la_muse.safetensors examples/style.py:Style --data photographs --out runs/la_muse

Nobody knows what a photograph should look like, so nothing is scored; the pictures are in the report.
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
"""Added to a variance, as in the training of these networks."""


class Normed(nn.Module):
    """A convolution that TensorFlow pads (`SAME`), an InstanceNorm with scale and shift, and a ReLU unless it is last.

    Args:
        inputs: channels.
        outputs: likewise.
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
        if self.step == 2:  # of an even size, all that is missing is missing below and at the right
            x = functional.pad(x, (0, self.kernel - 2, 0, self.kernel - 2))
        x = self.conv(x)
        if self.step == -2:
            x = x[..., : 2 - self.kernel, : 2 - self.kernel]
        x = self.norm(x)
        return functional.relu(x) if self.relu else x


class Residual(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Normed(width, width, 3), Normed(width, width, 3, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features of the same shape."""
        return x + self.layers(x)


class Style(nn.Module):
    """The network of fast style transfer, for pictures in [-1, 1] whose sides are multiples of 4.

    The published network takes levels 0..255 and makes 150 tanh + 127.5; here both ends are moved to [-1, 1], so what
    it makes may lie a little beyond.

    Args:
        channels: after the first convolution.
        blocks: residual blocks.
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
    """Return the weights of a folder of raw arrays by the names of `Style`.

    Arrays are numbered `Variable`, `Variable_1` and so on in the order of the layers: of each a kernel (height, width,
    inputs, outputs; of a transposed convolution outputs before inputs), its shift and its scale.

    Raises:
        ValueError: an array is of another size than the manifest says, or they are not those of such a network.
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
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A style-transfer network of raw arrays as safetensors.")
    parser.add_argument("folder", type=Path, help="the arrays and manifest.json")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    given = parser.parse_args()
    weights = converted(given.folder)
    save_file(weights, given.out)
    print(f"{given.out}: {sum(weight.numel() for weight in weights.values()):,} numbers in {len(weights)} tensors")


if __name__ == "__main__":
    main()
