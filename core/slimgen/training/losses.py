"""The papers' losses (adversarial, reconstruction, perceptual, feature matching) and the proximal step of sparsity."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import CheckpointError, RecipeError, WeightsError, nearest
from slimgen.files import is_file
from slimgen.nets.weights import load_weights


class Adversarial(NamedTuple):
    """An adversarial loss on scores of any shape.

    Attributes:
        generator: the scores of generated images to the generator's loss.
        discriminator: the scores of real and of generated images to the discriminator's loss.
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
"""Adversarial losses by name; `vanilla` is the non-saturating cross-entropy. As in pix2pix, the discriminator's loss is
the mean of its terms for real and generated images."""


def adversarial(name: str) -> Adversarial:
    """Return an adversarial loss by name.

    Raises:
        RecipeError: the name is unknown.
    """
    if name not in ADVERSARIAL:
        raise RecipeError("losses.gan must be a known loss", repr(name), nearest(name, ADVERSARIAL))
    return ADVERSARIAL[name]


def reconstruction(fake: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference of two batches of images (N, C, H, W)."""
    return functional.l1_loss(fake, real)


def perceptual(features: Callable[[Tensor], Any], fake: Tensor, wanted: Any) -> Tensor:
    """Return the distance between the features of images and given feature maps, one or several.

    It is the mean over feature maps of their mean absolute differences. The caller must have frozen the network.
    """
    found = features(fake)
    pairs = [(found, wanted)] if isinstance(found, Tensor) else zip(found, wanted, strict=True)
    return torch.stack([functional.l1_loss(one.float(), two.float()) for one, two in pairs]).mean()


def feature_matching(found: Sequence[Sequence[Tensor]], wanted: Sequence[Sequence[Tensor]]) -> Tensor:
    """Compare a discriminator's activations for generated and for real images (Wang et al. 2018, Eq. 3).

    Each side lists, for each scale of the discriminator, its activations; the last, the logits, are left out, and the
    real ones are detached. The mean absolute differences are summed over the layers and averaged over the scales, as in
    GauGAN.
    """
    terms = [
        functional.l1_loss(one.float(), two.detach().float())
        for ours, theirs in zip(found, wanted, strict=True)
        for one, two in zip(ours[:-1], theirs[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(found)


@torch.no_grad()
def shrink(group: Sequence[nn.Parameter], threshold: float) -> None:
    """Take the proximal step of a sparsity term in place: all values of a channel shrink towards zero together.

    For one vector of scale factors this is the soft threshold of the L1 norm (CF-GAN, Eqs. 19 and 20). For several
    parameters, each with one row per channel, it is that of the group lasso (Yuan and Lin 2006): a channel that several
    layers write disappears only when none of them writes it. The threshold is lambda_sp times the step's learning rate;
    it is scaled by the square root of the number of parameters, as the group's norm is larger by that factor.

    Channels without a gradient in the last step do not change, so that only trained channels are pruned.
    """
    vectors, filters = [p for p in group if p.dim() == 1], [p for p in group if p.dim() > 1]
    squares = [part.square().flatten(1).sum(1) for part in filters]
    moved = [_moved(part) for part in filters]
    if vectors:  # together, since a supernet has hundreds of them and each call costs time
        squares.append(torch.stack([vector.detach() for vector in vectors]).square().sum(0))
        moved.append(_moved(*vectors))
    left = (1 - threshold * len(group) ** 0.5 / torch.stack(squares).sum(0).sqrt()).clamp_(min=0).nan_to_num_()
    left = left.where(torch.stack(moved).any(0), torch.ones_like(left))
    if vectors:
        torch._foreach_mul_([vector.detach() for vector in vectors], [left] * len(vectors))
    for part in filters:
        part.mul_(left.reshape(-1, *[1] * (part.dim() - 1)))


def _moved(*parameters: nn.Parameter) -> Tensor:
    """Return which channels have a nonzero gradient in any of these parameters."""
    gradients = [p.grad.flatten(1) if p.dim() > 1 else p.grad[:, None] for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(len(parameters[0]), dtype=torch.bool, device=parameters[0].device)
    return torch.cat(gradients, 1).ne(0).any(1)


VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0)
"""Channels of VGG-16's convolutions up to relu4_3; 0 is a 2x2 max-pooling."""
VGG16_FILE = "vgg16-397923af.pth"


class Vgg16(nn.Module):
    """VGG-16 up to relu4_3, which returns the features before each pooling (Johnson et al. 2016).

    The weights are torchvision's state dict; its classifier is not needed.
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
        """Map images (N, 3, H, W) in [-1, 1] to four feature maps, fine to coarse."""
        out = ((images + 1) / 2 - self.mean) / self.std
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(out)
            out = layer(out)
        return found


def find_network(name: str) -> Path:
    """Return the file of a feature network: VGG-16's weights for `vgg16`, or the named file.

    Raises:
        WeightsError: the file is not on this machine.
    """
    if name != "vgg16":
        if not is_file(name):
            rule = "losses.perceptual_network must be 'discriminator', 'vgg16' or a TorchScript file"
            raise WeightsError(rule, repr(name))
        return Path(name)
    named = [Path(os.environ["SLIMGEN_VGG16"])] if "SLIMGEN_VGG16" in os.environ else []
    places = [*named, Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        hint = f"put torchvision's {VGG16_FILE} there, or set SLIMGEN_VGG16 to its path"
        rule = "the perceptual loss needs VGG-16's ImageNet weights"
        raise WeightsError(rule, f"none at {', '.join(map(str, places))}", hint)
    return found


def feature_network(name: str) -> nn.Module:
    """Load a frozen feature network: `vgg16`, or a TorchScript file whose forward returns one or several tensors.

    Raises:
        WeightsError: the file is not on this machine.
        CheckpointError: the file holds something else.
    """
    path, kind = find_network(name), "VGG-16's weights" if name == "vgg16" else "a TorchScript file"
    try:
        net: nn.Module = (
            Vgg16(load_weights(path)) if name == "vgg16" else torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        )
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} must hold {kind}", str(error).splitlines()[0]) from None
    for parameter in net.parameters():  # one by one: TorchScript modules have no requires_grad_
        parameter.requires_grad_(False)
    return net.eval()
