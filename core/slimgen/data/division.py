"""Dividing a data set: which images are trained on, which choose the architecture, and which are seen at the end."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from slimgen.data.conversion import Setting
from slimgen.data.layouts import SPLITS, ItemT
from slimgen.errors import DataError


def held_out(keys: Sequence[str], validation: int | float, seed: int, what: str) -> frozenset[int]:
    """The positions of those to validate on, chosen by the hash of (seed, key): adding images hardly changes which.

    Args:
        keys: what distinguishes the images to train on.
        validation: how many, or which fraction.
        seed: of the choice.
        what: the images' name in the error, if nothing or everything would be held out.
    """
    count = len(keys)
    fraction = isinstance(validation, float)
    sensible = 0 < validation < 1 if fraction else validation >= 1
    asked = 0 if not sensible else max(1, round(validation * count)) if fraction else int(validation)
    if not 1 <= asked < count:
        rule = f"validation holds out a part of the {count} {what} to train on, a number from 1 or a fraction below 1"
        raise DataError(rule, validation)
    order = sorted(range(count), key=lambda place: hashlib.sha256(f"{seed}/{keys[place]}".encode()).digest())
    return frozenset(order[:asked])


def divide(
    found: Mapping[str, tuple[ItemT, ...]],
    setting: Setting,
    what: str,
    key: Callable[[ItemT], str] = attrgetter("name"),
) -> dict[str, tuple[ItemT, ...]]:
    """Train, val and test of the splits that were found.

    A data set with both val and test keeps its own val; one with val alone is tested on it. What is held out of train
    is chosen by the key; see `held_out`.
    """
    if "val" in found and "test" in found:
        return {name: found[name] for name in SPLITS}
    train = found["train"]
    held = held_out([key(one) for one in train], setting.validation, setting.seed, what)
    return {
        "train": tuple(one for number, one in enumerate(train) if number not in held),
        "val": tuple(one for number, one in enumerate(train) if number in held),
        "test": found["test"] if "test" in found else found["val"],
    }
