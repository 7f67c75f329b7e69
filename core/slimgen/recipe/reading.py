"""Reader for the YAML of recipes, which refuses everything ambiguous and everything that grows when it is read.

Numbers are decimal (`3e6` is one; `032`, `1:04`, `0x1F` and `.inf` are not), each key is given once, and there are
no tags and no merge keys. Dates, and digits with underscores, are text.
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
"""Largest recipe file in bytes; a preset has about 3,000."""
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
"""Unquoted values that are not text: type, pattern and possible first characters."""


class _Loader(yaml.SafeLoader):
    """YAML loader for one document; raises RecipeError with the line for everything it refuses."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own table, replaced

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self.where, self.depth, self.count = where, 0, 0
        self.weights: dict[str, int] = {}

    def refuse(self, rule: str, node: Any, got: object = None, hint: str | None = None) -> RecipeError:
        """Return the error with its line."""
        return RecipeError(f"{self.where}, line {node.start_mark.line + 1}: {rule}", got, hint)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node as PyYAML does, and count it; an alias counts as much as its anchor's value."""
        event, before = self.peek_event(), self.count  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self.weights:
                raise self.refuse("an alias must not be inside its own value", event, f"*{anchor}")
            self.count += self.weights.get(str(anchor), 0)
        elif getattr(event, "tag", None) not in (None, "!"):
            raise self.refuse("YAML tags are not allowed", event, event.tag, "leave it out")
        self.count, self.depth = self.count + 1, self.depth + 1
        if self.count > _MOST or self.depth > _DEEPEST:
            rule = f"a recipe must have at most {_MOST:,} values and {_DEEPEST} levels"
            raise self.refuse(rule, event, "more")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if anchor is not None:
            self.weights.setdefault(anchor, self.count - before)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping as PyYAML does; keys must be text or whole numbers, each given once."""
        found: dict[Hashable, Any] = {}
        seen = set[str]()
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.style is None:
                raise self.refuse("the merge key '<<' is not allowed", key_node, None, "write the keys out")
            key = self.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if isinstance(key, bool) or not isinstance(key, str | int):
                got = key_node.value[:80] if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
                raise self.refuse("a key must be text", key_node, got, "put it in quotes")
            if str(key) in seen:
                raise self.refuse(f"the key {str(key)!r} is given twice", key_node, None, "remove one of them")
            seen.add(str(key))
            found[key] = self.construct_object(value_node, deep=True)
        return found

    def number(self, node: yaml.ScalarNode) -> int | float:
        """Return the number of a node: an int for a whole value, even with an exponent, else a float."""
        text = str(node.value)
        if len(text) > _DIGITS:
            raise self.refuse(f"a number must have at most {_DIGITS} digits", node, f"{len(text)} characters")
        if not re.search(r"[.eE]", text):
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            raise self.refuse("a number must be finite", node, text)
        whole = "e" in text.lower() and abs(value) < 2 * _LARGEST and Decimal(text) == int(Decimal(text))
        return int(Decimal(text)) if whole else value

    def doubtful(self, node: yaml.ScalarNode) -> None:
        """Refuse a value that YAML readers disagree on: some read a number, others another number or text."""
        rule = "a number must be decimal and finite, without leading zeros"
        raise self.refuse(rule, node, node.value, "write it like that, or put it in quotes if it is text")


for _name, (_written, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_written})$"), [*_first.replace("\0", ""), ""])
_Loader.add_constructor(_TAG + "float", _Loader.number)
_Loader.add_constructor(_TAG + "doubtful", _Loader.doubtful)


def read(text: str, where: str = "recipe") -> object:
    """Return the only document of a YAML text as plain values.

    Raises:
        RecipeError: invalid YAML, or YAML that recipes must not use; see the module's docstring.
    """
    if len(text) > LARGEST_FILE:
        raise RecipeError(f"{where} must have at most {LARGEST_FILE:,} characters", f"{len(text):,}")
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
    """Return the text of a file; raise RecipeError where it is unreadable, not UTF-8, or too large for a recipe."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RecipeError(f"{where} must have at most {LARGEST_FILE:,} bytes", f"{path.stat().st_size:,}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where} must be YAML in UTF-8", error) from None
    except OSError as error:
        raise RecipeError(f"cannot read {where}: {error}") from None


def require_plain(values: object, where: str, *, depth: int = 0) -> None:
    """Raise RecipeError for values that YAML, JSON, a file, a name or a log line cannot hold."""
    if depth > _DEEPEST:
        raise RecipeError(f"{where} must have at most {_DEEPEST} levels", "more")
    if isinstance(values, str):
        if _CONTROL.search(values):
            raise RecipeError(f"{where}: text must have no control characters", repr(values)[:80])
    elif isinstance(values, float):
        if not math.isfinite(values):
            raise RecipeError(f"{where}: a number must be finite", values)
    elif isinstance(values, int):
        if abs(values) > 10**_DIGITS:
            raise RecipeError(f"{where}: a number must have at most {_DIGITS} digits", "more")
    elif isinstance(values, Mapping):
        for key, value in values.items():
            require_plain(key, f"a key of {where}", depth=depth + 1)
            require_plain(value, f"{where}: {key}", depth=depth + 1)
    elif isinstance(values, Sequence):
        for value in values:
            require_plain(value, where, depth=depth + 1)
    elif values is not None:
        raise RecipeError(
            f"{where}: a value must be text, a number, true or false, a list or a mapping", repr(values)[:80]
        )


def require_moderate(values: object, where: str) -> None:
    """Raise RecipeError for a whole number above 10^15."""
    if isinstance(values, int) and abs(values) > _LARGEST:
        got = f"{values:.4g}" if values < 10**30 else "more"
        raise RecipeError(f"{where}: a whole number must be at most 10^15", got)
    for key, value in values.items() if isinstance(values, Mapping) else ():
        require_moderate(value, f"{where}: {key}")
    for value in values if isinstance(values, list | tuple) else ():
        require_moderate(value, where)
