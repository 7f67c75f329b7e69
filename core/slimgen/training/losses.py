"""Losses of the five papers: adversarial, reconstruction, perceptual; and the proximal step of a sparsity term."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import RecipeError, nearest


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
