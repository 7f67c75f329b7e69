"""Initial weights, drawn from a seed alone."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

INITIAL_STD = 0.02
GLOROT = "glorot"
"""The value of a class's attribute `initial` that asks for Glorot's variances, as in SN-GAN and its descendants.

Weights from N(0, 0.02) shrink the signal, and instance norms undo that. Generators that take noise have no norm after
many of their convolutions.
"""
_POWER_ITERATIONS = 15

Net = TypeVar("Net", bound=nn.Module)
Draw = Callable[[torch.Size, float, float], Tensor]


@torch.no_grad()
def initialise(net: Net, seed: int) -> Net:
    """Draw new weights for a convolutional network as pix2pix does (Isola et al. 2017), or as its class asks.

    Convolutions and linear layers: N(0, 0.02), or, where the class's `initial` is `GLOROT`, a normal distribution with
    variance 2 / (inputs + outputs) (Glorot and Bengio 2010, Eq. 12). In a module with an attribute `initial_scale`, the
    standard deviation is multiplied by it. Biases: 0. PReLUs: the slope that they were made with. Affine norms: weight
    N(1, 0.02), bias 0; running statistics are reset. Spectral norms: vectors from power iterations with a drawn start.
    The numbers are drawn on the CPU in the order of the modules, so they are the same on every device; the global
    random state is neither read nor changed.

    Returns:
        The network itself, changed in place; on the meta device it is left unchanged.
    """
    if any(parameter.is_meta for parameter in net.parameters()):
        return net
    generator = torch.Generator().manual_seed(seed)
    glorot = getattr(net, "initial", None) == GLOROT
    scaled = [(part, getattr(part, "initial_scale", None)) for part in net.modules()]
    scales = {id(layer): float(scale) for part, scale in scaled if scale is not None for layer in part.modules()}

    def draw(shape: torch.Size, mean: float, std: float) -> Tensor:
        return torch.empty(shape, device="cpu").normal_(mean, std, generator=generator)

    for module in net.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            std = (_glorot(module) if glorot else INITIAL_STD) * scales.get(id(module), 1.0)
            if parametrize.is_parametrized(module, "weight"):
                weight = module.get_parameter("parametrizations.weight.original")
                weight.copy_(draw(weight.shape, 0.0, std))
                _restart_spectral_norm(module, weight, draw)
            else:
                module.weight.copy_(draw(module.weight.shape, 0.0, std))
        elif isinstance(module, (_NormBase, nn.GroupNorm)):
            if isinstance(module, _NormBase):
                module.reset_running_stats()
            if module.weight is not None:
                module.weight.copy_(draw(module.weight.shape, 1.0, INITIAL_STD))
        else:
            if isinstance(module, nn.PReLU):
                module.weight.fill_(module.init)
            continue
        if module.bias is not None:
            module.bias.zero_()
    return net


def _glorot(module: nn.Module) -> float:
    """Return the standard deviation for a layer; outputs are counted over all groups, as PyTorch counts them.

    Depthwise kernels therefore start small, as in the training of AlphaGAN's authors, and Adam turns them sooner.
    """
    if isinstance(module, _ConvNd):
        taps = math.prod(module.kernel_size)
        return math.sqrt(2 / (taps * (module.in_channels / module.groups + module.out_channels)))
    assert isinstance(module, nn.Linear)
    return math.sqrt(2 / (module.in_features + module.out_features))


def _restart_spectral_norm(module: nn.Module, weight: Tensor, draw: Draw) -> None:
    """Replace the singular vectors, which PyTorch draws from the global state, by vectors drawn from the seed."""
    for step in module.get_submodule("parametrizations.weight").children():
        buffers = dict(step.named_buffers())
        if not {"_u", "_v"} <= buffers.keys():
            continue
        u, v = buffers["_u"], buffers["_v"]
        matrix = (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1)
        u.copy_(draw(u.shape, 0.0, 1.0))
        for _ in range(_POWER_ITERATIONS):
            v.copy_(nn.functional.normalize(matrix.T @ u, dim=0))
            u.copy_(nn.functional.normalize(matrix @ v, dim=0))
