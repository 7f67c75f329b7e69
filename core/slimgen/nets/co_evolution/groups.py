"""The groups of filters behind a genome's bits: found by tracing, tried out, and tied where they share a mask."""

import copy
import json
import math
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets import GENERATORS, PART_BY_PART, WIDTHS, build_generator, description_of
from slimgen.nets.co_evolution.cutting import Kept, narrowed
from slimgen.nets.co_evolution.dependencies import Convolution, Group, channels_of, uncut
from slimgen.nets.co_evolution.dependencies import groups as groups_of
from slimgen.nets.layers import Described
from slimgen.nets.user_defined import taken

Cut = Callable[[int, random.Random], int]
"""The number of filters to cut, given their number, to see whether a user-defined network still runs."""
_CUTS: tuple[Cut, ...] = (
    lambda length, rng: length // 2,
    lambda length, rng: min(1, length - 1),  # one less does not run where channels are reshaped into groups
    lambda length, rng: length - rng.randrange(1, length + 1, 2),  # an odd number is kept
)


def filter_groups(net: nn.Module, example: Tensor, *, user_defined: bool, authors: bool) -> dict[str, list[Group]]:
    """Return the groups that share each dimension's mask; for arguments and errors see `FilterSpace`.

    With `user_defined`, the cuts are tried out first: only groups without which the network still runs are returned.
    """
    groups = groups_of(net, example)
    if user_defined:
        groups = _separate(net, groups, example)
    tied: dict[str, list[Group]] = {}
    trunk, blocks = _trunk_and_blocks(net, groups) if authors else (None, set())
    for group in groups:
        inside = group.name in blocks
        first = trunk if inside and trunk is not None else group
        if first.length != group.length:
            rule = "the authors' genome needs a ResNet whose blocks are as wide inside as its trunk"
            raise RecipeError(rule, f"{group.length} and {first.length}", "use genome: layers")
        name = f"filter.{first.name.replace('.', '-')}"
        if name in tied and not inside:
            raise SlimgenError("names of layers must differ when their dots are written as -", group.name)
        tied.setdefault(name, []).append(group)
    return tied


def _trunk_and_blocks(net: nn.Module, groups: list[Group]) -> tuple[Group, set[str]]:
    """Return the group of a ResNet's trunk, and the names of the groups inside its blocks."""
    names: dict[str, str] = net.options.writers() if isinstance(net, Described) else {}
    trunk = next((group for group in groups if group.name == names.get("trunk")), None)
    if trunk is None:
        raise RecipeError("the authors' genome needs a ResNet generator", type(net).__name__, "use genome: layers")
    return trunk, {name for row, name in names.items() if row.startswith("block")}


def _separate(net: nn.Module, found: list[Group], example: Tensor) -> list[Group]:
    """Return the groups whose removal gives the same output as zeroing the weights that read them.

    Tracing cannot see the assumptions about shapes in a network's code. All groups are tried at once; if that fails,
    they are tried one by one.
    """
    net = copy.deepcopy(net).cpu().eval()
    shown = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    net, shown, whole = _precise(net, shown)

    def runs(some: list[Group]) -> bool:
        return all(_runs_without(net, shown, whole, _some(some, cut)) for cut in _CUTS)

    every = found
    found = found if runs(found) else [group for group in found if runs([group])]
    if not found or not runs(found):
        raise uncut(net, {group.name: "has filters that its code does not run without" for group in every})
    return found


@torch.no_grad()
def _precise(net: nn.Module, shown: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    """Return network, image and output in float64, so that rounding hides no error; in float32 if float64 fails."""
    try:
        double = copy.deepcopy(net).double()
        return double, shown.double(), double(shown.double())
    except Exception:  # a user's network may raise anything
        single = net.float()
        return single, shown.float(), single(shown.float())


@torch.no_grad()
def _runs_without(net: nn.Module, shown: Tensor, whole: Tensor, gone: dict[str, tuple[set[int], set[int]]]) -> bool:
    """Return whether cutting these channels gives the same output as zeroing the weights that read them."""
    try:
        blind = copy.deepcopy(net)
        for name, (inputs, _) in gone.items():
            layer = blind.get_submodule(name)
            if inputs and isinstance(layer, Convolution):
                reading = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
                layer.weight.index_fill_(reading, torch.tensor(sorted(inputs)), 0.0)
        wanted, small = blind(shown), narrowed(net, _rest(net, gone))(shown)
    except Exception:  # as above
        return False
    # Relative to the change that the cut makes, not to the picture: a branch may be faint beside what it is added to.
    rounding = torch.finfo(wanted.dtype).eps
    near = math.sqrt(rounding) * float((wanted - whole).abs().max()) + 100 * rounding * float(wanted.abs().max())
    return bool(small.shape == wanted.shape and torch.allclose(small, wanted, rtol=0, atol=near))


def _some(found: list[Group], cut: Cut) -> dict[str, tuple[set[int], set[int]]]:
    """Return the input and output channels of some filters by module, drawn from a fixed seed."""
    gone: dict[str, tuple[set[int], set[int]]] = {}
    rng = random.Random(0)
    for group in found:
        filters = rng.sample(range(group.length), cut(group.length, rng))
        for part in group.parts:
            side = gone.setdefault(part.module, (set(), set()))[part.axis == "out"]
            side.update(part.places[place] for place in filters)
    return gone


def _rest(net: nn.Module, gone: dict[str, tuple[set[int], set[int]]]) -> dict[str, Kept]:
    kept = {}
    for name, lost in gone.items():
        sides = zip(channels_of(net.get_submodule(name)), lost, strict=True)
        inputs, outputs = (torch.tensor([at for at in range(count) if at not in side]) for count, side in sides)
        kept[name] = Kept(outputs=outputs, inputs=inputs)
    return kept


def check_family(family: str) -> None:
    """Raise RecipeError where a family's filters cannot be cut one by one."""
    if ":" in family or hasattr(description_of(family), "cut"):
        return
    known = [name for name in GENERATORS if hasattr(description_of(name), "cut")]
    rule = "pruning filters needs a generator family with an option widths"
    raise RecipeError(rule, repr(family), f"known: {', '.join(known)}, or your own package.module:Class")


@cache
def check_cuttable(family: str, options: str, height: int, width: int) -> None:
    """Check that something in a user-defined network can be cut; raises as `groups`. The options are JSON."""
    chosen = json.loads(options)
    net = build_generator(family, **chosen)
    groups_of(net, torch.zeros(1, taken(net, family, chosen), height, width))


def described(family: str, options: Mapping[str, Any], outputs: Callable[[str], int]) -> dict[str, Any]:
    """Return the options of a cut generator of one of slimgen's families.

    Args:
        family: a name in `slimgen.nets.GENERATORS`.
        options: of the whole generator.
        outputs: a convolution's name to the number of outputs that it keeps.

    Raises:
        RecipeError: the family has no option `widths`.
    """
    check_family(family)
    rest = {name: value for name, value in options.items() if name not in (*WIDTHS, *PART_BY_PART)}
    return {**rest, "widths": description_of(family)(**options).cut(outputs)}


def narrowest(family: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the generator with one filter in every layer."""
    return described(family, options, lambda name: 1)
