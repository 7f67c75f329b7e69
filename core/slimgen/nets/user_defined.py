"""User-defined networks: a class named by its import path, `package.module:Class`, in place of a family.

The class is imported from wherever Python finds it, so its module must be installed or on PYTHONPATH. It takes its
options as keywords, none of them named `height`, `width` or `kept_channels`. It maps images (N, 3, H, W) to images of
the same shape; its options `inputs` and `outputs`, if it has them, set the channels. With an option `latent` it maps
noise (N, latent) to images. A recipe that names such a class runs its code.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.cost.formula import Cost
from slimgen.errors import SlimgenError, nearest
from slimgen.imports import load
from slimgen.nets import noise_length
from slimgen.nets.co_evolution.cutting import Channels, shaped

RGB = 3
CHANNELS = "kept_channels"
"""The option added to every user-defined network: the channels that pruning kept in each module."""


class UserDefined:
    """A network family made from a class outside slimgen, `package.module:Class`.

    Raises:
        SlimgenError: the path cannot be imported, its module fails, or it is not a subclass of torch.nn.Module.
    """

    def __init__(self, path: str) -> None:
        found = load("network", path)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            got = f"{path!r}, which is {found!r}"[:200]
            raise SlimgenError("a user-defined network must be a subclass of torch.nn.Module", got)
        self.path, self.kind = path, found

    def check(self, options: Mapping[str, object]) -> None:
        """Raise SlimgenError where the class does not take one of these options, or requires others."""
        known = dict(inspect.signature(self.kind).parameters)
        if taken := sorted({"height", "width"} & options.keys()):
            rule = "options of a user-defined network must not be called height or width: these are the image's"
            raise SlimgenError(rule, ", ".join(taken))
        if CHANNELS in known:
            rule = f"a user-defined network must not have an option {CHANNELS}: pruning uses that name"
            raise SlimgenError(rule, repr(self.path), "rename it")
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for option, parameter in known.items():
            if parameter.default is parameter.empty and parameter.kind in named and option not in options:
                raise SlimgenError(f"{self.path!r} requires the option {option!r}", None, "add it to the options")
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
            return
        for option in options:
            if option != CHANNELS and option not in known:
                raise SlimgenError(f"{self.path!r} has no option {option!r}", None, nearest(option, known))

    def __call__(self, **options: object) -> nn.Module:
        """Build a network with these options, narrowed to `kept_channels` where they are given.

        Raises:
            SlimgenError: the class fails with these options, or `kept_channels` does not fit its modules.
        """
        channels = options.pop(CHANNELS, None)
        try:
            net = cast(Callable[..., nn.Module], self.kind)(**options)
        except SlimgenError:
            raise
        except (Exception, SystemExit) as error:  # a user's class may raise anything
            raise SlimgenError(f"cannot build {self.path!r} with the options {options}", repr(error)) from error
        return net if channels is None else shaped(net, cast(Channels, channels))

    def cost(self, height: int, width: int, **options: object) -> Cost:
        """Count the network's cost on one image, or on the noise for one; counted once for each set of options.

        The image has the channels that the option `inputs` says; without it, those of the first convolution if they
        are at most 4, else 3.

        Raises:
            SlimgenError: the network cannot take images of this size.
        """
        return _counted(self.path, height, width, json.dumps(options, sort_keys=True))


@lru_cache(maxsize=4096)
def _counted(path: str, height: int, width: int, options: str) -> Cost:
    chosen = json.loads(options)
    with torch.device("meta"):
        net = UserDefined(path)(**chosen)
        return counted(net, height, width, noise_length(path, **chosen), taken(net, path, chosen))


def taken(net: nn.Module, path: str, options: Mapping[str, object]) -> int:
    """Return a network's input channels: its option `inputs`, or its first convolution's if at most 4, or 3."""
    parameter = inspect.signature(UserDefined(path).kind).parameters.get("inputs")
    given = options.get("inputs", None if parameter is None else parameter.default)
    first = next((one.in_channels for one in net.modules() if isinstance(one, nn.Conv2d)), RGB)
    return given if isinstance(given, int) else first if first <= 4 else RGB


def counted(net: nn.Module, height: int, width: int, latent: int | None = None, channels: int = 3) -> Cost:
    """Count the cost of a network on the meta device, see `UserDefined.cost`; `latent` is the length of its noise."""
    try:
        shape = (1, channels, height, width) if latent is None else (1, latent)
        return count(net, torch.empty(shape, device="meta"))
    except SlimgenError:
        raise
    except (Exception, SystemExit) as error:  # a user's network may raise anything
        taken = f"an image of {height} x {width}" if latent is None else f"noise of length {latent}"
        raise SlimgenError(f"{type(net).__name__} must take {taken}", repr(error)) from error
