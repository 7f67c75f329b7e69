"""Height and width in pixels: the one place that reads and prints them."""

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard, get_args

from slimgen.errors import SlimgenError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Fit = Literal["squash", "crop", "pad"]
"""Treatment of pictures with another aspect ratio: resized apart, the middle cut out, or the edges repeated."""
FITS: tuple[Fit, ...] = get_args(Fit)
_RULE = "a size must be in pixels, one number for a square or height and width, such as 64, [72, 96] or 72x96"
_WRITTEN = re.compile(r"(\d+)(?:\s*x\s*(\d+))?")


class Size(NamedTuple):
    """Height and width of pictures in pixels, always in this order. Printed as `72 x 96`."""

    height: int
    width: int

    @classmethod
    def of(cls, value: object) -> "Size":
        """Read a size: `64` for a square, `[72, 96]` in YAML, `72x96` on a command line.

        Raises:
            SlimgenError: any other value, or a side below 1.
        """
        if isinstance(value, str) and (written := _WRITTEN.fullmatch(value.strip())):
            value = [int(number) for number in written.groups() if number is not None]
        parts = list(value) if isinstance(value, list | tuple) else [value]
        sides = [int(part) for part in parts if _whole(part)]
        if len(sides) != len(parts) or len(sides) not in (1, 2) or min(sides) < 1:
            raise SlimgenError(_RULE, repr(value))
        return cls(sides[0], sides[-1])

    @property
    def plain(self) -> int | list[int]:
        """Size as in recipes and stored files: one number for a square, else a list."""
        return self.height if self.height == self.width else list(self)

    @property
    def spoken(self) -> str:
        """Text for messages about a user's pictures, which makes the order of the sides explicit."""
        return f"{self.height} high and {self.width} wide"

    def within(self, other: "Size") -> bool:
        """Return whether a picture of this size can be cut out of one of the other size."""
        return self.height <= other.height and self.width <= other.width

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> "CoreSchema":
        """Return the pydantic schema: values are read by `of` and written as `plain`."""
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(lambda size: size.plain)
        return core_schema.no_info_plain_validator_function(_read, serialization=written)


def _read(value: object) -> Size:
    try:
        return Size.of(value)
    except SlimgenError as error:  # the section's validator adds the value
        raise ValueError(error.rule) from None


def _whole(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1


def alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two shapes (height, width) have the same aspect ratio, up to 2 %."""
    (h0, w0), (h1, w1) = one, other
    return abs(h0 * w1 - h1 * w0) <= 0.02 * h0 * w1
