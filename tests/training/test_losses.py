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


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_players_pull_the_scores_of_fakes_apart(name: str) -> None:
    gan = adversarial(name)
    fake = torch.zeros(4, requires_grad=True)
    (up,) = torch.autograd.grad(gan.generator(fake), fake)
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
