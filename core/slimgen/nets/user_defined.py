"""User-defined networks: a class by its import path, `package.module:Class`, in the place of a family's name.

The class is imported from wherever Python finds it, so its module must be installed or on PYTHONPATH. It takes its
options as keywords, none of them named `height`, `width` or `kept_channels`, and maps images (N, 3, H, W) to images of
the same shape, or of the channels that its options `inputs` and `outputs` say; or, where it has an option `latent`,
noise (N, latent) to images. A recipe that names one runs its code.
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
"""The option that every user-defined class has besides those it defines: what pruning left of each module."""


class UserDefined:
    """A network family made of a class outside of slimgen, `package.module:Class`.

    Raises:
        SlimgenError: nothing of that name can be imported, its module fails, or it is no class of networks.
    """

    def __init__(self, path: str) -> None:
        found = load("network", path)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            got = f"{path!r}, which is {found!r}"[:200]
            raise SlimgenError("a user-defined network must be a class of torch.nn.Module", got)
        self.path, self.kind = path, found

    def check(self, options: Mapping[str, object]) -> None:
        """Raises SlimgenError where the class does not take these options, or asks for others."""
        known = dict(inspect.signature(self.kind).parameters)
        if taken := sorted({"height", "width"} & options.keys()):
            rule = "height and width are of the image; the options of a user-defined network must have other names"
            raise SlimgenError(rule, ", ".join(taken))
        if CHANNELS in known:
            rule = f"{CHANNELS} is what pruning left of a network; a user-defined one must name its options otherwise"
            raise SlimgenError(rule, f"{self.path!r} with it")
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for option, parameter in known.items():
            if parameter.default is parameter.empty and parameter.kind in named and option not in options:
                raise SlimgenError(f"{self.path!r} must be given all that it asks for", f"no {option!r}")
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
            return
        for option in options:
            if option != CHANNELS and option not in known:
                raise SlimgenError(f"{self.path!r} has no such option", repr(option), nearest(option, known))

    def __call__(self, **options: object) -> nn.Module:
        """A network with these options, narrowed to `kept_channels` where they are given.

        Raises:
            SlimgenError: the class cannot be made with them, or `kept_channels` are none of its own.
        """
        channels = options.pop(CHANNELS, None)
        try:
            net = cast(Callable[..., nn.Module], self.kind)(**options)
        except SlimgenError:
            raise
        except (Exception, SystemExit) as error:  # a class that is not ours fails in its own way
            raise SlimgenError(f"{self.path!r} must be made from its options", f"{options} ({error!r})") from error
        return net if channels is None else shaped(net, cast(Channels, channels))

    def cost(self, height: int, width: int, **options: object) -> Cost:
        """What that network costs on one image, or on the noise of one; counted once for each set of options.

        The image has as many channels as the option `inputs` says; without it, the few that the first convolution
        takes, or 3.

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
    """The channels of its images: its option `inputs`, or the few that its first convolution takes, or 3."""
    parameter = inspect.signature(UserDefined(path).kind).parameters.get("inputs")
    given = options.get("inputs", None if parameter is None else parameter.default)
    first = next((one.in_channels for one in net.modules() if isinstance(one, nn.Conv2d)), RGB)
    return given if isinstance(given, int) else first if first <= 4 else RGB


def counted(net: nn.Module, height: int, width: int, latent: int | None = None, channels: int = 3) -> Cost:
    """As `UserDefined.cost`, of a network on the meta device; `latent` is the length of the noise that it takes."""
    try:
        shape = (1, channels, height, width) if latent is None else (1, latent)
        return count(net, torch.empty(shape, device="meta"))
    except SlimgenError:
        raise
    except (Exception, SystemExit) as error:  # a network that is not ours fails in its own way
        taken = f"an image of {height} x {width}" if latent is None else f"noise of length {latent}"
        raise SlimgenError(f"{type(net).__name__} must take {taken}", repr(error)) from error
