"""The two kinds of dimension: a choice among listed options, and a mask over the filters of a layer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb

from slimgen.search.genotype import SpaceError, Value, is_value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several distinct options, in increasing order of size: the last makes the largest network.

    Numbers must increase; text (operators, paths) is taken in the order given.

    Raises:
        SpaceError: no option, a duplicate, numbers out of order, or a value that is neither text nor a finite number.
    """

    options: tuple[Value, ...]
    _index: dict[Value, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        options = tuple(self.options)
        if not options or not all(is_value(option) for option in options):
            raise SpaceError("a choice must list at least one option, each text or a finite number", repr(options))
        index = {option: position for position, option in enumerate(options)}
        if len(index) != len(options):
            raise SpaceError("the options of a choice must be distinct", repr(options))
        numbers = [option for option in options if not isinstance(option, str)]
        if len(numbers) == len(options) and numbers != sorted(numbers):
            raise SpaceError("the options of a choice must be in increasing order", repr(options))
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "_index", index)

    @property
    def smallest(self) -> Value:
        """The option of the smallest network."""
        return self.options[0]

    @property
    def largest(self) -> Value:
        """The option of the largest network."""
        return self.options[-1]

    @property
    def size(self) -> int:
        """The number of options."""
        return len(self.options)

    def index(self, value: Value) -> int:
        """Return the position of an option, 0 for the smallest."""
        return self._index[value]

    def declared(self, value: object) -> Value | None:
        """Return the option that equals `value`, as it was declared; None if there is none."""
        position = self._index.get(value) if is_value(value) else None
        return None if position is None else self.options[position]

    def sample(self, rng: random.Random) -> Value:
        """Draw an option uniformly."""
        return self.options[int(rng.random() * len(self.options))]

    def change(self, value: Value, rng: random.Random, weights: Sequence[float] | None = None) -> Value:
        """Draw an option other than `value`, if any: uniformly, or in proportion to `weights` unless all are 0."""
        current, count = self._index[value], len(self.options)
        if count == 1:
            return value
        if weights is not None:
            others = [0.0 if position == current else weight for position, weight in enumerate(weights)]
            if sum(others) > 0:
                return rng.choices(self.options, others)[0]
        position = int(rng.random() * (count - 1))
        return self.options[position + (position >= current)]

    def cross(self, a: Value, b: Value, rng: random.Random) -> Value:
        """Return the value of one of the parents, chosen at random."""
        return a if rng.random() < 0.5 else b

    def successor(self, value: Value) -> Value | None:
        """Return the next option in order; None after the last."""
        position = self._index[value] + 1
        return self.options[position] if position < len(self.options) else None

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"


@dataclass(frozen=True, slots=True)
class Mask:
    """A keep-or-drop bit per filter (Co-Evolutionary Compression, Eq. 9), as text of '0' and '1'.

    At least `minimum` filters stay: a mask with fewer gets ones at random positions, so no layer is ever empty.

    Raises:
        SpaceError: a length below 1, or a minimum outside 0 .. length.
    """

    length: int
    minimum: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.minimum <= self.length:
            raise SpaceError("a mask needs a length of at least 1 and a minimum between 0 and its length", repr(self))

    @property
    def smallest(self) -> Value:
        """The first `minimum` filters."""
        return "1" * self.minimum + "0" * (self.length - self.minimum)

    @property
    def largest(self) -> Value:
        """All filters."""
        return "1" * self.length

    @property
    def size(self) -> int:
        """The number of masks that keep at least `minimum` filters."""
        return sum(comb(self.length, ones) for ones in range(self.minimum, self.length + 1))

    def declared(self, value: object) -> Value | None:
        """Return `value` if it is a mask of this length with enough ones, else None."""
        if not isinstance(value, str) or len(value) != self.length or value.strip("01"):
            return None
        ones = value.count("1")
        return value if ones >= self.minimum and ones + value.count("0") == self.length else None

    def sample(self, rng: random.Random) -> Value:
        """Draw every bit with probability 1/2, then repair the mask."""
        return self._repaired(f"{rng.getrandbits(self.length):0{self.length}b}", rng)

    def change(self, value: Value, rng: random.Random, weights: Sequence[float] | None = None) -> Value:
        """Flip the bits of a random contiguous segment, then repair; always another mask if there is one."""
        bits = str(value)
        start, end = self._segment(rng)
        flipped = bits[start:end].translate({48: "1", 49: "0"})
        changed = self._repaired(bits[:start] + flipped + bits[end:], rng)
        if changed != bits or self.minimum == self.length:
            return changed
        # The repair undid the flip: flip one bit where that is certainly allowed.
        wanted = "0" if "0" in bits else "1"
        moved = rng.choice([position for position, bit in enumerate(bits) if bit == wanted])
        return bits[:moved] + ("1" if wanted == "0" else "0") + bits[moved + 1 :]

    def cross(self, a: Value, b: Value, rng: random.Random) -> Value:
        """Return one parent with a random contiguous segment of the other (two-point crossover), then repaired."""
        outer, inner = (str(a), str(b)) if rng.random() < 0.5 else (str(b), str(a))
        start, end = self._segment(rng)
        return self._repaired(outer[:start] + inner[start:end] + outer[end:], rng)

    def successor(self, value: Value) -> Value | None:
        """Return the next mask, counting in binary with the lowest bit first; None after the last."""
        number = int(str(value)[::-1], 2) + 1
        while number.bit_count() < self.minimum:
            number |= number + 1  # sets the lowest zero: the least number not below this one with one more bit
        return None if number >> self.length else f"{number:0{self.length}b}"[::-1]

    def _segment(self, rng: random.Random) -> tuple[int, int]:
        start, end = sorted(rng.sample(range(self.length + 1), 2))
        return start, end

    def _repaired(self, bits: str, rng: random.Random) -> str:
        missing = self.minimum - bits.count("1")
        if missing <= 0:
            return bits
        restored = set(rng.sample([position for position, bit in enumerate(bits) if bit == "0"], missing))
        return "".join("1" if position in restored else bit for position, bit in enumerate(bits))

    def __str__(self) -> str:
        return f"a mask of {self.length} digits 0 or 1 with at least {self.minimum} ones"


Dimension = Choice | Mask
