"""One convolution in the place of a weighted sum of several."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from slimgen.nets.functional import blended

KINDS = [(1, 1), (3, 1), (3, 2), (4, 1), (5, 1), (5, 2), (7, 1)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kinds", [KINDS, KINDS[3:4], KINDS[::-1], [(3, 1), (5, 1)]])
def test_the_blended_kernel_computes_the_weighted_sum(kinds, bias, stride):
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 5, kernel, stride, dilation=dilation, bias=bias).double() for kernel, dilation in kinds]
    weights = torch.rand(len(convs), dtype=torch.float64)
    images = torch.rand(2, 3, 16, 20, dtype=torch.float64)
    kernel, offset, reach = blended(zip(convs, weights, strict=True))
    assert reach == max(dilation * ((kernel - 1) // 2) for kernel, dilation in kinds)
    assert (offset is not None) == bias

    def padded(before: int, side: int) -> torch.Tensor:
        return functional.pad(images, (before, side - 1 - before) * 2)

    wanted = 0
    for conv, weight, (side, dilation) in zip(convs, weights, kinds, strict=True):
        wanted = wanted + weight * conv(padded(dilation * ((side - 1) // 2), dilation * (side - 1) + 1))
    made = functional.conv2d(padded(reach, kernel.shape[-1]), kernel, offset, stride)
    torch.testing.assert_close(made, wanted)
