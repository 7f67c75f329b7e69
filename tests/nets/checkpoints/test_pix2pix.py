"""Generators as pix2pix and CycleGAN save them make the pictures of networks of that naming, which are written here.

Names are what a nested `nn.Sequential` gives: `model.1.weight`, `model.10.conv_block.5.weight`,
`model.model.1.model.3.model.1.weight`.
"""

import pytest
import torch
from torch import nn

from slimgen.errors import CheckpointError
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.checkpoints.choosing import import_weights

NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


class Block(nn.Module):
    def __init__(self, width, norm, bias, dropout):
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width), nn.ReLU(True)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *second)

    def forward(self, x):
        return x + self.conv_block(x)


class Resnet(nn.Module):
    def __init__(self, kind, dropout, wide=6, blocks=3):
        super().__init__()
        norm, bias = NORMS[kind], kind == "instance"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, wide, 7, bias=bias), norm(wide), nn.ReLU(True)]
        for width in (wide, 2 * wide):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm(2 * width), nn.ReLU(True)]
        layers += [Block(4 * wide, norm, bias, dropout) for _ in range(blocks)]
        for width in (4 * wide, 2 * wide):
            up = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1, bias=bias)
            layers += [up, norm(width // 2), nn.ReLU(True)]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(wide, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


class Scale(nn.Module):
    """One scale of the U-Net around the next, which is None where it is the deepest."""

    def __init__(self, given, inner, made, kind, inside=None, outermost=False, dropout=False):
        super().__init__()
        norm, bias = NORMS[kind], kind == "instance"
        self.outermost = outermost
        down = nn.Conv2d(given, inner, 4, 2, 1, bias=bias)
        around = inner if inside is None else 2 * inner
        up = nn.ConvTranspose2d(around, made, 4, 2, 1, bias=bias or outermost)
        if outermost:
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm(made)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, norm(inner), inside, nn.ReLU(True), up, norm(made)]
        self.model = nn.Sequential(*layers, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Unet(nn.Module):
    """`unet_128` has 7 scales and `unet_256` has 8."""

    def __init__(self, kind, dropout, scales, wide=2):
        super().__init__()
        widths = [wide * min(2**level, 8) for level in range(scales)]
        inside = Scale(widths[-2], widths[-1], widths[-2], kind)
        for level in range(scales - 2, 0, -1):
            outer = widths[level - 1]
            inside = Scale(outer, widths[level], outer, kind, inside, dropout=dropout and level > 3)
        self.model = Scale(3, wide, 3, kind, inside, outermost=True)

    def forward(self, x):
        return self.model(x)


def warmed(net, side):
    """Drawn from a seed, with statistics and scales that are not those of a fresh norm; in evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.normal_(0, 0.1, generator=generator)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.add_(1)
        net.train()
        net(pictures(side, 2))
    return net.eval()


def pictures(side, seed):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("dropout", [False, True])
def test_a_resnet_of_pix2pix_makes_the_same_pictures(kind, dropout, tmp_path):
    source = warmed(Resnet(kind, dropout), 32)
    torch.save(source.state_dict(), tmp_path / "latest_net_G.pth")
    net = build_generator("resnet", ngf=6, blocks=3, norm=kind, dropout=0.5 * dropout)
    import_weights(net, tmp_path / "latest_net_G.pth")
    with torch.no_grad():
        assert torch.allclose(net.eval()(pictures(32, 1)), source(pictures(32, 1)), atol=1e-5)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize(("scales", "side"), [(7, 128), (8, 256)])
def test_a_unet_of_pix2pix_makes_the_same_pictures(kind, scales, side, tmp_path):
    source = warmed(Unet(kind, True, scales), 2 * side)  # twice as large, for a norm needs more than one pixel
    torch.save(source.state_dict(), tmp_path / "latest_net_G.pth")
    net = build_generator("unet", ngf=2, depth=scales, norm=kind, dropout=0.5)
    import_weights(net, tmp_path / "latest_net_G.pth")
    given = pictures(2 * side, 1)[:1]
    with torch.no_grad():
        assert torch.allclose(net.eval()(given), source(given), atol=1e-5)


def test_a_resnet_with_batch_norm_is_reported_as_such(tmp_path):
    torch.save(Resnet("batch", False).state_dict(), tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="BatchNorm; set norm: batch among its options"):
        import_weights(build_generator("resnet", ngf=6, blocks=3), tmp_path / "c.pth")


class Judge(nn.Module):
    def __init__(self, kind, layers, wide=4):
        super().__init__()
        norm, bias = NORMS[kind], kind == "instance"
        widths = [wide * min(2**level, 8) for level in range(layers + 1)]
        found = [nn.Conv2d(6, wide, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            found += [nn.Conv2d(widths[level - 1], widths[level], 4, stride, 1, bias=bias), norm(widths[level])]
            found.append(nn.LeakyReLU(0.2, True))
        self.model = nn.Sequential(*found, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("kind", NORMS)
def test_a_discriminator_of_pix2pix_gives_the_same_scores(kind, tmp_path):
    source = Judge(kind, 3).eval()
    torch.save({"netD": source.state_dict()}, tmp_path / "c.pth")
    net = build_discriminator("patchgan", inputs=6, ndf=4, layers=3, norm=kind)
    import_weights(net, tmp_path / "c.pth")
    pairs = torch.cat([pictures(32, 1), pictures(32, 2)], 1)
    with torch.no_grad():
        assert torch.allclose(net.eval()(pairs), source(pairs), atol=1e-5)
