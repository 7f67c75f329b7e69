"""LPIPS, a perceptual distance: a classifier's features, weighted to agree with human judgement."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import DataError, RecipeError, WeightsError, nearest, reason
from slimgen.metrics.features import digest_of, load_torchscript, require_file, require_known
from slimgen.metrics.inception import load_state
from slimgen.metrics.kinds import SEEN, Networks, Opened, PerImage
from slimgen.metrics.pixels import eight_bit_pair

NAME = "lpips"
KIND = "the state dict of PyPI's lpips.LPIPS with net: alex or vgg, or a TorchScript file without net"


class Trunk(NamedTuple):
    """A classifier in five slices of convolutions with ReLUs; the output of each slice is compared.

    Attributes:
        slices: the convolutions' indices among torchvision's features.
        pooled: the slices that start with a max pooling of stride 2.
        pool: kernel size of the max pooling.
        smallest: the smallest side of an image, in pixels.
    """

    slices: tuple[tuple[int, ...], ...]
    pooled: tuple[int, ...]
    pool: int
    smallest: int


TRUNKS = {
    "alex": Trunk(((0,), (3,), (6,), (8,), (10,)), pooled=(1, 2), pool=3, smallest=31),
    "vgg": Trunk(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), pooled=(1, 2, 3, 4), pool=2, smallest=16),
}
STRIDE_PADDING = {11: (4, 2), 5: (1, 2), 3: (1, 1)}
"""Stride and padding by kernel size: AlexNet's first convolution, 11x11, has stride 4; all others keep the size."""


class Lpips(nn.Module):
    """The learned distance of Zhang et al. 2018 (Eq. 1), version 0.1.

    The trunk and its five weights come from a state dict named like that of `lpips.LPIPS(net=...)`; raises KeyError or
    RuntimeError for another state dict.
    """

    def __init__(self, trunk: Trunk, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.trunk = trunk
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", state["scaling_layer.shift"].view(1, 3, 1, 1).clone())
        self.register_buffer("scale", state["scaling_layer.scale"].view(1, 3, 1, 1).clone())
        self.slices, self.weights = nn.ModuleList(), nn.ParameterList()
        inputs = 3
        for number, places in enumerate(trunk.slices):
            self.slices.append(nn.ModuleList())
            for place in places:
                weight, bias = (state[f"net.slice{number + 1}.{place}.{part}"] for part in ("weight", "bias"))
                convolution = nn.Conv2d(inputs, len(weight), weight.shape[-1], *STRIDE_PADDING[weight.shape[-1]])
                convolution.load_state_dict({"weight": weight, "bias": bias})
                self.slices[-1].append(convolution)  # type: ignore[operator]
                inputs = len(weight)
            self.weights.append(nn.Parameter(state[f"lin{number}.model.1.weight"].view(1, inputs, 1, 1).clone()))

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return the distances (N,) between two batches (N, 3, H, W) in [-1, 1]."""
        # One after the other: both batches' features together would not fit in cache.
        sides = zip(self.weights, self._features(fake), self._features(real), strict=True)
        parts = [(weight * (a - b).square()).sum(1).mean(dim=(1, 2)) for weight, a, b in sides]
        return torch.stack(parts).sum(0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return each slice's output, normalised to length 1 at every position."""
        out = (images - self.shift) / self.scale
        features = []
        for number, convolutions in enumerate(self.slices):
            if number in self.trunk.pooled:
                out = functional.max_pool2d(out, self.trunk.pool, 2)
            for convolution in convolutions:  # type: ignore[attr-defined]
                out = convolution(out).relu()
            # The constant is outside the root, as in the authors' code: zero features stay zero.
            features.append(out / (out.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return features


def check_lpips(networks: Networks) -> tuple[Path, str | None]:
    """Return the file and the trunk that the recipe names for LPIPS; loads nothing. Raises as `open_lpips`."""
    options = networks.get(NAME, {})
    require_known(NAME, options, ("path", "net"))
    net = options.get("net")
    if net is not None and net not in TRUNKS:
        raise RecipeError("net of feature network lpips must be alex or vgg", repr(net), nearest(str(net), TRUNKS))
    if "path" not in options:
        raise WeightsError(
            "lpips needs its weights", "none", f"set evaluate.features: {{lpips: {{path: ...}}}} to {KIND}"
        )
    return require_file(NAME, options, KIND), None if net is None else str(net)


def open_lpips(networks: Networks, device: torch.device) -> Opened:
    """Open the metric `lpips`; it rounds images to 8 bits, and grey images become RGB.

    The recipe's network `lpips` has a `path`, and `net: alex` or `net: vgg` for a state dict saved from
    `lpips.LPIPS(net=...).state_dict()`. Without `net` the file must be TorchScript that takes two batches in [-1, 1].

    Raises:
        RecipeError: the options are invalid.
        WeightsError: the file is missing or holds something else.
    """
    path, net = check_lpips(networks)
    network = load_torchscript(path, device) if net is None else _load(path, net).to(device)
    smallest = 1 if net is None else TRUNKS[net].smallest

    def distance(fake: Tensor, real: Tensor) -> Tensor:
        if real.shape[1] not in SEEN:
            raise DataError("images for lpips must be RGB or grey", f"{real.shape[1]} channels", "leave out lpips")
        if min(real.shape[-2:]) < smallest:
            rule = f"images for lpips with {net} must have at least {smallest} pixels a side"
            raise DataError(rule, f"{tuple(real.shape[-2:])}")
        pair = [levels.div(127.5).sub(1).contiguous() for levels in eight_bit_pair(fake, real)]
        if real.shape[1] == 1:
            pair = [images.expand(-1, 3, -1, -1) for images in pair]
        values: Tensor = network(*pair)
        if values.numel() != len(fake):
            raise WeightsError("lpips's network must return one value per pair of images", f"{tuple(values.shape)}")
        return values.double().flatten()

    return Opened(distance, digest_of(path, f"lpips {net}"))


LPIPS = PerImage("min", open_lpips, "LPIPS 0.1, mean over the images", check_lpips, SEEN)


def _load(path: Path, net: str) -> Lpips:
    """Read a state dict of PyPI's lpips; raise WeightsError for a damaged or unsafe file, or another network's."""
    state = load_state(NAME, path)
    try:
        return Lpips(TRUNKS[net], state).eval().requires_grad_(False)
    except (KeyError, RuntimeError, TypeError, AttributeError, IndexError) as error:
        rule = f"lpips weights must be those of lpips.LPIPS(net={net!r})"
        raise WeightsError(rule, f"{path}: {reason(error)}") from error
