"""How a generator that lost some of its filters is described, so that `build_generator` makes it again."""

from collections.abc import Callable, Mapping
from typing import Any

from slimgen.errors import RecipeError
from slimgen.nets.resnet.cost import Widths
from slimgen.nets.unet.cost import UnetWidths

_RESNETS = {"resnet": "", "mobile_resnet": ".conv.2"}
"""Family to what follows a block's convolution in the name of the layer that makes its channels."""
_TRUNK = 10  # the place of the first residual block in `ResnetGenerator.model`


def check_family(family: str) -> None:
    """Raises RecipeError where the filters of a family cannot be cut one by one."""
    if family not in (*_RESNETS, "unet") and ":" not in family:
        known = f"known: {', '.join((*_RESNETS, 'unet'))}, or package.module:Class of your own"
        raise RecipeError("filters are cut out of generators with widths of their own", repr(family), known)


def described(family: str, options: Mapping[str, Any], outputs: Callable[[str], int]) -> dict[str, Any]:
    """The options of a generator of one of slimgen's families, cut.

    Args:
        family: its name.
        options: of the whole generator.
        outputs: the name of a convolution to the output channels that it has left.

    Raises:
        RecipeError: a family that has no widths.
    """
    check_family(family)
    rest = {name: value for name, value in options.items() if name not in ("ngf", "config", "widths")}
    if family == "unet":
        return {**rest, "widths": _unet(int(options.get("depth", 8)), outputs).to_json()}
    blocks = int(options.get("blocks", 9))
    return {**rest, "widths": _resnet(blocks, _RESNETS[family], outputs).to_json()}


def narrowest(family: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the generator of one filter in every layer."""
    return described(family, options, lambda name: 1)


def _resnet(blocks: int, inside: str, outputs: Callable[[str], int]) -> Widths:
    end = _TRUNK + blocks
    return Widths(
        stem=outputs("model.1"),
        down1=outputs("model.4"),
        trunk=outputs("model.7"),
        blocks=tuple(outputs(f"model.{block}.conv_block.1{inside}") for block in range(_TRUNK, end)),
        up1=outputs(f"model.{end}"),
        up2=outputs(f"model.{end + 3}"),
    )


def _unet(depth: int, outputs: Callable[[str], int]) -> UnetWidths:
    down, up = [outputs("model.model.0")], []
    block = "model.model.1.model"
    for level in range(1, depth):
        deepest = level == depth - 1
        down.append(outputs(f"{block}.1"))
        up.append(outputs(f"{block}.{3 if deepest else 5}"))
        block = f"{block}.3.model"
    return UnetWidths(tuple(down), tuple(up))
