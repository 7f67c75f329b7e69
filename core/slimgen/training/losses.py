"""Losses of the five papers: adversarial, reconstruction, perceptual; and the proximal step of a sparsity term."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import CheckpointError, RecipeError, WeightsError, nearest
from slimgen.nets.weights import load_weights


class Adversarial(NamedTuple):
    """An adversarial loss, of patch scores of any shape.

    Attributes:
        generator: what the generator minimizes, given the scores of its images.
        discriminator: what the discriminator minimizes, given the scores of real images and of generated ones.
    """

    generator: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def _least_squares(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def _vanilla(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


ADVERSARIAL = {
    "hinge": Adversarial(lambda fake: -fake.mean(), _hinge),
    "least-squares": Adversarial(lambda fake: (fake - 1).square().mean(), _least_squares),
    "vanilla": Adversarial(lambda fake: functional.softplus(-fake).mean(), _vanilla),
}
"""By name; `vanilla` is the non-saturating cross-entropy. The discriminator's halves are averaged, as in pix2pix."""


def adversarial(name: str) -> Adversarial:
    """An adversarial loss by name.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in ADVERSARIAL:
        raise RecipeError("losses.gan names no loss", repr(name), nearest(name, ADVERSARIAL))
    return ADVERSARIAL[name]


def reconstruction(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of two batches of images (N, C, H, W)."""
    return functional.l1_loss(fake, real)


class Perceptual:
    """Distance of images in the features of a frozen network.

    Args:
        features: images to feature maps, coarse or fine; frozen by the caller.
    """

    def __init__(self, features: Callable[[Tensor], list[Tensor]]) -> None:
        self.features = features

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """The mean over feature maps of their mean absolute difference; gradients reach `fake` alone."""
        with torch.no_grad():
            wanted = self.features(real)
        found = self.features(fake)
        terms = [functional.l1_loss(one.float(), two.float()) for one, two in zip(found, wanted, strict=True)]
        return torch.stack(terms).mean()


def feature_matching(found: Sequence[Sequence[Tensor]], wanted: Sequence[Sequence[Tensor]]) -> Tensor:
    """Difference of generated and real images in what a discriminator sees (Wang et al. 2018, Eq. 3).

    Args:
        found: the activations of generated images, for each scale of the discriminator; the logits, which come last,
            are left out.
        wanted: those of the real images, whose gradients are cut.

    Returns:
        The mean absolute differences, summed over the layers and averaged over the scales, as GauGAN weighs them.
    """
    terms = [
        functional.l1_loss(one.float(), two.detach().float())
        for ours, theirs in zip(found, wanted, strict=True)
        for one, two in zip(ours[:-1], theirs[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(found)


@torch.no_grad()
def shrink(scales: Iterable[nn.Parameter], threshold: float) -> None:
    """The proximal step of the L1 norm (CF-GAN, Eqs. 19 and 20): a soft threshold, in place.

    Factors that took no part in the last gradient step are left alone: a path that was not trained is not pruned.

    Args:
        scales: scale factors.
        threshold: lambda_sp times the step's learning rate.
    """
    for scale in scales:
        if scale.grad is not None:
            scale.copy_(functional.softshrink(scale, threshold))


Features = Callable[[Tensor], list[Tensor]]
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0)
"""Channels of VGG-16's convolutions up to relu4_3; 0 is a 2x2 max-pooling."""
VGG16_FILE = "vgg16-397923af.pth"


class Vgg16(nn.Module):
    """VGG-16 up to relu4_3, whose features are taken before each pooling (Johnson et al., 2016).

    Args:
        weights: torchvision's state dict; its classifier is not needed.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels in VGG16:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
            inputs = channels or inputs
        self.features = nn.Sequential(*layers)
        own = self.state_dict()
        self.load_state_dict({name: weights[name] for name in own})
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [-1, 1] to four feature maps, fine to coarse."""
        out = ((images + 1) / 2 - self.mean) / self.std
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(out)
            out = layer(out)
        return found


def find_network(name: str) -> Path:
    """The file of a feature network: of `vgg16`, or the one that is named.

    Raises:
        WeightsError: it is not on this machine.
    """
    if name != "vgg16":
        if not Path(name).is_file():
            raise WeightsError(
                "losses.perceptual_network is 'discriminator', 'vgg16' or a TorchScript file", repr(name)
            )
        return Path(name)
    named = [Path(os.environ["SLIMGEN_VGG16"])] if "SLIMGEN_VGG16" in os.environ else []
    places = [*named, Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise WeightsError(
            "the perceptual loss needs VGG-16's ImageNet weights",
            f"none at {', '.join(map(str, places))}",
            f"put torchvision's {VGG16_FILE} there or name it in SLIMGEN_VGG16",
        )
    return found


def feature_network(name: str) -> nn.Module:
    """A frozen feature network: `vgg16`, or a TorchScript file whose forward gives a tensor or several.

    Raises:
        WeightsError: its file is not on this machine.
        CheckpointError: the file holds something else.
    """
    path, kind = find_network(name), "VGG-16's weights" if name == "vgg16" else "a TorchScript file"
    try:
        net: nn.Module = (
            Vgg16(load_weights(path)) if name == "vgg16" else torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        )
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} must hold {kind}", str(error).splitlines()[0]) from None
    return net.eval().requires_grad_(False)


def as_features(network: nn.Module) -> Features:
    """A network as a function to a list of feature maps."""

    def features(images: Tensor) -> list[Tensor]:
        found = network(images)
        return [found] if isinstance(found, Tensor) else list(found)

    return features
