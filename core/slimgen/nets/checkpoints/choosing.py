"""The choice of the part of a checkpoint that holds a network, and the check of its weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.errors import CheckpointError, nearest
from slimgen.nets.checkpoints.fitting import Fit, fit, listed
from slimgen.nets.checkpoints.parts import fold, parts_of
from slimgen.nets.checkpoints.schemes import modern
from slimgen.nets.weights import Weights, read_content, require_weights

_DEPTH = 8
"""The depth to which a checkpoint is searched for state dicts."""
_AVERAGED = re.compile(r"(^|[._])(ema|averaged?)([._]|$)")
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Option(NamedTuple):
    """A part of a checkpoint that may be the network; `label` is its key, empty for the whole checkpoint."""

    label: str
    tensors: Weights


class Found(NamedTuple):
    """The weights found for a network.

    Attributes:
        weights: by the network's own names.
        key: the part of the file that they come from; empty for the whole file.
        notes: the parts that were chosen, folded or passed over, in words.
    """

    weights: Weights
    key: str
    notes: tuple[str, ...]


def import_weights(net: nn.Module, path: Path | str, key: str | None = None, setting: str = "the key") -> Found:
    """Load a network from a training checkpoint, completely or not at all.

    The part of the file that holds the network is found by names and shapes, in any wrapper and with any prefix. An
    average of the weights (`params_ema`, `g_ema`) is preferred to the weights themselves.

    Args:
        net: the network, on any device; on the meta device it is only checked and not changed.
        path: a safetensors or torch file; no code in it is run. `~` is the home folder.
        key: the part to take where several fit: `params`, `netG_A`, `state_dict.generator`.
        setting: the name of the option for the key, for messages.

    Raises:
        CheckpointError: there is no such file or key; no part fits the network, or several do; or weights are not
            finite, not dense or not floating-point numbers.
    """
    path = require_weights(path)
    option, found = _chosen(net, list(tables(read_content(path))), path.name, key, setting)
    weights = _sound(net, option.tensors, found, path.name)
    if not any(tensor.is_meta for tensor in net.state_dict().values()):
        net.load_state_dict({**net.state_dict(), **weights})
    notes = [f"took {option.label}"] if option.label else []
    notes += [f"folded the {kind} of {count}" for kind, count in _folded(found).items()]
    notes += [f"passed over {listed(found.passed)}"] if found.passed else []
    return Found(weights, option.label, tuple(notes))


def _folded(found: Fit) -> dict[str, str]:
    """Return how many weights of each kind of parts were folded, in words."""
    kinds = [one.kind for one in found.parts.values()]
    return {kind: f"{kinds.count(kind)} weight{'s' * (kinds.count(kind) > 1)}" for kind in dict.fromkeys(kinds)}


def tables(content: object, place: str = "", depth: int = _DEPTH) -> Iterator[Option]:
    """Yield every group of named tensors in a checkpoint, with its key."""
    if not isinstance(content, Mapping):
        return
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value.detach() for name, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield Option(place, tensors)
    for name, value in named.items():
        if depth > 1:
            yield from tables(value, f"{place}.{name}" if place else name, depth - 1)


def _chosen(net: nn.Module, tables: list[Option], where: str, key: str | None, setting: str) -> tuple[Option, Fit]:
    """Return the one part of a checkpoint that holds the network."""
    if not tables:
        hint = "save the state dict of the network: torch.save(net.state_dict(), FILE)"
        raise CheckpointError("a checkpoint must hold named tensors", f"none in {where}", hint)
    expected = net.state_dict()
    if key is not None:
        tables = parts_named(tables, key, where, setting)
    tied = _tied(net)
    first = next((name for name in expected if name not in tied), next(iter(expected), ""))
    tables = [Option(table.label, _renamed(table.tensors, expected)) for table in tables]
    options = [option for table in tables for option in _options(table, expected, first)]
    fits = [(option, fit(expected, option.tensors, tied)) for option in options]
    fitting = [one for one in fits if one[1].difference is None]
    if not fitting:
        option, best = max(fits, key=lambda one: (one[1].alike, len(one[0].tensors)))
        assert best.difference is not None
        for name, tensor in option.tensors.items():  # a quantised or converted network also has other names
            _require_plain(name, tensor, where)
        at = f"{where}, at {option.label}," if option.label else where
        raise CheckpointError(f"{at} must hold the weights of the same network", *best.difference)
    averages = [one for one in fitting if _AVERAGED.search(one[0].label)]
    if len(averages) == 1 and len(fitting) <= 2:  # next to the averaged weights and nothing else
        return averages[0]
    if len(fitting) > 1:
        labels = [option.label or "the top level" for option, _ in fitting]
        rule = f"{where} holds more than one network that fits"
        raise CheckpointError(rule, " and ".join(labels), f"set {setting} to one of them")
    return fitting[0]


def _renamed(tensors: Weights, expected: Mapping[str, Tensor]) -> Weights:
    """Return a table's tensors with the names of a network where it has older ones, unless two would share a name."""
    names = modern(expected, list(tensors))
    return dict(zip(names, tensors.values(), strict=True)) if len({*names}) == len(tensors) else tensors


def _tied(net: nn.Module) -> dict[str, str]:
    """Return the names of tied weights, each mapped to the weight's other name."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, weight in net.named_parameters(remove_duplicate=False):
        other = first.setdefault(id(weight), name)
        if other != name:
            found |= {name: other, other: name}
    return found


def under(table: Option, key: str) -> Option | None:
    """Return the tensors under a key: the whole table, or the names that start with the key; None if there are none."""
    if table.label == key or table.label.endswith(f".{key}"):
        return table
    for start in (key, key.removeprefix(f"{table.label}.")):
        inside = {n.removeprefix(f"{start}."): value for n, value in table.tensors.items() if n.startswith(f"{start}.")}
        if inside:
            return Option(f"{table.label}.{start}".lstrip("."), inside)
    return None


def parts_named(tables: Sequence[Option], key: str, where: str, setting: str) -> list[Option]:
    """Return the tensors under a key in every table of the checkpoint `where`; raise CheckpointError without any."""
    named = [part for table in tables if (part := under(table, key)) is not None]
    if not named:
        known = dict.fromkeys(label for table in tables for label in _labels(table))
        raise CheckpointError(f"{setting} must name a part of {where}", repr(key), nearest(key, known))
    return named


def _labels(table: Option) -> list[str]:
    """Return the keys by which a table or its parts can be chosen."""
    starts = {name.partition(".")[0] for name in table.tensors if "." in name}
    return [*([table.label] if table.label else []), *(f"{table.label}.{start}".lstrip(".") for start in starts)]


def _options(table: Option, expected: Mapping[str, Tensor], first: str) -> list[Option]:
    """Return the table, or its parts that have a name ending like the network's first, each without its prefix."""
    plain = {one.carrier: one.plain for one in parts_of(table.tensors)} if not parts_of(expected) else {}
    starts = []
    for name in table.tensors:
        shown = plain.get(name, name)
        if shown == first or shown.endswith(f".{first}"):
            starts.append(shown[: len(shown) - len(first)])
    found = []
    for start in starts:
        inside = {n.removeprefix(start): value for n, value in table.tensors.items() if n.startswith(start)}
        found.append(Option(f"{table.label}.{start.rstrip('.')}".strip("."), inside))
    return found or [table]


def _sound(net: nn.Module, tensors: Weights, found: Fit, where: str) -> Weights:
    """Return the checked and folded weights, by the network's names."""
    expected, weights = net.state_dict(), {}
    for name, theirs in found.names.items():
        one = found.parts.get(name)
        for part in (theirs, *(one.others if one else ())):
            if part in tensors:
                _require_numbers(part, tensors[part], expected[name], where)
        weights[name] = tensors[theirs] if one is None else fold(one, tensors, net)
    return weights


def _require_numbers(name: str, tensor: Tensor, expected: Tensor, where: str) -> None:
    """Raise CheckpointError unless the network's tensor can take these numbers unchanged."""
    _require_plain(name, tensor, where)
    kinds = _FLOATS if expected.is_floating_point() else (expected.dtype,)
    if tensor.dtype not in kinds:
        raise _unfit(where, name, str(tensor.dtype).removeprefix("torch."))
    # In single precision, where a finite double may be too large.
    taken = tensor.float() if tensor.is_floating_point() else tensor
    if wrong := int((~torch.isfinite(taken)).sum()):
        hint = "take a checkpoint from before the training diverged, or one in full precision"
        got = f"{wrong:,} NaN or infinite values in {name} of {where}"
        raise CheckpointError("weights to import must be finite", got, hint)


def _require_plain(name: str, tensor: Tensor, where: str) -> None:
    """Raise CheckpointError for a tensor that is quantised, sparse, complex, integer or without values."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_quantized:
        raise _unfit(where, name, f"quantised ({kind})")
    if tensor.is_meta:
        raise _unfit(where, name, "without values (on the device meta)")
    if tensor.layout != torch.strided:
        raise _unfit(where, name, "sparse")
    if tensor.is_complex() or (tensor.dtype in (torch.int8, torch.uint8) and tensor.dim() > 1):
        raise _unfit(where, name, kind)


def _unfit(where: str, name: str, kind: str) -> CheckpointError:
    rule = "weights to import must be dense floating-point numbers"
    hint = "take the network from before it was quantised, made sparse or converted"
    return CheckpointError(rule, f"{where} with {name}: {kind}", hint)
