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
        generator: the scores of generated images, and where `relative` those of real ones, to the generator's loss.
        discriminator: the scores of real and of generated images to the discriminator's loss.
        relative: whether the generator's loss also depends on the scores of real images.
    """

    generator: Callable[..., Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False

    def passing(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        """Return the generator's loss.

        Args:
            fake: scores of generated images.
            real: function that returns the scores of real images; called, without gradients, only where `relative`.
        """
        if not self.relative:
            return self.generator(fake)
        with torch.no_grad():
            scores = real().float()
        return self.generator(fake, scores)


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def _least_squares(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def _vanilla(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


def _relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Return how far real images score below the mean of generated ones, and the reverse (Wang et al. 2018, Eq. 1)."""
    return _vanilla(real - fake.mean(), fake - real.mean())


ADVERSARIAL = {
    "hinge": Adversarial(lambda fake: -fake.mean(), _hinge),
    "least-squares": Adversarial(lambda fake: (fake - 1).square().mean(), _least_squares),
    "vanilla": Adversarial(lambda fake: functional.softplus(-fake).mean(), _vanilla),
    # The generator's loss has the same form with real and generated images exchanged (Wang et al. 2018, Eq. 2).
    "relativistic": Adversarial(lambda fake, real: _relativistic(fake, real), _relativistic, relative=True),
}
"""Adversarial losses by name. `vanilla` is the non-saturating cross-entropy; `relativistic` compares each image with
the mean of the other kind (Jolicoeur-Martineau 2019), as ESRGAN does. As in pix2pix, the discriminator's loss is the
mean of its terms for real and generated images; so is the relativistic generator's."""


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


class Vgg(NamedTuple):
    """A VGG network for a perceptual loss.

    Attributes:
        channels: of its convolutions; 0 is a 2x2 max-pooling, before which features are taken.
        last: whether only the last features are compared, instead of those before every pooling.
        file: torchvision's file of its ImageNet weights.
        variable: the environment variable with another path of that file.
    """

    channels: tuple[int, ...]
    last: bool
    file: str
    variable: str


_TO_CONV3 = (64, 64, 0, 128, 128, 0)
VGG = {
    "vgg16": Vgg((*_TO_CONV3, *[256] * 3, 0, *[512] * 3, 0), False, "vgg16-397923af.pth", "SLIMGEN_VGG16"),
    "vgg19": Vgg(
        (*_TO_CONV3, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4, 0), True, "vgg19-dcbb9e9d.pth", "SLIMGEN_VGG19"
    ),
}
"""VGG-16 up to relu4_3, as in Johnson et al. 2016, and VGG-19's conv5_4, as in SRGAN and ESRGAN."""


class VggFeatures(nn.Module):
    """The features of a VGG network.

    The weights are torchvision's state dict; its classifier is not needed. With `before_activation` the features are
    those before the ReLU, which are dense (Wang et al. 2018, section 3.3).
    """

    def __init__(self, kind: Vgg, weights: dict[str, Tensor], before_activation: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels in kind.channels:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
            inputs = channels or inputs
        self.features = nn.Sequential(*layers)
        self.last, self.before_activation = kind.last, before_activation
        own = self.state_dict()
        self.load_state_dict({name: weights[name] for name in own})
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (N, 3, H, W) in [-1, 1] to feature maps, fine to coarse, or to the last one alone."""
        out = before = ((images + 1) / 2 - self.mean) / self.std
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(before if self.before_activation else out)
            elif isinstance(layer, nn.ReLU):
                before = out
            out = layer(out)
        return found[-1:] if self.last else found


def find_network(name: str) -> Path:
    """Return the file of a feature network: the weights of `vgg16` or `vgg19`, or the named file.

    Raises:
        WeightsError: the file is not on this machine.
    """
    if name not in VGG:
        if not is_file(name):
            known = ", ".join(map(repr, ("discriminator", *VGG)))
            rule = f"losses.perceptual_network must be {known} or a TorchScript file"
            raise WeightsError(rule, repr(name))
        return Path(name)
    file, variable = VGG[name].file, VGG[name].variable
    named = [Path(os.environ[variable])] if variable in os.environ else []
    places = [*named, Path(torch.hub.get_dir()) / "checkpoints" / file]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        hint = f"put torchvision's {file} there, or set {variable} to its path"
        rule = f"the perceptual loss needs the ImageNet weights of {name}"
        raise WeightsError(rule, f"none at {', '.join(map(str, places))}", hint)
    return found


def feature_network(name: str, before_activation: bool = False) -> nn.Module:
    """Load a frozen feature network: one of `VGG`, or a TorchScript file whose forward returns one or several tensors.

    With `before_activation`, the features of a VGG network are those before the ReLU.

    Raises:
        WeightsError: the file is not on this machine.
        CheckpointError: the file holds something else.
    """
    path, kind = find_network(name), f"the weights of {name}" if name in VGG else "a TorchScript file"
    try:
        net: nn.Module = (
            VggFeatures(VGG[name], load_weights(path), before_activation)
            if name in VGG
            else torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        )
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} must hold {kind}", str(error).splitlines()[0]) from None
    for parameter in net.parameters():  # one by one: TorchScript modules have no requires_grad_
        parameter.requires_grad_(False)
    return net.eval()
