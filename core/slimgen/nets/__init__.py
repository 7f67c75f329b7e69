"""Network families by name. A family's module, and torch with it, is imported only when the family is used.

A family is a class with a method `cost(height, width, **options)` that takes the options of its constructor; families
described by rows inherit it from `slimgen.nets.layers.Described`. A user-defined class is named by its import path,
`package.module:Class`, and its cost is counted (`slimgen.nets.user_defined`).
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from slimgen.cost.rows import smallest_reaching
from slimgen.errors import RecipeError, SlimgenError, nearest

if TYPE_CHECKING:
    from torch import nn

    from slimgen.cost.formula import Cost
    from slimgen.nets.pieces import Piece
    from slimgen.recipe.keys import Key

GENERATORS = {
    "resnet": "slimgen.nets.resnet.generator:ResnetGenerator",
    "mobile_resnet": "slimgen.nets.resnet.generator:MobileResnetGenerator",
    "unet": "slimgen.nets.unet.generator:UnetGenerator",
    "trellis": "slimgen.nets.cf_gan.trellis:TrellisGenerator",
    "upscale_trellis": "slimgen.nets.cf_gan.upscale_trellis:UpscaleGenerator",
    "spade": "slimgen.nets.spade.generator:SpadeGenerator",
    "mobile_spade": "slimgen.nets.spade.generator:MobileSpadeGenerator",
    "alphagan": "slimgen.nets.alphagan.generator:AlphaGenerator",
    "alphagan_s": "slimgen.nets.alphagan.generator:AlphaGanSmall",
    "alphagan_l": "slimgen.nets.alphagan.generator:AlphaGanLarge",
    "sngan": "slimgen.nets.sngan.generator:NoiseResnet",
    "cyclegan_nas": "slimgen.nets.cyclegan_nas.networks:CellsGenerator",
    "srresnet": "slimgen.nets.upscaling.generators:Srresnet",
    "rrdbnet": "slimgen.nets.upscaling.generators:Rrdbnet",
    "srvgg": "slimgen.nets.upscaling.generators:Srvgg",
}
"""Generators by family. A family with an option `latent`, the length of the noise, maps noise to images; all others map
images to images, a family with an option `scale` to images that many times as large."""

DISCRIMINATORS = {
    "patchgan": "slimgen.nets.patchgan.discriminators:PatchGAN",
    "multiscale": "slimgen.nets.patchgan.discriminators:MultiScale",
    "sngan": "slimgen.nets.sngan.discriminator:NoiseDiscriminator",
    "cyclegan_nas": "slimgen.nets.cyclegan_nas.networks:CellsDiscriminator",
    "vgg_style": "slimgen.nets.upscaling.discriminators:VggStyle",
    "unet_sn": "slimgen.nets.upscaling.discriminators:UnetSn",
}
"""Discriminators by family."""
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
MOST = 2 * 10**9
"""The most parameters a network may have: this many take 8 GB, and four times that in training."""
WIDTHS = ("ngf", "channels")
"""The possible names of the option that sets a generator's overall width."""
PART_BY_PART = ("config", "widths", "growth")
"""Options that set the widths of single parts."""


class Family(Protocol):
    """The interface of a network family's class."""

    def __call__(self, **options: object) -> "nn.Module":
        """Build a network with these options."""

    def cost(self, height: int, width: int, **options: object) -> "Cost":
        """Return the network's cost on one image of this size, in closed form."""


def build_generator(family: str, *, seed: int = 0, **options: object) -> "nn.Module":
    """Build a generator of a family (a name in `GENERATORS`, or an import path), its weights drawn from the seed.

    Raises:
        SlimgenError: the family or an option is unknown, or an option is out of range.
    """
    return _build("generator", family, seed, options)


def build_discriminator(family: str, *, seed: int = 0, **options: object) -> "nn.Module":
    """Build a discriminator of a family, its weights drawn from the seed; see `build_generator`."""
    return _build("discriminator", family, seed, options)


def check_network(noun: str, about: Mapping[str, Any], where: str) -> None:
    """Check the family and options of a recipe's generator or discriminator against the types its class declares.

    Raises:
        RecipeError: there is no family, or it does not take one of the options.
        SlimgenError: the family is unknown.
    """
    from slimgen.nets.options import check_options

    family = about.get("family")
    if not isinstance(family, str):
        got = "none" if family is None else repr(family)[:80]
        example = "resnet" if noun == GENERATOR else "patchgan"
        raise RecipeError(f"{where} must name its family", got, f"for example family: {example}")
    found = _family(noun, family)
    options = {name: value for name, value in about.items() if name != "family"}
    check_options(_taken(found), options, where, foreign=":" in family)


def keys_of_network(noun: str, family: str, prefix: str = "") -> "list[Key]":
    """Return the options of a family as keys: what stands beside `family` in a recipe, behind a prefix.

    Raises:
        SlimgenError: the family is not known.
    """
    from slimgen.nets.options import model_of
    from slimgen.recipe.keys import keys_of

    taken = _taken(_family(noun, family))
    return list(keys_of(model_of(taken, ":" in family), prefix, documented=cast(type, taken)))


def require_buildable(noun: str, cost: "Cost") -> None:
    """Raise RecipeError for a network with more parameters than `MOST`."""
    if cost.params > MOST:
        rule = f"a {noun} to train must have at most {MOST:,} parameters"
        raise RecipeError(rule, f"{cost.params:,}, {4 * cost.params / 2**30:,.0f} GiB", "make it narrower")


def generator_cost(family: str, height: int, width: int, **options: object) -> "Cost":
    """Return the cost of a family's generator on one image of this size in pixels, in closed form: nothing is built.

    The cost of a user-defined class is counted instead.

    Raises:
        SlimgenError: the family or an option is unknown, or the network cannot take images of this size.
    """
    return _resolve("generator", family, options).cost(height, width, **options)


def generator_pieces(family: str, height: int, width: int, **options: object) -> "list[Piece]":
    """Return a family's generator, in evaluation mode, in pieces whose latencies add up; the first takes the input.

    Raises:
        RecipeError: generators of this family cannot be split into pieces.
        SlimgenError: as `generator_cost`.
    """
    check_pieces(family)
    found: list[Piece] = _resolve("generator", family, options).pieces(height, width, **options)  # type: ignore[attr-defined]
    return found


def check_pieces(family: str) -> None:
    """Raise RecipeError unless the generators of a family can be split into pieces, for a table of latencies."""
    if not has_pieces(family):
        rule = "a limit on latency_ms needs a generator family that can be measured in pieces"
        raise RecipeError(rule, repr(family), "limit macs instead, or choose a ResNet")


def has_pieces(family: str) -> bool:
    """Return whether the generators of a family say the pieces that they can be measured in."""
    return hasattr(_family("generator", family), "pieces")


def noise_length(family: str, **options: object) -> int | None:
    """Return the length of the noise that a generator takes, its option `latent`; None where it takes images.

    Raises:
        SlimgenError: the family or an option is unknown.
    """
    known = _options_of(_resolve("generator", family, options))
    if "latent" not in known:
        return None
    return int(str(options.get("latent", known["latent"].default)))


def default_of(family: str, *, option: str, **options: object) -> object:
    """Return the default of a generator's option; None where the family has no such option, or it has no default.

    Raises:
        SlimgenError: the family or one of the options is unknown.
    """
    found = _options_of(_resolve("generator", family, options)).get(option)
    return None if found is None or found.default is inspect.Parameter.empty else found.default


def width_option(family: str) -> str | None:
    """Return the option that sets the overall width of a family's generators, one of `WIDTHS`; None without one.

    Raises:
        SlimgenError: the family is unknown.
    """
    known = _options_of(_family("generator", family))
    return next((option for option in WIDTHS if option in known), None)


def narrowed(
    family: str,
    options: Mapping[str, Any],
    amount: Callable[[dict[str, Any]], float],
    least: float,
    width: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Return the options of a family's narrowest generator whose amount, such as its MACs, is at least `least`.

    The overall width is replaced; options that set the widths of single parts are dropped.

    Args:
        family: a name in `GENERATORS`, or an import path.
        options: of the generator to narrow.
        amount: options to the amount to reach.
        least: the smallest amount allowed.
        width: the option that sets the overall width, with its smallest value; None for the family's one of `WIDTHS`.

    Raises:
        RecipeError: the family has no option of `WIDTHS`, and no other is given.
        BudgetError: no width reaches the amount.
        SlimgenError: an option is unknown, or the network cannot take images of this size.
    """
    option, start = width or (width_option(family), 1)
    if option is None:
        raise RecipeError(f"a generator must have an option {' or '.join(WIDTHS)} to be narrowed", repr(family))
    rest = {name: value for name, value in options.items() if name not in (option, *PART_BY_PART)}

    return {**rest, option: smallest_reaching(lambda wide: amount({**rest, option: wide}), least, start)}


def description_of(family: str) -> Any:
    """Return the options dataclass that describes a family's generators in rows, or None; raises as `width_option`."""
    return getattr(_family("generator", family), "Options", None)


def discriminator_cost(family: str, height: int, width: int, **options: object) -> "Cost":
    """Return the cost of a family's discriminator in closed form; see `generator_cost`."""
    return _resolve("discriminator", family, options).cost(height, width, **options)


def _build(noun: str, family: str, seed: int, options: Mapping[str, object]) -> "nn.Module":
    from slimgen.nets.initial import initialise

    return initialise(_resolve(noun, family, options)(**options), seed)


def _resolve(noun: str, family: str, options: Mapping[str, object]) -> Family:
    """Return the class of a family after checking that it takes these options."""
    found = _family(noun, family)
    if ":" in family:
        found.check(options)  # type: ignore[attr-defined]
        return found
    known = _options_of(found)
    for option in options:
        if option not in known:
            raise SlimgenError(f"the {noun} {family!r} has no option {option!r}", None, nearest(option, known))
    return found


def _family(noun: str, family: str) -> Family:
    if ":" in family:
        from slimgen.nets.user_defined import UserDefined

        return UserDefined(family)
    families = GENERATORS if noun == "generator" else DISCRIMINATORS
    if family not in families:
        raise SlimgenError(f"no {noun} family is called {family!r}", None, nearest(family, families))
    module, _, name = families[family].partition(":")
    return cast(Family, getattr(importlib.import_module(module), name))


def _options_of(found: Family) -> Mapping[str, inspect.Parameter]:
    """Return the options that a family takes, with their defaults; of a user-defined one, its class's."""
    return _parameters(_taken(found))


def _taken(found: Family) -> Callable[..., object]:
    """Return the callable whose arguments are the family's options."""
    return cast(Callable[..., object], getattr(found, "kind", None) or getattr(found, "Options", found))


@cache
def _parameters(takes: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(takes).parameters
