"""The PatchGAN discriminator of pix2pix (Isola et al. 2017): real or fake, patch by patch."""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.formula import Cost, batch_norm, convolution, instance_norm, total
from slimgen.errors import SlimgenError, nearest
from slimgen.nets.norm import InstanceNorm2d

NORMS: dict[str, type[nn.Module]] = {
    "instance": InstanceNorm2d,
    "batch": nn.BatchNorm2d,
    "none": nn.Identity,
}
_KERNEL = 4
_SLOPE = 0.2


def _widths(ndf: int, layers: int) -> list[int]:
    """Output channels of every convolution but the last: doubling, at most eight-fold."""
    return [ndf * min(2**layer, 8) for layer in range(layers + 1)]


def _sides(side: int, layers: int) -> Iterator[int]:
    """Side of the output of every convolution: `layers` of stride 2, then two of stride 1, all padded by 1."""
    for layer in range(layers + 2):
        side = (side + 2 - _KERNEL) // (2 if layer < layers else 1) + 1
        yield side


def _check_size(height: int, width: int, layers: int) -> None:
    side = min(height, width)
    if side >= 2 and min(_sides(side, layers)) >= 1:
        return
    fitting = [fewer for fewer in range(1, layers) if min(_sides(side, fewer)) >= 1] if side >= 2 else []
    raise SlimgenError(
        f"a PatchGAN of {layers} layers needs images of at least {3 * 2**layers} pixels a side",
        f"{height} x {width}",
        f"use layers={fitting[-1]}" if fitting else "use larger images",
    )


def _check_norm(norm: str) -> None:
    if norm not in NORMS:
        raise SlimgenError("a PatchGAN needs a known norm", repr(norm), nearest(norm, NORMS))


def patchgan_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 6,
    ndf: int = 64,
    layers: int = 3,
    norm: str = "instance",
    spectral: bool = False,
) -> Cost:
    """The cost of `PatchGAN` in closed form; `spectral` is free, as it folds into the weights.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the input.
        ndf: channels of the first convolution.
        layers: convolutions of stride 2.
        norm: `instance`, `batch` or `none`.
        spectral: whether every convolution is spectrally normalised.

    Raises:
        SlimgenError: images of this size are too small for that many layers, or the norm is not known.
    """
    width = height if width is None else width
    _check_norm(norm)
    _check_size(height, width, layers)
    widths = _widths(ndf, layers)
    sizes = list(zip(_sides(height, layers), _sides(width, layers), strict=True))
    costs = [convolution(inputs, ndf, _KERNEL, *sizes[0]), convolution(widths[-1], 1, _KERNEL, *sizes[-1])]
    for (before, after), size in zip(pairwise(widths), sizes[1:], strict=False):
        costs.append(convolution(before, after, _KERNEL, *size, bias=norm != "batch"))
        if norm == "instance":
            costs.append(instance_norm(after, *size))
        elif norm == "batch":
            costs.append(batch_norm(after))
    return total(costs)


class PatchGAN(nn.Module):
    """Convolutions 4x4, `layers` of stride 2 and two of stride 1, LeakyReLU 0.2 between; no sigmoid.

    The names in the state dict are those of the published pix2pix and CycleGAN checkpoints (without `spectral`). A
    convolution has a bias unless a BatchNorm follows it. With 3 layers each output sees 70 x 70 pixels.

    Args:
        inputs: channels of the input: 6 for a pair of images, 3 for an image.
        ndf: channels of the first convolution; doubled by each next one up to eight-fold.
        layers: convolutions of stride 2.
        norm: `instance` (not affine), `batch` or `none`.
        spectral: spectral normalisation of every convolution (Miyato et al. 2018).

    Raises:
        SlimgenError: an option is out of range.
    """

    cost = staticmethod(patchgan_cost)

    def __init__(
        self, inputs: int = 6, ndf: int = 64, layers: int = 3, norm: str = "instance", spectral: bool = False
    ) -> None:
        super().__init__()
        _check_norm(norm)
        if min(inputs, ndf, layers) < 1:
            raise SlimgenError("a PatchGAN needs inputs, ndf and layers of at least 1", f"{inputs=}, {ndf=}, {layers=}")
        self.layers = layers

        def conv(before: int, after: int, stride: int, bias: bool = True) -> nn.Module:
            made = nn.Conv2d(before, after, _KERNEL, stride=stride, padding=1, bias=bias)
            return spectral_norm(made) if spectral else made

        widths = _widths(ndf, layers)
        stack: list[nn.Module] = [conv(inputs, ndf, 2), nn.LeakyReLU(_SLOPE)]
        for at, (before, after) in enumerate(pairwise(widths), start=1):
            # Identity keeps its place where there is no norm, so that the names do not depend on it.
            stack += [conv(before, after, 2 if at < layers else 1, norm != "batch"), NORMS[norm](after)]
            stack.append(nn.LeakyReLU(_SLOPE))
        self.model = nn.Sequential(*stack, conv(widths[-1], 1, 1))

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
            _check_size(x.shape[-2], x.shape[-1], self.layers)
        found: list[Tensor] = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]
