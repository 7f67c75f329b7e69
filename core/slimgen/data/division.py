"""Dividing a data set: which images are trained on, which choose the architecture, and which are seen at the end."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from slimgen.data.conversion import Setting
from slimgen.data.layouts import SPLITS, ItemT
from slimgen.errors import DataError


def hold_out(
    items: Sequence[ItemT], amount: int | float, seed: int, what: str, key: Callable[[ItemT], str]
) -> tuple[tuple[ItemT, ...], tuple[ItemT, ...]]:
    """The others, and those held out, chosen by the hash of (seed, key): adding images hardly changes which.

    How many are held out is a number from 1 or a fraction below 1.

    Raises:
        DataError: if nothing or everything would be held out.
    """
    count, fraction = len(items), isinstance(amount, float)
    sensible = 0 < amount < 1 if fraction else amount >= 1
    asked = 0 if not sensible else max(1, round(amount * count)) if fraction else int(amount)
    if not 1 <= asked < count:
        rule = f"validation holds out a part of the {count} {what} to train on, a number from 1 or a fraction below 1"
        raise DataError(rule, amount)
    order = sorted(range(count), key=lambda place: hashlib.sha256(f"{seed}/{key(items[place])}".encode()).digest())
    held = set(order[:asked])
    others = tuple(one for number, one in enumerate(items) if number not in held)
    return others, tuple(one for number, one in enumerate(items) if number in held)


def divide(
    found: Mapping[str, tuple[ItemT, ...]],
    setting: Setting,
    what: str,
    key: Callable[[ItemT], str] = attrgetter("name"),
) -> dict[str, tuple[ItemT, ...]]:
    """Train, val and test of the splits that were found.

    A data set with both val and test keeps its own val; one with val alone is tested on it.
    """
    if "val" in found and "test" in found:
        return {name: found[name] for name in SPLITS}
    train, val = hold_out(found["train"], setting.validation, setting.seed, what, key)
    return {"train": train, "val": val, "test": found["test"] if "test" in found else found["val"]}
