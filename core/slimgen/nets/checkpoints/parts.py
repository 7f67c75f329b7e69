"""Weights that a checkpoint holds in parts, for a spectral norm, weight norm or pruning mask, and their folding.

The folded weight is the one that the saved network uses in evaluation mode, up to rounding.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.errors import CheckpointError

SPECTRAL, WEIGHT, MASK = "spectral norm", "weight norm", "pruning mask"
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Parts(NamedTuple):
    """One weight in parts.

    Attributes:
        kind: `SPECTRAL`, `WEIGHT` or `MASK`.
        plain: the weight's name in a network without the norm or mask.
        carrier: the name of the part that has the weight's shape.
        others: the names of the other parts.
    """

    kind: str
    plain: str
    carrier: str
    others: tuple[str, ...]


def parts_of(names: Collection[str]) -> list[Parts]:
    """Find the weights in parts among a state dict's names, in PyTorch's old and new naming."""
    found = []
    for name in names:
        if new := re.fullmatch(r"(.*?)parametrizations\.(\w+)\.original(0?)", name):
            plain, start = f"{new[1]}{new[2]}", name.removesuffix(f"original{new[3]}")
            if new[3]:
                found.append(Parts(WEIGHT, plain, f"{start}original1", (name,)))
            else:
                found.append(Parts(SPECTRAL, plain, name, (f"{start}0._u", f"{start}0._v")))
        elif name.endswith("_orig"):
            plain = name.removesuffix("_orig")
            masked = f"{plain}_mask" in names
            others = (f"{plain}_mask",) if masked else (f"{plain}_u", f"{plain}_v")
            found.append(Parts(MASK if masked else SPECTRAL, plain, name, others))
        elif name.endswith("_g") and f"{name[:-2]}_v" in names:
            found.append(Parts(WEIGHT, name[:-2], f"{name[:-2]}_v", (name,)))
    return found


def renamed(one: Parts) -> dict[str, str]:
    """Map the names of the parts to PyTorch's new naming, for networks that keep the norm; masks have none."""
    owner, _, leaf = one.plain.rpartition(".")
    start = f"{owner}.parametrizations.{leaf}.".lstrip(".")
    ends = {SPECTRAL: ("original", "0._u", "0._v"), WEIGHT: ("original1", "original0"), MASK: ()}[one.kind]
    return {name: f"{start}{end}" for name, end in zip((one.carrier, *one.others), ends, strict=False)}


def fold(one: Parts, tensors: Mapping[str, Tensor], net: nn.Module) -> Tensor:
    """Compute a weight from its parts.

    Raises:
        CheckpointError: a part is missing.
    """
    if missing := [name for name in (one.carrier, *one.others) if name not in tensors]:
        raise CheckpointError(
            f"the {one.kind} of {one.plain} must have all its parts to be folded",
            f"no {' and no '.join(missing)}",
            "save the whole state dict, or remove the norm before saving",
        )
    carrier, *others = (tensors[name].float() for name in (one.carrier, *one.others))
    if one.kind == MASK:
        return carrier * others[0]
    if one.kind == WEIGHT:
        return _weight(carrier, others[0])
    owner = net.get_submodule(one.plain.rpartition(".")[0])
    return _spectral(carrier, others, axis=1 if isinstance(owner, _TRANSPOSED) else 0)


def _spectral(weight: Tensor, vectors: Sequence[Tensor], axis: int) -> Tensor:
    """Return W / (u . W v), where W is a matrix with one row per output (Miyato et al. 2018, section 2.1)."""
    u, v = vectors
    return weight / torch.dot(u, weight.movedim(axis, 0).flatten(1) @ v)


def _weight(direction: Tensor, length: Tensor) -> Tensor:
    """Return g v / |v|; the norm is over the axes that g does not have (Salimans and Kingma 2016, Eq. 2)."""
    axes = [axis for axis in range(direction.dim()) if length.dim() == 0 or length.shape[axis] == 1]
    norm: Tensor = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    return direction * (length / norm)
