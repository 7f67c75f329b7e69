"""Older names of published upscalers' weights, as the names that this network has."""

import re
from collections.abc import Collection, Sequence

_RRDB_TRUNK = (
    (r"RRDB_trunk\.(\d+)\.RDB([123])\.(conv[1-5])\.", r"body.\1.rdb\2.\3."),
    (r"trunk_conv\.", "conv_body."),
    (r"upconv([12])\.", r"conv_up\1."),
    (r"HRconv\.", "conv_hr."),
)
"""The names of ESRGAN's repository."""
_OLD_ARCH = (
    (r"model\.0\.", "conv_first."),
    (r"model\.1\.sub\.(\d+)\.RDB([123])\.(conv[1-5])\.0\.", r"body.\1.rdb\2.\3."),
    (r"model\.1\.sub\.\d+\.", "conv_body."),
    (r"model\.3\.", "conv_up1."),
    (r"model\.6\.", "conv_up2."),
    (r"model\.8\.", "conv_hr."),
    (r"model\.10\.", "conv_last."),
)
"""The names of ESRGAN's first files, numbers of layers in a chain."""
_RECON_TRUNK = ((r"recon_trunk\.(\d+)\.(conv[12])\.", r"body.\1.\2."), (r"HRconv\.", "conv_hr."))
"""The names of BasicSR's first SRResNet."""
_SCHEMES = {"conv_body.weight": (*_RRDB_TRUNK, *_OLD_ARCH), "upconv1.weight": _RECON_TRUNK}
"""A weight that only one kind of network has, to the older names of that kind."""


def modern(expected: Collection[str], names: Sequence[str]) -> list[str]:
    """Return a checkpoint's names in the naming of a network with these weights; other names, and prefixes, stay.

    Args:
        expected: the network's names; only those of RRDBNets and SRResNets have had other ones.
        names: the checkpoint's, with or without a prefix.
    """
    rules = next((rules for own, rules in _SCHEMES.items() if own in expected), ())
    return [_modern(rules, name) for name in names]


def _modern(rules: Sequence[tuple[str, str]], name: str) -> str:
    for old, new in rules:
        match = re.fullmatch(rf"(?P<prefix>|.*\.){old}(?P<leaf>[^.]+)", name)
        if match:
            return f"{match['prefix']}{match.expand(_shifted(new))}{match['leaf']}"
    return name


def _shifted(new: str) -> str:
    """Return a replacement with its groups counted behind the one of the prefix."""
    return re.sub(r"\\(\d)", lambda group: rf"\{int(group[1]) + 1}", new)
