"""Weights for a narrower ResNet generator out of a wider one: the pruning of GAN Compression's Table 3."""

import torch
from torch import Tensor, nn

from slimgen.cost.rows import weights_at
from slimgen.errors import CheckpointError
from slimgen.nets.layers import Separable
from slimgen.nets.resnet.generator import ResidualBlock, ResnetGenerator

_Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def prune_into(narrow: nn.Sequential, wide: ResnetGenerator) -> None:
    """Copies the strongest channels of one generator into another of the same family.

    A channel is as strong as the L1 norm of the filters that write it; the trunk's are written by the second halving
    and by every residual block. The strongest comes first, where a once-for-all network is trained the most.

    Args:
        narrow: the layers of a `ResnetGenerator` or a once-for-all network, changed in place.
        wide: the generator whose weights are taken.

    Raises:
        CheckpointError: the layers do not correspond, or are narrower in `wide`.
    """
    if list(narrow.state_dict()) != list(wide.model.state_dict()):
        raise CheckpointError("pruning needs generators of one family and depth", "others", "set supernet.prune false")
    pairs = {name: (narrow[at], wide.model[at]) for name, at in weights_at(wide.options.rows()).items()}
    blocks = [layer for _, layer in pairs.values() if isinstance(layer, ResidualBlock)]
    trunk = sum((_strength(_pair(block)[1]) for block in blocks), _strength(pairs["trunk"][1]))
    stay: Tensor | None = None
    for name, (target, source) in pairs.items():
        if isinstance(source, ResidualBlock) and isinstance(target, ResidualBlock):
            into, back = _pair(source)
            thin_into, thin_back = _pair(target)
            inner = _best(_strength(into), _outputs(thin_into))
            assert stay is not None
            _copy(thin_into, into, stay, inner)
            _copy(thin_back, back, inner, stay)
            continue
        keep = _best(trunk if name == "trunk" else _strength(source), _outputs(target))
        if name == "output":  # red stays red
            keep = keep.sort().values
        _copy(target, source, stay, keep)
        stay = keep


def _pair(block: ResidualBlock) -> list[nn.Module]:
    """The two convolutions of a residual block."""
    return [layer for layer in block.conv_block if isinstance(layer, nn.Conv2d | Separable)]


def _writer(layer: nn.Module) -> _Convolution:
    """The convolution that makes a layer's output channels."""
    found = layer.conv[2] if isinstance(layer, Separable) else layer
    assert isinstance(found, _Convolution)
    return found


def _outputs(layer: nn.Module) -> int:
    return _writer(layer).out_channels


def _strength(layer: nn.Module) -> Tensor:
    """The L1 norm of each output channel's filter."""
    writer = _writer(layer)
    axis = 1 if isinstance(writer, nn.ConvTranspose2d) else 0
    return writer.weight.abs().sum([side for side in range(4) if side != axis])


def _best(strength: Tensor, width: int) -> Tensor:
    """The `width` strongest channels, strongest first."""
    if width > len(strength):
        raise CheckpointError("pruning makes a generator narrower", f"{width} channels of {len(strength)}")
    return torch.argsort(strength, descending=True, stable=True)[:width]


def _copy(target: nn.Module, source: nn.Module, inputs: Tensor | None, outputs: Tensor) -> None:
    """Takes over the filters at `outputs`, as they read `inputs` (None: all)."""
    if isinstance(target, Separable) and isinstance(source, Separable):
        assert inputs is not None
        for thin_weight, weight in zip(target.conv[0].parameters(), source.conv[0].parameters(), strict=True):
            thin_weight.copy_(weight[inputs])
    thin, thick = _writer(target), _writer(source)
    rows, columns = (1, 0) if isinstance(thick, nn.ConvTranspose2d) else (0, 1)
    chosen = thick.weight.index_select(rows, outputs)
    thin.weight.copy_(chosen if inputs is None else chosen.index_select(columns, inputs))
    if thin.bias is not None and thick.bias is not None:
        thin.bias.copy_(thick.bias[outputs])
