"""Dividing a data set: which images are trained on, which choose the architecture, and which are seen at the end."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Literal

from slimgen.data.decoding import Setting
from slimgen.data.layouts import SPLITS, ItemT
from slimgen.errors import DataError

Usable = Callable[[Iterable[ItemT]], Iterator[bool]]


def hold_out(
    items: Sequence[ItemT],
    amount: int | float,
    seed: int,
    what: str,
    key: Callable[[ItemT], str],
    option: Literal["validation", "test"] = "validation",
    usable: Usable[ItemT] | None = None,
) -> tuple[tuple[ItemT, ...], tuple[ItemT, ...]]:
    """The others, and those held out, chosen by the hash of (seed, key): adding images hardly changes which.

    How many are held out is a number from 1 or a fraction below 1, by the `option` of a recipe's `data`. Of items in
    turn, `usable` says which would not be rejected: the others are not held out.

    Raises:
        DataError: if nothing or everything would be held out.
    """
    count, fraction = len(items), isinstance(amount, float)
    sensible = 0 < amount < 1 if fraction else amount >= 1
    asked = 0 if not sensible else max(1, round(amount * count)) if fraction else int(amount)
    if not 1 <= asked < count:
        rule = f"data.{option} must be fewer than the {count} {what}, and at least 1"
        raise DataError(rule, amount, f"set data.{option} to {max(1, count // 10)}" if count > 1 else "add images")
    order = sorted(range(count), key=lambda place: hashlib.sha256(f"{seed}/{key(items[place])}".encode()).digest())
    judged = usable(items[place] for place in order) if usable else iter([True] * count)
    held = set(islice((place for place, good in zip(order, judged, strict=True) if good), asked))
    others = tuple(one for number, one in enumerate(items) if number not in held)
    return others, tuple(one for number, one in enumerate(items) if number in held)


def divide(
    found: Mapping[str, tuple[ItemT, ...]],
    setting: Setting,
    what: str,
    key: Callable[[ItemT], str] = attrgetter("name"),
    usable: Usable[ItemT] | None = None,
) -> dict[str, tuple[ItemT, ...]]:
    """Train, val and test of the splits that were found.

    A data set with both val and test keeps its own val; one with val alone is tested on it, unless the setting holds
    images to test on out of train.

    Raises:
        DataError: if there are images to test on, and the setting holds some out; or as `hold_out`.
    """
    found, which = dict(found), f"{what} to train on"
    if setting.test is not None:
        if "test" in found:
            rule = "data.test holds images out of train for a data set that has none to test on"
            raise DataError(
                rule, f"test {setting.test}, and {len(found['test'])} {what} in its test split", "leave it out"
            )
        # Another key than for the validation images, so that one choice says nothing of the other.
        parts = hold_out(
            found["train"], setting.test, setting.seed, which, lambda item: f"test/{key(item)}", "test", usable
        )
        found["train"], found["test"] = parts
        which = f"{what} left to train on, beside {len(parts[1])} to test on"
    if "val" in found and "test" in found:
        return {name: found[name] for name in SPLITS}
    train, val = hold_out(found["train"], setting.validation, setting.seed, which, key, usable=usable)
    return {"train": train, "val": val, "test": found["test"] if "test" in found else found["val"]}
