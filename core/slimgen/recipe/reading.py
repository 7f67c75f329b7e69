"""YAML as recipes have it: what two readers could read differently is refused, and so is what only grows.

Numbers are decimal (`3e6` is one; `032`, `1:04`, `0x1F` and `.inf` are none), a key is given once, and there are
neither tags nor merge keys. A date, or digits with underscores, are text.
"""

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import yaml

from slimgen.errors import RecipeError

LARGEST_FILE = 1 << 18
"""Bytes; the presets have about 3,000 each."""
_DEEPEST, _MOST, _DIGITS = 24, 5_000, 40
_LARGEST = 10**15
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    "float": (r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    "doubtful": (
        r"[-+]?(?:0[0-9_]+(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|0[xXoObB][0-9a-fA-F_]+"
        r"|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
"""Texts without quotes that are no text: what they are, how they are written, and how they begin."""


class _Loader(yaml.SafeLoader):
    """Reads one document; whatever it refuses is a RecipeError that names the line."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own table, replaced

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self.where, self.depth, self.count = where, 0, 0
        self.weights: dict[str, int] = {}

    def refuse(self, rule: str, node: Any, got: object = None, hint: str | None = None) -> RecipeError:
        """The error, with its place."""
        return RecipeError(f"{self.where}, line {node.start_mark.line + 1}: {rule}", got, hint)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As PyYAML does, but counted: an alias counts as much as what it stands for."""
        event, before = self.peek_event(), self.count  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self.weights:
                raise self.refuse("an alias stands for something outside of itself", event, f"*{anchor}")
            self.count += self.weights.get(str(anchor), 0)
        elif getattr(event, "tag", None) not in (None, "!"):
            raise self.refuse("plain YAML has no tags", event, event.tag, "leave it out")
        self.count, self.depth = self.count + 1, self.depth + 1
        if self.count > _MOST or self.depth > _DEEPEST:
            rule = f"a recipe has at most {_MOST:,} values, {_DEEPEST} inside each other"
            raise self.refuse(rule, event, "more")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if anchor is not None:
            self.weights.setdefault(anchor, self.count - before)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """As PyYAML does, with keys that are texts or whole numbers, each given once."""
        found: dict[Hashable, Any] = {}
        seen = set[str]()
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.style is None:
                raise self.refuse("keys are not merged by '<<'", key_node, None, "write them out")
            key = self.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if isinstance(key, bool) or not isinstance(key, str | int):
                got = key_node.value[:80] if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
                raise self.refuse("a key is text", key_node, got, "put it in quotes")
            if str(key) in seen:
                raise self.refuse(f"the key {str(key)!r} is given twice", key_node, None, "leave one of them out")
            seen.add(str(key))
            found[key] = self.construct_object(value_node, deep=True)
        return found

    def number(self, node: yaml.ScalarNode) -> int | float:
        """A number; with an exponent, a whole one if it is."""
        text = str(node.value)
        if len(text) > _DIGITS:
            raise self.refuse(f"a number has at most {_DIGITS} digits", node, f"{len(text)} characters")
        if not re.search(r"[.eE]", text):
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            raise self.refuse("a number is finite", node, text)
        whole = "e" in text.lower() and abs(value) < 2 * _LARGEST and Decimal(text) == int(Decimal(text))
        return int(Decimal(text)) if whole else value

    def doubtful(self, node: yaml.ScalarNode) -> None:
        """Refuses what looks like a number to some readers, and to others like another one, or like text."""
        rule = "a number is decimal and finite, and does not begin with 0"
        raise self.refuse(rule, node, node.value, "write it so, or put it in quotes where text is meant")


for _name, (_written, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_written})$"), [*_first.replace("\0", ""), ""])
_Loader.add_constructor(_TAG + "float", _Loader.number)
_Loader.add_constructor(_TAG + "doubtful", _Loader.doubtful)


def read(text: str, where: str = "recipe") -> object:
    """The one document of a YAML text, as plain values.

    Raises:
        RecipeError: no YAML, or YAML that a recipe does not have (see above).
    """
    if len(text) > LARGEST_FILE:
        raise RecipeError(f"{where} has at most {LARGEST_FILE:,} characters", f"{len(text):,}")
    loader = None
    try:
        loader = _Loader(text, where)
        return cast(object, loader.get_single_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        problem = error.problem or ""
        what = " ".join(filter(None, (None if problem and not problem.startswith("but") else error.context, problem)))
        raise RecipeError(f"{where} must be YAML: {what}{place}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} must be YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()


def read_file(path: Path, where: str) -> str:
    """The text of a file; raises RecipeError where it cannot be read, is no text, or is too large for a recipe."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RecipeError(f"{where} has at most {LARGEST_FILE:,} bytes", f"{path.stat().st_size:,}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where} must be YAML, in UTF-8", error) from None
    except OSError as error:
        raise RecipeError(f"{where} must be a file that can be read", error) from None


def require_plain(values: object, where: str, *, depth: int = 0) -> None:
    """Raises RecipeError for what neither YAML nor JSON can say, or no file, name or line of a log can hold."""
    if depth > _DEEPEST:
        raise RecipeError(f"values of {where} are at most {_DEEPEST} inside each other", "more")
    if isinstance(values, str):
        if _CONTROL.search(values):
            raise RecipeError(f"{where}: text has no control characters", repr(values)[:80])
    elif isinstance(values, float):
        if not math.isfinite(values):
            raise RecipeError(f"{where}: a number is finite", values)
    elif isinstance(values, int):
        if abs(values) > 10**_DIGITS:
            raise RecipeError(f"{where}: a number has at most {_DIGITS} digits", "more")
    elif isinstance(values, Mapping):
        for key, value in values.items():
            require_plain(key, f"a key of {where}", depth=depth + 1)
            require_plain(value, f"{where}: {key}", depth=depth + 1)
    elif isinstance(values, Sequence):
        for value in values:
            require_plain(value, where, depth=depth + 1)
    elif values is not None:
        raise RecipeError(f"{where}: a value is text, a number, true or false, a list or a mapping", repr(values)[:80])


def require_moderate(values: object, where: str) -> None:
    """Raises RecipeError for a whole number above what anything is counted in."""
    if isinstance(values, int) and abs(values) > _LARGEST:
        raise RecipeError(f"{where}: a whole number is at most 10^15", f"{values:.4g}" if values < 10**30 else "more")
    for key, value in values.items() if isinstance(values, Mapping) else ():
        require_moderate(value, f"{where}: {key}")
    for value in values if isinstance(values, list | tuple) else ():
        require_moderate(value, where)
