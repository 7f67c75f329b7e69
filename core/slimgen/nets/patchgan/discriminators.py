"""The PatchGAN of pix2pix (Isola et al. 2017), which judges patch by patch whether an image is real.

The multi-scale discriminator of pix2pixHD (Wang et al. 2018) and GauGAN (Park et al. 2019) has one PatchGAN per scale.
"""

from dataclasses import asdict
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.rows import Row
from slimgen.nets.layers import Described, Make, layers_of, weights_of
from slimgen.nets.patchgan.description import MultiScaleOptions, PatchGANOptions

_FREE: dict[str, Make] = {"leaky": lambda row: nn.LeakyReLU(0.2), "identity": lambda row: nn.Identity()}
_REPEATS = 64  # at least, for scales without a small common multiple: their weights then differ by less than 1 %


class PatchGAN(Described):
    """A PatchGAN: 4x4 convolutions, `layers` with stride 2 and two with stride 1, LeakyReLU 0.2 between; no sigmoid.

    The names in the state dict are those of the published pix2pix and CycleGAN checkpoints (without `spectral`). A
    convolution has a bias unless a BatchNorm follows it. With 3 layers each output sees 70 x 70 pixels. Options and
    errors: see `PatchGANOptions`.
    """

    Options = PatchGANOptions
    options: PatchGANOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        rows = self.options.rows()
        self.model = nn.Sequential(*(layer for row in rows for layer in layers_of(row, _FREE, self._weights)))

    def _weights(self, row: Row) -> nn.Module:
        return spectral_norm(weights_of(row)) if self.options.spectral else weights_of(row)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to logits (N, 1, h, w), one for each patch; raises as `features`."""
        return self.scores(self.features(x))

    def scores(self, features: list[Tensor]) -> Tensor:
        """Return the logits of `forward`, given the activations of `features`."""
        return features[-1]

    def features(self, x: Tensor) -> list[Tensor]:
        """Return all activations for feature matching: every LeakyReLU's output, then the logits.

        Raises:
            SlimgenError: the images are too small.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            self.options.check_size(x.shape[-2], x.shape[-1])
        features: list[Tensor] = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)
        return [*features, x]


class MultiScale(Described):
    """PatchGANs of equal shape on the image, on the image at half size, and so on; each has its own weights.

    The image is halved by 3 x 3 average pooling with stride 2. GauGAN has 2 scales, `ndf` 64, spectral norm and
    InstanceNorm. The PatchGANs here are pix2pix's: all convolutions, the first and the last too, have spectral norm,
    and they are padded by 1 where GauGAN pads by 2. Options and errors: see `MultiScaleOptions`.
    """

    Options = MultiScaleOptions
    options: MultiScaleOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        single = {name: value for name, value in asdict(self.options).items() if name != "scales"}
        self.scales = nn.ModuleList(PatchGAN(**single) for _ in range(self.options.scales))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to scores (N, M) of all scales.

        Smaller scales have fewer patches, so each scale's scores are repeated until all scales have equally many. The
        mean over M of any function of the scores, such as an adversarial loss, is then the mean of the scales' means,
        as in GauGAN. This is exact where the numbers of patches have a common multiple below 64 times the largest
        number (900 and 196, from 256 x 256 pixels, do), otherwise to one percent.
        """
        return self.scores(self.features(x))

    def scores(self, features: list[list[Tensor]]) -> Tensor:
        """Return the scores (N, M) of `forward`, given the activations of `features`."""
        scores = [scale[-1].flatten(1) for scale in features]
        counts = [scale.shape[1] for scale in scores]
        wanted = min(lcm(*counts), _REPEATS * max(counts))
        return torch.cat([scale.repeat(1, round(wanted / scale.shape[1])) for scale in scores], 1)

    def features(self, x: Tensor) -> list[list[Tensor]]:
        """Return all activations for feature matching, scale by scale, the largest first; the logits come last.

        Raises:
            SlimgenError: the images are too small.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            self.options.check_size(x.shape[-2], x.shape[-1])
        features: list[list[Tensor]] = []
        for scale in self.scales:
            if features:
                x = functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            assert isinstance(scale, PatchGAN)
            features.append(scale.features(x))
        return features
