"""The PatchGAN of pix2pix (Isola et al. 2017): real or fake, patch by patch; and several of them, one a scale.

The multi-scale discriminator is that of pix2pixHD (Wang et al. 2018) and GauGAN (Park et al. 2019).
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
_REPEATS = 64  # at the least, of scales without a small common multiple: their weights then differ by less than 1 %


class PatchGAN(Described):
    """Convolutions 4x4, `layers` of stride 2 and two of stride 1, LeakyReLU 0.2 between; no sigmoid.

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
        """Images (N, inputs, H, W) to logits (N, 1, h, w), one for each patch; raises as `features`."""
        return self.scores(self.features(x))

    def scores(self, features: list[Tensor]) -> Tensor:
        """The logits that `forward` gives, of the activations that `features` gives."""
        return features[-1]

    def features(self, x: Tensor) -> list[Tensor]:
        """Every activation, from the first LeakyReLU to the logits, which come last: for feature matching.

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
    """PatchGANs of equal shape on the image, on half of it, and so on: each has weights of its own.

    The image is halved by average pooling, 3 x 3 at stride 2. GauGAN's has 2 scales, `ndf` 64, spectral norm and
    InstanceNorm; the PatchGANs here are pix2pix's, so all convolutions are spectrally normalised, the first and the
    last too, and padded by 1 where GauGAN pads by 2. Options and errors: see `MultiScaleOptions`.
    """

    Options = MultiScaleOptions
    options: MultiScaleOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        single = {name: value for name, value in asdict(self.options).items() if name != "scales"}
        self.scales = nn.ModuleList(PatchGAN(**single) for _ in range(self.options.scales))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to scores (N, M) of all scales.

        Smaller scales have fewer patches. Each scale's scores are therefore repeated until all scales have equally
        many, so that the mean over M of any function of the scores, as adversarial losses are, is the mean over
        scales of each scale's own mean, as GauGAN takes it. That is exact where the numbers of patches have a common
        multiple below 64 times the largest (900 and 196 of them, from 256 x 256 pixels, do), else to one percent.
        """
        return self.scores(self.features(x))

    def scores(self, features: list[list[Tensor]]) -> Tensor:
        """The scores (N, M) that `forward` gives, of the activations that `features` gives."""
        scores = [scale[-1].flatten(1) for scale in features]
        counts = [scale.shape[1] for scale in scores]
        wanted = min(lcm(*counts), _REPEATS * max(counts))
        return torch.cat([scale.repeat(1, round(wanted / scale.shape[1])) for scale in scores], 1)

    def features(self, x: Tensor) -> list[list[Tensor]]:
        """For each scale, the largest first, every activation; the logits come last: for feature matching.

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
