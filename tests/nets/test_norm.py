"""InstanceNorm in every layout, type and batch: its value and its gradient."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from slimgen.cost.count import count
from slimgen.nets.norm import InstanceNorm2d, instance_norm

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# A bfloat16 holds eight bits; what is compared has deviation 1.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 0.06}


def by_formula(images: Tensor) -> Tensor:
    """Mean 0 and variance 1 per image and channel, differentiated by autograd alone."""
    variance, mean = torch.var_mean(images, (2, 3), correction=0, keepdim=True)
    return (images - mean) / (variance + 1e-5).sqrt()


def gradient(function, images: Tensor, upstream: Tensor) -> Tensor:
    images = images.clone(memory_format=torch.preserve_format).requires_grad_(True)
    function(images).backward(upstream)
    assert images.grad is not None
    return images.grad


@pytest.mark.parametrize(
    "shape", [(1, 12, 8, 8), (3, 20, 8, 8), (1, 6, 40, 40), (2, 6, 36, 40), (1, 18, 40, 40), (2, 18, 36, 40)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradient_are_the_formulas_in_every_layout(shape, dtype):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=draw, dtype=torch.float64) * 2 + 1
    upstream = torch.randn(shape, generator=draw, dtype=torch.float64)
    images, upstream = (part.to(dtype).double() for part in (images, upstream))
    value, slope = by_formula(images), gradient(by_formula, images, upstream)
    for one, other in itertools.product(LAYOUTS.values(), LAYOUTS.values()):
        given = images.to(dtype).contiguous(memory_format=one)
        back = upstream.to(dtype).contiguous(memory_format=other)
        with torch.no_grad():
            assert (instance_norm(given).double() - value).abs().max() < TOLERANCE[dtype]
        assert (gradient(instance_norm, given, back).double() - slope).abs().max() < TOLERANCE[dtype]


@pytest.mark.parametrize(("channels", "pixels"), [(4, 16), (4, 128), (20, 128)])
@pytest.mark.parametrize(
    ("dtype", "mean", "deviation", "tolerance"),
    [
        (torch.float32, 5, 1, 5e-5),
        (torch.float32, 300, 1, 1e-3),
        (torch.bfloat16, 5, 1, 0.05),
        (torch.bfloat16, 10, 0.05, 0.1),
        (torch.bfloat16, 300, 1, 0.1),
        (torch.bfloat16, 1000, 10, 0.1),
    ],
)
def test_channels_far_from_zero_keep_their_digits(channels, pixels, dtype, mean, deviation, tolerance):
    draw = torch.Generator().manual_seed(2)
    images = (torch.randn(2, channels, pixels, pixels, generator=draw) * deviation + mean).to(dtype)
    given = images.contiguous(memory_format=torch.channels_last)
    assert (instance_norm(given).double() - by_formula(images.double())).abs().max() < tolerance


def test_scales_alone_are_learned_where_the_images_need_no_gradient():
    norm = InstanceNorm2d(3, affine=True)
    images = torch.randn(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    norm(images).sum().backward()
    assert torch.allclose(norm.bias.grad, torch.full((3,), 64.0))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("channels", "pixels"), [(5, 8), (5, 36), (20, 36)])
def test_scales_and_shifts_are_learned_as_by_pytorch_on_contiguous_images(layout, channels, pixels):
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(2, channels, pixels, pixels, generator=draw)
    upstream = torch.randn(images.shape, generator=draw)
    ours, theirs = InstanceNorm2d(channels, affine=True), nn.InstanceNorm2d(channels, affine=True)
    with torch.no_grad():
        ours.weight.copy_(torch.randn(channels, generator=draw))
        ours.bias.copy_(torch.randn(channels, generator=draw))
    theirs.load_state_dict(ours.state_dict())
    given = images.contiguous(memory_format=layout)
    assert torch.allclose(ours(given), theirs(images), atol=1e-5)
    ours(given).backward(upstream.contiguous(memory_format=layout))
    theirs(images).backward(upstream)
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, wanted.grad, atol=1e-3)
    with torch.no_grad():
        assert torch.allclose(ours(given), theirs(images), atol=1e-5)


def test_channels_last_images_stay_channels_last():
    images = torch.randn(2, 8, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    out = instance_norm(images)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert images.grad is not None
    assert images.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_it_is_counted_as_an_instance_norm_in_every_layout(layout):
    images = torch.randn(1, 8, 16, 16).contiguous(memory_format=layout)
    assert count(InstanceNorm2d(8), images).gan_compression == 8 * 16 * 16
