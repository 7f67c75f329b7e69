import math

import pytest
import torch
from torch import nn

from slimgen.errors import SlimgenError
from slimgen.training.losses import (
    ADVERSARIAL,
    adversarial,
    feature_matching,
    feature_network,
    perceptual,
    reconstruction,
    shrink,
)
from slimgen.training.optimizers import Ema, constant_then_linear


def test_hinge_counts_only_scores_inside_the_margin() -> None:
    gan = adversarial("hinge")
    assert gan.discriminator(torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 0.0])).item() == pytest.approx(0.5)
    assert gan.generator(torch.tensor([1.0, 3.0])).item() == -2.0


def test_least_squares_vanishes_at_its_targets() -> None:
    gan = adversarial("least-squares")
    assert gan.discriminator(torch.ones(3), torch.zeros(3)).item() == 0
    assert gan.generator(torch.ones(3)).item() == 0
    assert gan.discriminator(torch.zeros(3), torch.ones(3)).item() == 1


def test_vanilla_is_cross_entropy_at_zero() -> None:
    gan = adversarial("vanilla")
    assert gan.discriminator(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(math.log(2))
    assert gan.generator(torch.zeros(3)).item() == pytest.approx(math.log(2))


def test_the_relativistic_losses_are_esrgans() -> None:
    """Equations 1 and 2 of Wang et al. 2018, written out with sigmoids; the house takes means of both terms."""
    real, fake = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 4.0])
    d_real, d_fake = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    gan = adversarial("relativistic")
    expected = -(d_real.log().mean() + (1 - d_fake).log().mean()) / 2  # Eq. 1
    assert gan.discriminator(real, fake).item() == pytest.approx(expected.item(), rel=1e-6)
    expected = -((1 - d_real).log().mean() + d_fake.log().mean()) / 2  # Eq. 2
    assert gan.passing(fake, lambda: real).item() == pytest.approx(expected.item(), rel=1e-6)


def test_scores_of_real_images_are_asked_for_only_where_a_loss_depends_on_them_and_get_no_gradient() -> None:
    weight, asked = nn.Parameter(torch.ones(())), []

    def real() -> torch.Tensor:
        asked.append(True)
        return weight * torch.ones(3)

    for name, gan in ADVERSARIAL.items():
        asked.clear()
        fake = torch.zeros(2, requires_grad=True)
        gan.passing(fake, real).backward()
        assert len(asked) == (name == "relativistic")
        assert bool((fake.grad < 0).all())
    assert weight.grad is None


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_players_pull_the_scores_of_fakes_apart(name: str) -> None:
    gan = adversarial(name)
    fake = torch.zeros(4, requires_grad=True)
    (up,) = torch.autograd.grad(gan.passing(fake, lambda: torch.zeros(4)), fake)
    fake = torch.full((4,), 0.5, requires_grad=True)
    (down,) = torch.autograd.grad(gan.discriminator(torch.zeros(4), fake), fake)
    assert (up < 0).all()
    assert (down > 0).all()


def test_unknown_loss_suggests_the_nearest() -> None:
    with pytest.raises(SlimgenError, match="hinge"):
        adversarial("hinges")


def test_reconstruction_is_the_mean_absolute_difference() -> None:
    assert reconstruction(torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), -0.5)).item() == 1


def test_perceptual_loss_is_the_mean_difference_of_feature_maps() -> None:
    net = nn.Conv2d(3, 4, 1).requires_grad_(False)
    fake, real = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(1, 3, 4, 4)
    expected = 1.5 * (net(fake) - net(real)).abs().mean()
    loss = perceptual(lambda images: [net(images), 2 * net(images)], fake, [net(real), 2 * net(real)])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    assert fake.grad is not None


@pytest.mark.parametrize(
    ("name", "convolutions", "layers"), [("vgg16", (2, 2, 3, 3, 3), (3, 8, 15, 22)), ("vgg19", (2, 2, 4, 4, 4), (35,))]
)
def test_features_of_vgg_are_those_after_or_before_the_activation(
    name, convolutions, layers, tmp_path, monkeypatch
) -> None:
    torch.manual_seed(0)
    chain, inputs = [], 3
    for width, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
        for _ in range(count):
            chain += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        chain.append(nn.MaxPool2d(2, 2))
    net = nn.Sequential(*chain)
    monkeypatch.setenv(f"SLIMGEN_{name.upper()}", str(tmp_path / "vgg.pth"))
    torch.save({f"features.{key}": tensor for key, tensor in net.state_dict().items()}, tmp_path / "vgg.pth")
    images = torch.rand(1, 3, 32, 48)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    outputs = [(images - mean) / deviation]
    with torch.no_grad():
        for layer in net:
            outputs.append(layer(outputs[-1]))
        for before in (False, True):
            found = feature_network(name, before)(2 * images - 1)
            wanted = [outputs[at + (not before)] for at in layers]
            assert len(found) == len(wanted)
            assert all(torch.allclose(one, two, atol=1e-4) for one, two in zip(found, wanted, strict=True))
            assert all(bool((one < 0).any()) == before for one in found)


def test_missing_feature_weights_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SLIMGEN_VGG16", raising=False)
    with pytest.raises(SlimgenError, match="SLIMGEN_VGG16"):
        feature_network("vgg16")
    with pytest.raises(SlimgenError, match="TorchScript"):
        feature_network(str(tmp_path / "none.pt"))


def test_proximal_step_is_the_soft_threshold_of_equation_20() -> None:
    scale = nn.Parameter(torch.tensor([0.5, 0.1, -0.05, -0.7]))
    scale.grad = torch.ones(4)
    shrink([scale], 0.1)
    assert torch.allclose(scale, torch.tensor([0.4, 0.0, 0.0, -0.6]))


def test_all_weights_of_a_channel_shrink_together_by_the_group_lasso() -> None:
    gamma, filters = nn.Parameter(torch.tensor([3.0, 0.05])), nn.Parameter(torch.tensor([[0.0, 4.0], [0.0, 0.05]]))
    gamma.grad, filters.grad = torch.ones(2), torch.ones(2, 2)
    shrink([gamma, filters], 0.1)
    # The first channel has length 5, the second 0.07; the threshold is 0.1 times the root of two parameters.
    left = 1 - 0.1 * 2**0.5 / 5
    assert torch.allclose(gamma, torch.tensor([3 * left, 0.0]))
    assert torch.allclose(filters, torch.tensor([[0.0, 4 * left], [0.0, 0.0]]))


def test_channels_without_gradients_do_not_shrink() -> None:
    scale = nn.Parameter(torch.ones(3))
    scale.grad = torch.tensor([0.0, 0.5, 0.0])  # as of widths that were drawn
    shrink([scale], 0.1)
    assert torch.allclose(scale, torch.tensor([1.0, 0.9, 1.0]))


def test_proximal_step_leaves_paths_alone_that_were_not_trained() -> None:
    scale = nn.Parameter(torch.ones(3))
    shrink([scale], 0.1)
    assert torch.equal(scale, torch.ones(3))


def test_rate_is_constant_and_then_falls_to_a_step_above_zero() -> None:
    rate = constant_then_linear(10, 0.5)
    assert [rate(step) for step in range(6)] == [1.0] * 6
    assert rate(9) == pytest.approx(1 - 4 / 6)
    assert constant_then_linear(10, 0.0)(9) == 1.0


def test_average_follows_its_module_geometrically() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Ema(module, 0.9)
    nn.init.ones_(module.weight)
    for _ in range(3):
        average.update()
    assert average.module.weight.item() == pytest.approx(1 - 0.9**3)


def test_feature_matching_sums_over_layers_and_averages_over_scales_without_the_logits() -> None:
    """By hand: layers that differ by 1 and 2 in one scale, by 3 and 4 in the other, whatever their sizes."""
    real = [[torch.zeros(1, 2, 8, 8), torch.zeros(1, 4, 4, 4), torch.zeros(1, 1, 2, 2)] for _ in range(2)]
    off = [[1.0, -2.0, 100.0], [3.0, 4.0, 100.0]]
    fake = [[layer + d for layer, d in zip(scale, by, strict=True)] for scale, by in zip(real, off, strict=True)]
    assert feature_matching(fake, real) == pytest.approx((1 + 2 + 3 + 4) / 2)
    assert feature_matching(real, real) == 0


def test_feature_matching_moves_generated_images_alone() -> None:
    fake, real = (torch.full((1, 1, 2, 2), value, requires_grad=True) for value in (1.0, 0.0))
    feature_matching([[fake, fake]], [[real, real]]).backward()
    assert torch.equal(fake.grad, torch.full((1, 1, 2, 2), 0.25))
    assert real.grad is None
