"""Height and width in pixels: read in one place, and worded in one."""

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard, get_args

from slimgen.errors import SlimgenError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Fit = Literal["squash", "crop", "pad"]
"""What becomes of pictures of another aspect: squashed, their middle cut out, or their edges repeated around them."""
FITS: tuple[Fit, ...] = get_args(Fit)
_RULE = "a size is one number of pixels, of a square, or height and width: 64, [72, 96] or 72x96"
_WRITTEN = re.compile(r"(\d+)(?:\s*x\s*(\d+))?")


class Size(NamedTuple):
    """Height and width of pictures, in pixels, in this order everywhere. As text: `72 x 96`."""

    height: int
    width: int

    @classmethod
    def of(cls, value: object) -> "Size":
        """A size from what people write: `64` for a square, `[72, 96]` in YAML, `72x96` on a command line.

        Raises:
            SlimgenError: something else, or a side of no pixels.
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
        """As recipes and stored files have it: one number for a square, else a list."""
        return self.height if self.height == self.width else list(self)

    @property
    def spoken(self) -> str:
        """For pictures that came, of which nobody knows in which order their sides are said."""
        return f"{self.height} high and {self.width} wide"

    def within(self, other: "Size") -> bool:
        """Whether it can be cut out of another."""
        return self.height <= other.height and self.width <= other.width

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> "CoreSchema":
        """In a model: read by `of`, and written as `plain`, so that squares are written as they always were."""
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(lambda size: size.plain)
        return core_schema.no_info_plain_validator_function(_read, serialization=written)


def _read(value: object) -> Size:
    try:
        return Size.of(value)
    except SlimgenError as error:  # what came is said by who reads the whole
        raise ValueError(error.rule) from None


def _whole(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1


def alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two shapes (height, width) are of one aspect: their proportions differ by 2 % at most."""
    (h0, w0), (h1, w1) = one, other
    return abs(h0 * w1 - h1 * w0) <= 0.02 * h0 * w1
