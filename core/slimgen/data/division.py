"""Division of a data set into training, validation and test images."""

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
    """Return the remaining and the held-out items, chosen by the hash of (seed, key).

    Adding images hardly changes the choice. `amount` is a number from 1 or a fraction below 1, the `option` of a
    recipe's `data`. `usable` yields, for items in turn, whether they can be used; others are not held out.

    Raises:
        DataError: nothing or everything would be held out.
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
    """Return train, val and test for the splits that were found.

    A data set with both val and test keeps its val. One with only val is tested on it, unless the setting holds test
    images out of train.

    Raises:
        DataError: the data set has a test split and the setting holds test images out; or as `hold_out`.
    """
    found, which = dict(found), f"training {what}"
    if setting.test is not None:
        if "test" in found:
            rule = "data.test must be left out for a data set with a test split"
            raise DataError(rule, f"{setting.test} and {len(found['test'])} test {what}", "remove one of them")
        # Another key than for the validation images, so that the two choices are independent.
        parts = hold_out(
            found["train"], setting.test, setting.seed, which, lambda item: f"test/{key(item)}", "test", usable
        )
        found["train"], found["test"] = parts
        which = f"training {what} that remain beside {len(parts[1])} test {what}"
    if "val" in found and "test" in found:
        return {name: found[name] for name in SPLITS}
    train, val = hold_out(found["train"], setting.validation, setting.seed, which, key, usable=usable)
    return {"train": train, "val": val, "test": found["test"] if "test" in found else found["val"]}
