"""Which part of a checkpoint is the network that is asked for, and its weights, sound and whole."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.errors import CheckpointError, nearest
from slimgen.nets.checkpoints.fitting import Fit, fit, listed
from slimgen.nets.checkpoints.parts import fold, parts_of
from slimgen.nets.weights import Weights, read_content, require_weights

_DEPTH = 8
"""So deep lie the state dicts of a checkpoint that trainers wrote."""
_AVERAGED = re.compile(r"(^|[._])(ema|averaged?)([._]|$)")
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Option(NamedTuple):
    """A part of a checkpoint that may be the network: `label` is the key that names it, empty for all there is."""

    label: str
    tensors: Weights


class Found(NamedTuple):
    """The weights of a network, by its own names.

    Attributes:
        key: what part of the file they are; empty where they are all of it.
        notes: what was chosen, folded or passed over, in words.
    """

    weights: Weights
    key: str
    notes: tuple[str, ...]


def import_weights(net: nn.Module, path: Path | str, key: str | None = None, setting: str = "the key") -> Found:
    """Loads a network from a checkpoint as trainers leave them, all of it or nothing.

    The part of the file that is the network is found by its names and shapes, whatever it is wrapped in and whatever
    stands before its names; an average (`params_ema`, `g_ema`) is preferred to what it is an average of.

    Args:
        net: on any device; left alone on the meta device, which has no numbers, for a trial.
        path: safetensors, or a torch file, in which nothing is run. `~` is the home folder.
        key: names the part, where several fit: `params`, `netG_A`, `state_dict.generator`.
        setting: what the user gives the key by, for messages.

    Raises:
        CheckpointError: no such file or key, or none or several parts that are of this network; or weights that are not
            finite, not dense or no floating-point numbers.
    """
    path = require_weights(path)
    option, found = _chosen(net, list(_tables(read_content(path))), path.name, key, setting)
    weights = _sound(net, option.tensors, found, path.name)
    if not any(tensor.is_meta for tensor in net.state_dict().values()):
        net.load_state_dict({**net.state_dict(), **weights})
    notes = [f"took {option.label}"] if option.label else []
    notes += [f"folded the {kind} of {count}" for kind, count in _folded(found).items()]
    notes += [f"passed over {listed(found.passed)}"] if found.passed else []
    return Found(weights, option.label, tuple(notes))


def _folded(found: Fit) -> dict[str, str]:
    """How many weights each kind of parts was folded into."""
    kinds = [one.kind for one in found.parts.values()]
    return {kind: f"{kinds.count(kind)} weight{'s' * (kinds.count(kind) > 1)}" for kind in dict.fromkeys(kinds)}


def _tables(content: object, place: str = "", depth: int = _DEPTH) -> Iterator[Option]:
    """The named tensors of a checkpoint, each with the place where they lie together."""
    if not isinstance(content, Mapping):
        return
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value.detach() for name, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield Option(place, tensors)
    for name, value in named.items():
        if depth > 1:
            yield from _tables(value, f"{place}.{name}" if place else name, depth - 1)


def _chosen(net: nn.Module, tables: list[Option], where: str, key: str | None, setting: str) -> tuple[Option, Fit]:
    """The one part of a checkpoint that is the network."""
    if not tables:
        hint = "save the state dict of the network: torch.save(net.state_dict(), FILE)"
        raise CheckpointError("a checkpoint must hold named tensors", f"{where} without any", hint)
    expected = net.state_dict()
    if key is not None:
        named = [part for table in tables if (part := _under(table, key)) is not None]
        if not named:
            known = dict.fromkeys(label for table in tables for label in _labels(table))
            raise CheckpointError(f"{setting} must name a part of {where}", repr(key), nearest(key, known))
        tables = named
    tied = _tied(net)
    first = next((name for name in expected if name not in tied), next(iter(expected), ""))
    options = [option for table in tables for option in _options(table, expected, first)]
    fits = [(option, fit(expected, option.tensors, tied)) for option in options]
    fitting = [one for one in fits if one[1].difference is None]
    if not fitting:
        option, best = max(fits, key=lambda one: (one[1].alike, len(one[0].tensors)))
        assert best.difference is not None
        for name, tensor in option.tensors.items():  # a converted network has other names, too
            _require_plain(name, tensor, where)
        at = f"{where}, at {option.label}," if option.label else where
        raise CheckpointError(f"{at} must hold the weights of the same network", *best.difference)
    averages = [one for one in fitting if _AVERAGED.search(one[0].label)]
    if len(averages) == 1 and len(fitting) <= 2:  # beside what it is an average of, and nothing else
        return averages[0]
    if len(fitting) > 1:
        labels = [option.label or "what lies outermost" for option, _ in fitting]
        rule = f"{where} must hold one such network, or a key must say which"
        raise CheckpointError(rule, " and ".join(labels), f"set {setting} to one of them")
    return fitting[0]


def _tied(net: nn.Module) -> dict[str, str]:
    """Names of weights that are others under a second name, each with the first, and the first with the second."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, weight in net.named_parameters(remove_duplicate=False):
        other = first.setdefault(id(weight), name)
        if other != name:
            found |= {name: other, other: name}
    return found


def _under(table: Option, key: str) -> Option | None:
    """What a table holds under a key: all of it, or the names that begin with it; None if nothing."""
    if table.label == key or table.label.endswith(f".{key}"):
        return table
    for start in (key, key.removeprefix(f"{table.label}.")):
        inside = {n.removeprefix(f"{start}."): value for n, value in table.tensors.items() if n.startswith(f"{start}.")}
        if inside:
            return Option(f"{table.label}.{start}".lstrip("."), inside)
    return None


def _labels(table: Option) -> list[str]:
    """The keys that name a table or what its names begin with."""
    starts = {name.partition(".")[0] for name in table.tensors if "." in name}
    return [*([table.label] if table.label else []), *(f"{table.label}.{start}".lstrip(".") for start in starts)]


def _options(table: Option, expected: Mapping[str, Tensor], first: str) -> list[Option]:
    """The table, or the parts of it whose names end as the network's first, each without what stands before them."""
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
    """The weights by the network's names, folded, each of them checked."""
    expected, weights = net.state_dict(), {}
    for name, theirs in found.names.items():
        one = found.parts.get(name)
        for part in (theirs, *(one.others if one else ())):
            if part in tensors:
                _require_numbers(part, tensors[part], expected[name], where)
        weights[name] = tensors[theirs] if one is None else fold(one, tensors, net)
    return weights


def _require_numbers(name: str, tensor: Tensor, expected: Tensor, where: str) -> None:
    """Raises CheckpointError unless these are numbers that the network's tensor can take as they are."""
    _require_plain(name, tensor, where)
    kinds = _FLOATS if expected.is_floating_point() else (expected.dtype,)
    if tensor.dtype not in kinds:
        raise _unfit(where, name, str(tensor.dtype).removeprefix("torch."))
    # As they will be: what is finite in double precision may be too large in single.
    taken = tensor.float() if tensor.is_floating_point() else tensor
    if wrong := int((~torch.isfinite(taken)).sum()):
        hint = "take a checkpoint from before the training broke, or one in full precision"
        raise CheckpointError("weights to import must be finite", f"{where} with {name}, {wrong:,} of it not", hint)


def _require_plain(name: str, tensor: Tensor, where: str) -> None:
    """Raises CheckpointError for a tensor that no network of floating-point numbers was saved with."""
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
    hint = "take the network as it was before it was quantised, made sparse or converted"
    return CheckpointError(rule, f"{where} with {name}: {kind}", hint)
