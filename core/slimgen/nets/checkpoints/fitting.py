"""The match between a checkpoint's tensors and a network's: names, renamed parts, and the first difference."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from slimgen.nets.checkpoints.parts import Parts, parts_of, renamed

_FEW = 3
_NORM = "running_var"
_OTHER_NORM = "set norm: {} among its options, or check which network was saved"


class Fit(NamedTuple):
    """The match of a state dict with a network.

    Attributes:
        names: the network's names to the checkpoint's.
        parts: parts of the weights to fold, by the network's names.
        passed: names of counters and statistics that the network does not use.
        difference: the first difference and its most likely cause; None where the network can be loaded.
        alike: number of tensors whose name and shape fit the network.
    """

    names: Mapping[str, str]
    parts: Mapping[str, Parts]
    passed: tuple[str, ...]
    difference: tuple[str, str] | None
    alike: int


def fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], tied: Mapping[str, str] | None = None) -> Fit:
    """Match a checkpoint's tensors with a network's state dict.

    It handles residual blocks saved with or without dropout (their second convolution is `conv_block.6` or
    `conv_block.5`), weights in parts, counters, and running statistics that old versions of InstanceNorm saved and
    never used.

    Args:
        expected: the network's state dict.
        tensors: the checkpoint's.
        tied: the other name of each tied weight, which a file may hold only once.
    """
    parts = {one.carrier: one for one in parts_of(tensors)}
    if parts_of(expected):  # the network keeps the norms itself
        new = {old: name for one in parts.values() for old, name in renamed(one).items() if name in expected}
        parts, shown = {}, {new.get(name, name): name for name in tensors}
    else:
        others = {name for one in parts.values() for name in one.others}
        shown = {parts[name].plain if name in parts else name: name for name in tensors if name not in others}
    number = _numbering({plain: tensors[name] for plain, name in shown.items()}, expected)
    shown = {number(plain): name for plain, name in shown.items()}
    batch_norm = _has_batch_norm(shown)
    passed = [name for name in shown if _counts(name, tensors[shown[name]], expected) or _idle(name, expected)]
    names = {plain: name for plain, name in shown.items() if plain not in passed}
    names |= {name: names[other] for name, other in (tied or {}).items() if name not in names and other in names}
    found = {plain: tensors[name] for plain, name in names.items()}
    alike = sum(name in found and found[name].shape == tensor.shape for name, tensor in expected.items())
    folded = {number(one.plain): one._replace(plain=number(one.plain)) for one in parts.values()}
    return Fit(names, folded, tuple(passed), _difference(expected, found, batch_norm), alike)


def listed(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(names[:_FEW])}{more}"


def _numbering(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Callable[[str], str]:
    """Return the map from a checkpoint's names to a network's, whose residual blocks may differ in having dropout."""
    given, wanted = (_drops(tensors) for tensors in (found, expected))
    if given == wanted:
        return lambda name: name
    shift = -1 if given else 1  # for all layers after the ReLU, where a dropout layer may be

    def moved(match: re.Match[str]) -> str:
        at = int(match[1])
        return f"conv_block.{at + shift if at > 3 else at}."

    return lambda name: re.sub(r"conv_block\.(\d+)\.", moved, name)


def _drops(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether residual blocks have dropout, by the index of their second convolution, dense or separable."""
    second = (t for name, t in tensors.items() if re.search(r"conv_block\.6\.(conv\.\d\.)?weight$", name))
    return any(tensor.dim() == 4 for tensor in second)


def _counts(name: str, tensor: Tensor, expected: Collection[str]) -> bool:
    """Return whether this is a counter that the network does not have, such as an epoch or a norm's batches."""
    return name not in expected and tensor.numel() == 1 and not (tensor.is_floating_point() or tensor.is_complex())


def _idle(name: str, expected: Collection[str]) -> bool:
    """Return whether this is a running statistic of a norm that has neither statistics nor weights in the network."""
    owner, _, leaf = name.rpartition(".")
    statistic = leaf in ("running_mean", _NORM, "num_batches_tracked")
    return statistic and name not in expected and f"{owner}.weight" not in expected


def _has_batch_norm(names: Collection[str]) -> bool:
    """Return whether norms have statistics and weights, which no InstanceNorm of these networks has."""
    return any(name.endswith(_NORM) and f"{name.removesuffix(_NORM)}weight" in names for name in names)


def _blocks(names: Collection[str]) -> tuple[int, bool]:
    """Return the number of residual blocks, and whether their convolutions are dense rather than separable."""
    found = [match for name in names if (match := re.match(r"(.*\.)?(\d+)\.conv_block\.\d+\.(conv\.)?", name))]
    dense = not any(match[3] for match in found)
    found = found or [match for name in names if (match := re.match(r"(body\.)(\d+)\.(rdb\d\.)?conv\d\.", name))]
    return len({match[2] for match in found}), dense


def _depth(names: Collection[str]) -> int:
    """Return the number of nested scales of a U-Net; 0 for any other network."""
    nested = max((name.split(".").count("model") for name in names), default=0)
    return nested - 1 if nested > 2 else 0


def _scale(expected: Collection[str], channels: int) -> str | None:
    """Return a hint where an RRDBNet's input channels are those of RGB pictures with another scale."""
    scale = {3: 4, 12: 2, 48: 1}.get(channels) if "conv_body.weight" in expected else None
    return None if scale is None else f"set scale: {scale}"


def _difference(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], batch_norm: bool
) -> tuple[str, str] | None:
    """Return the first difference in the network's order, with its most likely cause."""
    absent = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    differing = [name for name in expected if name in found and found[name].shape != expected[name].shape]
    surplus = [name for name in found if name not in expected]
    if not (absent or differing or surplus):
        return None
    stem = next((name for name, tensor in expected.items() if tensor.dim() == 4), None)
    if stem in differing:
        for axis, noun in ((0, "base width (ngf, ndf or channels)"), (1, "input channels")):
            want, have = expected[stem].shape[axis], found[stem].shape[axis]
            if want != have:
                hint = _scale(expected, have) if axis else None
                return f"{noun} {have} in {stem}", hint or f"{noun} {want} expected, {have} found"
    (blocks, dense), (blocks_found, dense_found) = (_blocks(names) for names in (expected, found))
    if blocks != blocks_found:
        return f"{blocks_found} residual blocks", f"blocks {blocks} expected, {blocks_found} found"
    if dense != dense_found:
        kind, family = ("dense", "resnet") if dense_found else ("separable", "mobile_resnet")
        return f"the weights of a network with {kind} residual blocks", f"set family: {family}"
    depth, depth_found = _depth(expected), _depth(found)
    if depth and depth_found and depth != depth_found:
        return f"{depth_found} scales", f"depth {depth} expected, {depth_found} found"
    if batch_norm and not _has_batch_norm(expected):
        return "the weights of a network with BatchNorm", _OTHER_NORM.format("batch")
    if _has_batch_norm(expected) and not batch_norm:
        return f"a network without BatchNorm: no {listed(absent)}", _OTHER_NORM.format("instance")
    if differing:
        name, more = differing[0], f" (and {len(differing) - 1} more such)" if len(differing) > 1 else ""
        shapes = f"{tuple(expected[name].shape)} expected, {tuple(found[name].shape)} found"
        return f"another shape of {name}{more}", shapes
    if absent:
        return f"no {listed(absent)}", "check the network and its norm"
    return f"unknown weights {listed(surplus)}", "check the network and its norm"
