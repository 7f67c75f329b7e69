"""Genotypes: the points of a space, which every method passes on, uses as cache keys and stores."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import NoReturn, TypeGuard

from slimgen.errors import SlimgenError

Value = str | int | float


class SpaceError(SlimgenError):
    """A space that contradicts itself, or a genotype that is not one of its points."""


def is_value(value: object) -> TypeGuard[Value]:
    """Return whether a genotype may hold this value: text, or a finite number (a bool is neither)."""
    finite = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return finite and not isinstance(value, bool)


class Genotype(Mapping[str, Value]):
    """One point of a space: an immutable, hashable mapping of dimension names to values.

    Genotypes are equal when their names and values are, whatever the order. A space makes them in canonical form
    (see :meth:`slimgen.search.space.Space.canonical`), so genotypes are equal exactly if their networks are.
    """

    __slots__ = ("_hash", "_key", "_values")
    _values: dict[str, Value]
    _key: str | None
    _hash: int | None

    def __init__(self, values: Mapping[str, Value]) -> None:
        """Copy a mapping; raise SpaceError for a name that is not text or a value that is not text or finite."""
        rule = "a genotype must map names to text or finite numbers"
        if not isinstance(values, Mapping):
            raise SpaceError(rule, repr(values), "give a JSON object, such as a genotype.json")
        for name, value in values.items():
            if not isinstance(name, str) or not is_value(value):
                raise SpaceError(rule, f"{name!r}: {value!r}")
        self._own(dict(values))

    @classmethod
    def trusted(cls, values: dict[str, Value]) -> "Genotype":
        """Wrap a dict without checking or copying it: only for spaces, which made the values themselves."""
        genotype = cls.__new__(cls)
        genotype._own(values)
        return genotype

    def _own(self, values: dict[str, Value]) -> None:
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_key", None)
        object.__setattr__(self, "_hash", None)

    @property
    def key(self) -> str:
        """16 hexadecimal digits that identify this genotype in every process: the start of its sorted JSON's sha256.

        A whole float is written as an integer, so that equal genotypes (``1 == 1.0``) have equal keys.
        """
        if self._key is None:
            plain = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in self._values.items()}
            text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
            object.__setattr__(self, "_key", hashlib.sha256(text.encode()).hexdigest()[:16])
        assert self._key is not None
        return self._key

    def to_json(self) -> dict[str, Value]:
        """Return a plain dict that ``json.dumps`` takes."""
        return dict(self._values)

    @classmethod
    def from_json(cls, value: object) -> "Genotype":
        """Return the genotype that :meth:`to_json` wrote; the JSON text itself is accepted too.

        Raises:
            SpaceError: `value` is not a JSON object of text and finite numbers.
        """
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise SpaceError("a genotype must be a JSON object", f"text that is not JSON ({error})") from error
        if not isinstance(value, Mapping):
            raise SpaceError("a genotype must be a JSON object", type(value).__name__)
        return cls(value)

    def replace(self, values: Mapping[str, Value] | None = None, /, **named: Value) -> "Genotype":
        """Return a copy with other values for some names; `Space.canonical` then settles what depends on them.

        Raises:
            SpaceError: a name that this genotype does not have.
        """
        changes = {**(values or {}), **named}
        if unknown := [name for name in changes if name not in self._values]:
            raise SpaceError("only the names of a genotype can be replaced", repr(unknown[0]))
        return Genotype({**self._values, **changes})

    def under(self, prefix: str) -> "Genotype":
        """Return the names that start with `prefix` and a dot, without that prefix: the inverse of `prefixed`."""
        start = prefix.rstrip(".") + "."
        return Genotype.trusted({n[len(start) :]: v for n, v in self._values.items() if n.startswith(start)})

    def prefixed(self, prefix: str) -> "Genotype":
        """Return the same values with `prefix` and a dot before every name, as `Space.prefixed` does."""
        start = prefix.rstrip(".") + "."
        return Genotype.trusted({start + name: value for name, value in self._values.items()})

    def __or__(self, other: "Genotype") -> "Genotype":
        if clash := sorted(self._values.keys() & other._values.keys()):
            raise SpaceError("joined genotypes must not share a name", ", ".join(clash))
        return Genotype.trusted({**self._values, **other._values})

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, Genotype) else NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            object.__setattr__(self, "_hash", hash(frozenset(self._values.items())))
        assert self._hash is not None
        return self._hash

    def __repr__(self) -> str:
        return f"Genotype({self._values!r})"

    def __setattr__(self, name: str, *value: object) -> NoReturn:
        raise AttributeError("a genotype is frozen; use replace()")

    __delattr__ = __setattr__

    def __reduce__(self) -> tuple[type["Genotype"], tuple[dict[str, Value]]]:
        return Genotype, (self._values,)
