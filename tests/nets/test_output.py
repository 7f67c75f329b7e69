"""The last convolution is PyTorch's, in value and gradient."""

import pytest
import torch
from torch.nn import functional

from slimgen.cost.count import count
from slimgen.nets.functional import OutputConvolution, few_channels


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("sides", "kernel", "padding"), [((14, 18), 7, 0), ((8, 12), 7, 3), ((9, 8), 3, 1), ((8, 8), 1, 0)]
)
def test_value_and_gradients_are_those_of_a_convolution(layout, sides, kernel, padding):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(2, 5, *sides, generator=draw, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(3, 5, kernel, kernel, generator=draw, dtype=torch.float64)
    bias = torch.randn(3, generator=draw, dtype=torch.float64)
    found, wanted = [], []
    for convolve, into in ((few_channels, found), (functional.conv2d, wanted)):
        leaves = [
            part.clone(memory_format=torch.preserve_format).requires_grad_(True) for part in (images, weight, bias)
        ]
        out = convolve(*leaves, padding=padding)
        (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
        into += [out, *(leaf.grad for leaf in leaves)]
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10)


def test_it_is_counted_like_pytorchs_convolution():
    net = OutputConvolution(8, 3, 7)
    assert count(net, torch.zeros(1, 8, 14, 14)).exact == 8 * 3 * 49 * 64


def test_many_outputs_are_left_to_pytorch():
    weight, images = torch.randn(5, 2, 3, 3), torch.randn(1, 2, 6, 6)
    assert torch.equal(few_channels(images, weight, None), functional.conv2d(images, weight))
