"""The PatchGAN discriminator of pix2pix (Isola et al. 2017): real or fake, patch by patch."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.rows import Row
from slimgen.nets.layers import Described, Make, layers_of, weights_of
from slimgen.nets.patchgan.description import PatchGANOptions

_FREE: dict[str, Make] = {"leaky": lambda row: nn.LeakyReLU(0.2), "identity": lambda row: nn.Identity()}


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
        """Images (N, inputs, H, W) to logits (N, 1, h, w), one for each patch.

        Raises:
            SlimgenError: the images are too small.
        """
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
