"""The multi-scale discriminator of pix2pixHD (Wang et al. 2018) and GauGAN (Park et al. 2019)."""

from math import lcm

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost, total
from slimgen.errors import SlimgenError
from slimgen.nets.patchgan.single import PatchGAN, patchgan_cost

# Scales whose scores have no small common multiple are repeated this often at the least: their weights then differ
# from one another by less than a part in a hundred.
_REPEATS = 64


def _halved(side: int) -> int:
    return (side + 1) // 2


def _check_options(inputs: int, ndf: int, layers: int, scales: int) -> None:
    if min(inputs, ndf, layers, scales) < 1:
        raise SlimgenError(
            "a multi-scale discriminator needs inputs, ndf, layers and scales of at least 1",
            f"{inputs=}, {ndf=}, {layers=}, {scales=}",
        )


def _check_size(height: int, width: int, layers: int, scales: int) -> None:
    least = (3 * 2**layers - 1) * 2 ** (scales - 1) + 1  # its halvings, rounded up, end at the least of a PatchGAN
    if min(height, width) < least:
        raise SlimgenError(
            f"{scales} scales of PatchGANs of {layers} layers need images of at least {least} pixels a side",
            f"{height} x {width}",
            "use fewer scales or layers, or larger images",
        )


def multiscale_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 39,
    ndf: int = 64,
    layers: int = 3,
    scales: int = 2,
    norm: str = "instance",
    spectral: bool = True,
) -> Cost:
    """The cost of `MultiScale` in closed form; pooling and `spectral` are free.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the input.
        ndf: channels of the first convolutions.
        layers: convolutions of stride 2.
        scales: how many PatchGANs.
        norm: `instance`, `batch` or `none`.
        spectral: whether every convolution is spectrally normalised.

    Raises:
        SlimgenError: images of this size are too small, or an option is out of range.
    """
    width = height if width is None else width
    _check_options(inputs, ndf, layers, scales)
    _check_size(height, width, layers, scales)
    costs = []
    for _ in range(scales):
        costs.append(patchgan_cost(height, width, inputs=inputs, ndf=ndf, layers=layers, norm=norm, spectral=spectral))
        height, width = _halved(height), _halved(width)
    return total(costs)


class MultiScale(nn.Module):
    """PatchGANs of equal shape on the image, on half of it, and so on: each has weights of its own.

    The image is halved by average pooling, 3 x 3 at stride 2. GauGAN's has 2 scales, `ndf` 64, spectral norm and
    InstanceNorm; the PatchGANs here are pix2pix's, so all convolutions are spectrally normalised, the first and the
    last too, and padded by 1 where GauGAN pads by 2.

    Args:
        inputs: channels of the input: label maps and image, joined.
        ndf: channels of the first convolutions; see `PatchGAN`.
        layers: convolutions of stride 2.
        scales: how many PatchGANs.
        norm: `instance` (not affine), `batch` or `none`.
        spectral: spectral normalisation of every convolution (Miyato et al. 2018).

    Raises:
        SlimgenError: an option is out of range.
    """

    cost = staticmethod(multiscale_cost)

    def __init__(
        self,
        inputs: int = 39,
        ndf: int = 64,
        layers: int = 3,
        scales: int = 2,
        norm: str = "instance",
        spectral: bool = True,
    ) -> None:
        super().__init__()
        _check_options(inputs, ndf, layers, scales)
        self.layers = layers
        self.scales = nn.ModuleList(PatchGAN(inputs, ndf, layers, norm, spectral) for _ in range(scales))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to scores (N, M) of all scales.

        Smaller scales have fewer patches. Each scale's scores are therefore repeated until all scales have equally
        many, so that the mean over M of any function of the scores, as adversarial losses are, is the mean over
        scales of each scale's own mean, as GauGAN takes it. That is exact where the numbers of patches have a common
        multiple below 64 times the largest (900 and 196 of them, from 256 x 256 pixels, do), else to one percent.

        Raises:
            SlimgenError: the images are too small.
        """
        return self.scores(self.features(x))

    def scores(self, features: list[list[Tensor]]) -> Tensor:
        """The scores (N, M) that `forward` gives, of the activations that `features` gives."""
        scores = [found[-1].flatten(1) for found in features]
        counts = [scale.shape[1] for scale in scores]
        wanted = min(lcm(*counts), _REPEATS * max(counts))
        return torch.cat([scale.repeat(1, round(wanted / scale.shape[1])) for scale in scores], 1)

    def features(self, x: Tensor) -> list[list[Tensor]]:
        """For each scale, the largest first, every activation; the logits come last: for feature matching.

        Raises:
            SlimgenError: the images are too small.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            _check_size(x.shape[-2], x.shape[-1], self.layers, len(self.scales))
        found: list[list[Tensor]] = []
        for scale in self.scales:
            if found:
                x = functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            assert isinstance(scale, PatchGAN)
            found.append(scale.features(x))
        return found
