"""Network costs counted during a forward pass: the reference for every closed form in the tests."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slimgen.cost.formula import Cost

# Counting functions instead of modules also catches a supernet's convolutions with sliced weights and products
# written with `*`; a module called twice costs twice.
_CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}
_TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
_METHODS = ("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__")
_PRODUCTS = {torch.mul, torch.multiply, *(getattr(Tensor, name) for name in _METHODS)}
_LEAKY = {F.leaky_relu, F.leaky_relu_}
_MATRIX_PRODUCTS = {torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.bmm, torch.Tensor.__matmul__}


class _Tally(TorchFunctionMode):
    """A mode that adds up the MACs of every torch function called while it is active."""

    def __init__(self, constants: set[int]) -> None:
        super().__init__()
        self.constants = constants
        self.exact = self.torchprofile = self.gan_compression = self.thop = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out
        if func in _CONVOLUTIONS:
            weight = _operand(args, kwargs, 1, "weight")
            self._add(out.numel() * weight[0].numel())
            self._add_bias(args, kwargs, out)
        elif func in _TRANSPOSED:
            given, weight = _operand(args, kwargs, 0, "input"), _operand(args, kwargs, 1, "weight")
            taps = weight[0, 0].numel()  # weight: (inputs, outputs / groups, *kernel)
            groups = out.shape[1] // weight.shape[1]
            gathered = out.numel() * (weight.shape[0] // groups) * taps
            self._add(gathered, exact=given.numel() * weight.shape[1] * taps)
            self._add_bias(args, kwargs, out)
        elif func is F.linear:
            self._add(out.numel() * _operand(args, kwargs, 1, "weight").shape[-1])
        elif func in _MATRIX_PRODUCTS:
            self._add(out.numel() * _operand(args, kwargs, 0, "input").shape[-1])
        elif func is F.instance_norm or (func in _PRODUCTS and self._of_two_maps((*args, *kwargs.values()), out)):
            self.gan_compression += out.numel()
        elif func in _LEAKY:
            self.thop += out.numel()
        elif func is F.batch_norm:
            self.thop += 2 * out.numel()
        return out

    def _add_bias(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Tensor) -> None:
        if (args[2] if len(args) > 2 else kwargs.get("bias")) is not None:
            self.thop += out.numel()

    def _add(self, macs: int, exact: int | None = None) -> None:
        self.exact += macs if exact is None else exact
        self.torchprofile += macs
        self.gan_compression += macs
        self.thop += macs

    def _of_two_maps(self, factors: tuple[Any, ...], out: Tensor) -> bool:
        """Return whether both factors are feature maps of the product's size, not constants of the network."""
        tensors = [factor for factor in factors if isinstance(factor, Tensor) and id(factor) not in self.constants]
        return sum(factor.dim() >= 3 and factor.shape[2:] == out.shape[2:] for factor in tensors) == 2


def _operand(args: tuple[Any, ...], kwargs: Mapping[str, Any], at: int, name: str) -> Tensor:
    operand = args[at] if at < len(args) else kwargs[name]
    assert isinstance(operand, Tensor)
    return operand


def count(net: nn.Module, *inputs: Tensor) -> Cost:
    """Run a network once and count its cost under every convention.

    Convolutions, transposed convolutions, linear layers, matrix products, InstanceNorms and elementwise products of two
    feature maps are counted, and for `thop` biases, BatchNorms and LeakyReLUs, whether called as modules or as
    functions. A shared parameter counts once, but each use adds its MACs; a batch of N images costs N times as much as
    one. The network is left unchanged: modes, running statistics, hooks and gradients. To count without time or memory,
    build the network and its inputs under `torch.device("meta")`.
    """
    tally = _Tally({id(tensor) for tensor in (*net.parameters(), *net.buffers())})
    modes = {module: module.training for module in net.modules()}
    net.eval()  # keeps the running statistics unchanged
    try:
        with torch.no_grad(), tally:
            net(*inputs)
    finally:
        for module, training in modes.items():
            module.training = training
    params = sum(parameter.numel() for parameter in net.parameters())
    return Cost(params, tally.exact, tally.torchprofile, tally.gan_compression, tally.thop)
