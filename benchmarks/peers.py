"""The training of GAN Compression's published implementation, in plain PyTorch, against which slimgen is timed.

It is written from the paper's description, not from its code, and is as fast as its design allows. The design:
networks are contiguous float32, the configuration is hidden state in the layers, the discriminator runs separately on
generated and on real images, and hooks catch the features for distillation.

The names in the state dicts are slimgen's, which are those of the published checkpoints.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# A norm without parameters works with fewer channels than it was built for.
warnings.filterwarnings("ignore", "input's size at dim=1 does not match num_features")
TAPS = ("model.9", "model.12", "model.15", "model.18")
"""The distilled features: the outputs of the halvings and of blocks 3, 6 and 9."""


class NarrowConv2d(nn.Conv2d):
    """A convolution with its first channels: as many inputs as it gets, and `width` outputs."""

    width: int | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Map features (N, c, H, W) to the layer's width."""
        channels = input.shape[1]
        if self.groups > 1:
            bias = None if self.bias is None else self.bias[:channels]
            return functional.conv2d(input, self.weight[:channels], bias, self.stride, self.padding, groups=channels)
        bias = None if self.bias is None else self.bias[: self.width]
        return functional.conv2d(input, self.weight[: self.width, :channels], bias, self.stride, self.padding)


class NarrowConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with its first channels."""

    width: int | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, c, H, W) to the layer's width at twice the size."""
        weight, bias = self.weight[: input.shape[1], : self.width], self.bias[: self.width]
        steps = self.stride, self.padding, self.output_padding
        return functional.conv_transpose2d(input, weight, bias, *steps)


class Separable(nn.Module):
    """A separable convolution: depthwise 3x3, InstanceNorm, pointwise."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        depthwise, pointwise = NarrowConv2d(inputs, inputs, 3, groups=inputs), NarrowConv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(depthwise, nn.InstanceNorm2d(inputs), pointwise)

    def forward(self, images: Tensor) -> Tensor:
        """Map features (N, c, H, W) to (N, width, H - 2, W - 2)."""
        return self.conv(images)


class Block(nn.Module):
    """A residual block with two separable convolutions."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        first = (nn.ReflectionPad2d(1), Separable(channels, inner), nn.InstanceNorm2d(inner), nn.ReLU(True))
        second = (nn.ReflectionPad2d(1), Separable(inner, channels), nn.InstanceNorm2d(channels))
        self.conv_block = nn.Sequential(*first, *second)

    def forward(self, images: Tensor) -> Tensor:
        """Map features to the same shape."""
        return images + self.conv_block(images)


class MobileResnet(nn.Module):
    """The mobile ResNet generator with 9 blocks: as it is, the teacher; with `set_config`, the supernet."""

    def __init__(self, config: Sequence[int]) -> None:
        super().__init__()
        stem, down, trunk, up1, up2 = config[0], 2 * config[1], 4 * config[2], 2 * config[6], config[7]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), NarrowConv2d(3, stem, 7), nn.InstanceNorm2d(stem)]
        for before, after in ((stem, down), (down, trunk)):
            layers += [nn.ReLU(True), NarrowConv2d(before, after, 3, 2, 1), nn.InstanceNorm2d(after)]
        layers += [nn.ReLU(True), *(Block(trunk, 4 * config[3 + block // 3]) for block in range(9))]
        for before, after in ((trunk, up1), (up1, up2)):
            layers += [NarrowConvTranspose2d(before, after, 3, 2, 1, 1), nn.InstanceNorm2d(after), nn.ReLU(True)]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), NarrowConv2d(up2, 3, 7), nn.Tanh())

    def set_config(self, config: Sequence[int]) -> None:
        """Set the configuration of all layers, until the next call."""
        outer = [config[0], 2 * config[1], 4 * config[2], 2 * config[6], config[7], 3]
        kinds = (NarrowConv2d, NarrowConvTranspose2d)
        for layer, width in zip([layer for layer in self.model if isinstance(layer, kinds)], outer, strict=True):
            layer.width = width
        for place, block in enumerate(layer for layer in self.model if isinstance(layer, Block)):
            for separable, width in ((1, 4 * config[3 + place // 3]), (5, 4 * config[2])):
                block.conv_block[separable].conv[2].width = width

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to images with the current configuration."""
        return self.model(images)


class PatchGAN(nn.Module):
    """pix2pix's discriminator with 3 layers."""

    def __init__(self, inputs: int, ndf: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inputs, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            convolution = nn.Conv2d(before * ndf, after * ndf, 4, stride, 1)
            layers += [convolution, nn.InstanceNorm2d(after * ndf), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * ndf, 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to logits (N, 1, h, w)."""
        return self.model(images)


class Distiller:
    """Once-for-all training on pairs of images, one step at a time.

    Args:
        teacher: frozen.
        student: the supernet.
        discriminator: for pairs.
        adaptors: 1x1 convolutions from the student's trunk to the teacher's, one for each of `TAPS`.
        recon: weight of L1.
        distill: weight of the distillation.
        rate: of both Adam optimizers.
    """

    def __init__(
        self,
        teacher: MobileResnet,
        student: MobileResnet,
        discriminator: PatchGAN,
        adaptors: nn.ModuleList,
        *,
        recon: float,
        distill: float,
        rate: float,
    ) -> None:
        self.teacher, self.student, self.discriminator = teacher.eval(), student.train(), discriminator.train()
        self.adaptors, self.recon, self.distill = adaptors, recon, distill
        learned = [*student.parameters(), *adaptors.parameters()]
        self.of_generator = torch.optim.Adam(learned, rate, (0.5, 0.999))
        self.of_discriminator = torch.optim.Adam(discriminator.parameters(), rate, (0.5, 0.999))
        self.shown: dict[str, dict[str, Tensor]] = {"teacher": {}, "student": {}}
        for name, net in (("teacher", teacher), ("student", student)):
            for tap in TAPS:
                net.get_submodule(tap).register_forward_hook(self._keep(name, tap))

    def _keep(self, name: str, tap: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            self.shown[name][tap] = out

        return hook

    def step(self, condition: Tensor, target: Tensor, config: Sequence[int]) -> dict[str, float]:
        """Generate once, compute the discriminator's and then the generator's gradients, and step both optimizers."""
        self.of_discriminator.zero_grad()
        self.of_generator.zero_grad()
        with torch.no_grad():
            self.teacher(condition)
        self.student.set_config(config)
        fake = self.student(condition)
        self.discriminator.requires_grad_(True)
        on_fake = functional.relu(1 + self.discriminator(torch.cat([condition, fake.detach()], 1))).mean()
        on_real = functional.relu(1 - self.discriminator(torch.cat([condition, target], 1))).mean()
        loss = 0.5 * (on_fake + on_real)
        loss.backward()
        self.discriminator.requires_grad_(False)
        terms = {
            "recon": self.recon * functional.l1_loss(fake, target),
            "adversarial": -self.discriminator(torch.cat([condition, fake], 1)).mean(),
            "distill": self.distill * sum(self._differences()),
        }
        sum(terms.values()).backward()
        self.of_discriminator.step()
        self.of_generator.step()
        found = {f"generator.{name}": term.item() for name, term in terms.items()}
        return {**found, "discriminator.loss": loss.item()}

    def _differences(self) -> list[Tensor]:
        shown = ((self.shown["student"][tap], self.shown["teacher"][tap]) for tap in TAPS)
        return [functional.mse_loss(fit(one), two) for fit, (one, two) in zip(self.adaptors, shown, strict=True)]


def adaptors(student: int, teacher: int, state: Mapping[str, Tensor]) -> nn.ModuleList:
    """Return the 1x1 convolutions from the student's trunk to the teacher's, with these weights."""
    made = nn.ModuleList(NarrowConv2d(student, teacher, 1) for _ in TAPS)
    made.load_state_dict(state)
    return made
