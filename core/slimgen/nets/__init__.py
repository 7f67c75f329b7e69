"""Network families by name. Their modules, and torch with them, are imported only when one is asked for.

A family is a class with a method `cost(height, width, **options)` that takes the options of its constructor, which one
described by rows has of `slimgen.nets.layers.Described`; or a user-defined class by its import path,
`package.module:Class`, whose cost is counted (`slimgen.nets.user_defined`).
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

GENERATORS = {
    "resnet": "slimgen.nets.resnet.generator:ResnetGenerator",
    "mobile_resnet": "slimgen.nets.resnet.generator:MobileResnetGenerator",
    "unet": "slimgen.nets.unet.generator:UnetGenerator",
    "trellis": "slimgen.nets.cf_gan.trellis:TrellisGenerator",
    "spade": "slimgen.nets.spade.generator:SpadeGenerator",
    "mobile_spade": "slimgen.nets.spade.generator:MobileSpadeGenerator",
    "alphagan": "slimgen.nets.alphagan.generator:AlphaGenerator",
    "alphagan_s": "slimgen.nets.alphagan.generator:AlphaGanSmall",
    "alphagan_l": "slimgen.nets.alphagan.generator:AlphaGanLarge",
    "sngan": "slimgen.nets.sngan.generator:NoiseResnet",
    "cyclegan_nas": "slimgen.nets.cyclegan_nas.networks:CellsGenerator",
}
"""Generators by family: of images from images, and from noise those that have an option `latent`, its length."""

DISCRIMINATORS = {
    "patchgan": "slimgen.nets.patchgan.discriminators:PatchGAN",
    "multiscale": "slimgen.nets.patchgan.discriminators:MultiScale",
    "sngan": "slimgen.nets.sngan.discriminator:NoiseDiscriminator",
    "cyclegan_nas": "slimgen.nets.cyclegan_nas.networks:CellsDiscriminator",
}
"""Discriminators, by family."""
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
MOST = 2 * 10**9
"""Parameters: as many take 8 GB, and in training four times as much."""
WIDTHS = ("ngf", "channels")
"""The names of the option that widens all of a generator; `config` and `widths` say the width of each part instead."""


class Family(Protocol):
    """What the class of a network family offers."""

    def __call__(self, **options: object) -> "nn.Module":
        """A network with these options."""

    def cost(self, height: int, width: int, **options: object) -> "Cost":
        """What that network costs on images of this size, in closed form."""


def build_generator(family: str, *, seed: int = 0, **options: object) -> "nn.Module":
    """A generator of a family (a name of `GENERATORS`, or an import path), its weights drawn from the seed.

    Raises:
        SlimgenError: the family or an option is not known, or an option is out of range.
    """
    return _build("generator", family, seed, options)


def build_discriminator(family: str, *, seed: int = 0, **options: object) -> "nn.Module":
    """A discriminator of a family, its weights drawn from the seed; as `build_generator`."""
    return _build("discriminator", family, seed, options)


def check_network(noun: str, about: Mapping[str, Any], where: str) -> None:
    """Whether a recipe's generator or discriminator, its family and options together, can be made, as far as types say.

    Raises:
        RecipeError: no family, or options that it does not take.
        SlimgenError: the family is not known.
    """
    from slimgen.nets.options import check_options

    family = about.get("family")
    if not isinstance(family, str):
        got = "none" if family is None else repr(family)[:80]
        example = "resnet" if noun == GENERATOR else "patchgan"
        raise RecipeError(f"{where} names its family", got, f"such as family: {example}")
    found = _family(noun, family)
    options = {name: value for name, value in about.items() if name != "family"}
    check_options(_taken(found), options, where, foreign=":" in family)


def require_buildable(noun: str, cost: "Cost") -> None:
    """Raises RecipeError for a network of more parameters than any machine trains."""
    if cost.params > MOST:
        rule = f"a {noun} that can be trained has at most {MOST:,} parameters"
        raise RecipeError(rule, f"{cost.params:,}, {4 * cost.params / 2**30:,.0f} GiB", "make it narrower")


def generator_cost(family: str, height: int, width: int, **options: object) -> "Cost":
    """What the generator of a family costs on one image of so many pixels, in closed form: nothing is built.

    The cost of a user-defined class is counted.

    Raises:
        SlimgenError: the family or an option is not known, or the size does not suit the network.
    """
    return _resolve("generator", family, options).cost(height, width, **options)


def generator_pieces(family: str, height: int, width: int, **options: object) -> "list[Piece]":
    """The generator of a family in parts whose latencies add up, in evaluation; the first takes what it takes.

    Raises:
        RecipeError: generators of this family are not known in parts.
        SlimgenError: as `generator_cost`.
    """
    check_pieces(family)
    found: list[Piece] = _resolve("generator", family, options).pieces(height, width, **options)  # type: ignore[attr-defined]
    return found


def check_pieces(family: str) -> None:
    """Raises RecipeError unless the generators of a family are known in pieces, for a table of latencies."""
    if not hasattr(_family("generator", family), "pieces"):
        rule = "a limit on latency_ms needs generators that are known in pieces"
        raise RecipeError(rule, repr(family), "limit macs instead, or choose a ResNet")


def noise_length(family: str, **options: object) -> int | None:
    """The length of the noise that a generator takes: its option `latent`. None where it takes images.

    Raises:
        SlimgenError: the family or an option is not known.
    """
    known = _options_of(_resolve("generator", family, options))
    if "latent" not in known:
        return None
    return int(str(options.get("latent", known["latent"].default)))


def default_of(family: str, *, option: str, **options: object) -> object:
    """What an option of a generator is where it is not given: None where the family has no such option, or no default.

    Raises:
        SlimgenError: the family or one of the options is not known.
    """
    found = _options_of(_resolve("generator", family, options)).get(option)
    return None if found is None or found.default is inspect.Parameter.empty else found.default


def width_option(family: str) -> str | None:
    """The option that widens all of a family's generator, one of `WIDTHS`; None where it has none.

    Raises:
        SlimgenError: the family is not known.
    """
    known = _options_of(_family("generator", family))
    return next((option for option in WIDTHS if option in known), None)


def narrowed(
    family: str, options: Mapping[str, Any], amount: Callable[[dict[str, Any]], float], least: float
) -> dict[str, Any]:
    """The options of the narrowest generator of a family with at least so much of an amount of theirs, such as MACs.

    The width among the options is replaced, and widths of single parts are left out.

    Raises:
        RecipeError: the family has no option of `WIDTHS`.
        BudgetError: no width reaches so much.
        SlimgenError: an option is not known, or the size does not suit the network.
    """
    option = width_option(family)
    if option is None:
        raise RecipeError(f"a generator is narrowed by an option {' or '.join(WIDTHS)}", f"{family!r} without")
    rest = {name: value for name, value in options.items() if name not in (option, "config", "widths")}

    return {**rest, option: smallest_reaching(lambda wide: amount({**rest, option: wide}), least)}


def description_of(family: str) -> Any:
    """The dataclass of options that describes a family's generators in rows, or None; raises as `width_option`."""
    return getattr(_family("generator", family), "Options", None)


def discriminator_cost(family: str, height: int, width: int, **options: object) -> "Cost":
    """What the discriminator of a family costs, in closed form; as `generator_cost`."""
    return _resolve("discriminator", family, options).cost(height, width, **options)


def _build(noun: str, family: str, seed: int, options: Mapping[str, object]) -> "nn.Module":
    from slimgen.nets.initial import initialise

    return initialise(_resolve(noun, family, options)(**options), seed)


def _resolve(noun: str, family: str, options: Mapping[str, object]) -> Family:
    """The class of a family, once it is known to take these options."""
    found = _family(noun, family)
    if ":" in family:
        found.check(options)  # type: ignore[attr-defined]
        return found
    known = _options_of(found)
    for option in options:
        if option not in known:
            raise SlimgenError(f"the {noun} {family!r} has no such option", repr(option), nearest(option, known))
    return found


def _family(noun: str, family: str) -> Family:
    if ":" in family:
        from slimgen.nets.user_defined import UserDefined

        return UserDefined(family)
    families = GENERATORS if noun == "generator" else DISCRIMINATORS
    if family not in families:
        raise SlimgenError(f"a {noun} must be of a known family", repr(family), nearest(family, families))
    module, _, name = families[family].partition(":")
    return cast(Family, getattr(importlib.import_module(module), name))


def _options_of(found: Family) -> Mapping[str, inspect.Parameter]:
    """The options that a family takes, with their defaults; of a user-defined one, those of its class."""
    return _parameters(_taken(found))


def _taken(found: Family) -> Callable[..., object]:
    """Whose arguments a family's options are."""
    return cast(Callable[..., object], getattr(found, "kind", None) or getattr(found, "Options", found))


@cache
def _parameters(takes: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(takes).parameters
