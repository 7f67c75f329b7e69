"""The sections of a recipe that every method shares, but those of its trainings."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from slimgen.errors import RecipeError
from slimgen.recipe.names import require_name
from slimgen.recipe.validating import Section, shown
from slimgen.size import Fit, Size

LONGEST = 1 << 14


def _of_eight(size: Size) -> Size:
    if not 8 <= min(size) <= max(size) <= LONGEST:
        raise ValueError(f"a side is at least 8 pixels, and at most {LONGEST:,}")
    return size


Convention = Literal["exact", "torchprofile", "gan-compression"]
Level = Annotated[int, Field(ge=0, le=255)]
THREADS = 1024
"""At the most: what is larger is a mistake, and would be noticed late, by a machine that stands still."""
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_SHARE = re.compile(rf"(?P<above>{_NUMBER})(?:(?P<percent>%)|/(?P<below>{_NUMBER}))?")
Sides = Annotated[Size, AfterValidator(_of_eight)]


class DataSection(Section):
    """Which images, and how they are cut. `load` and `size` are pixels: resized to the one, cropped to the other.

    Pictures of another aspect than the size are squashed to it, cropped in their middle, or padded with their edges, as
    `fit` says. Where it is not given they are rejected; those to be made of noise are cropped.

    So many images are held out of those to train on: for `validation`, and as a `test` set where a data set has none;
    of two sets, of each. Of those, test images of the same name are partners that evaluation compares with; not so
    with `partners: false`.

    Label maps hold ids below `classes`, or, in RGB, the colours of a `palette`; with `unknown`, other pixels are of one
    more class. With `instances`, there are maps of them too, whose edges are one more channel.

    Pictures of more than 8 bits are brought to 8: the two values of `range` become black and white (of one value, 0 and
    it), or else 0 and the largest value of their side of the set. Values outside are cut off.

    Pictures that are shown to a generator that enlarges, `scale` times, are made so much smaller first.

    Of an `embedded` set, the pictures are drawn where no others are given.
    """

    embedded: Literal["townhouses"] | None = None
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    load: Sides | None = None
    fit: Fit | None = None
    validation: int = Field(default=32, ge=1)
    test: int | None = Field(default=None, ge=1)
    flip: bool = True
    partners: bool = True
    classes: int | None = Field(default=None, ge=1, le=255)
    unknown: bool = False
    instances: bool = False
    scale: int = Field(default=1, ge=1, le=64)
    palette: tuple[tuple[Level, Level, Level], ...] | None = None
    licence: str = "unknown; ask whoever made the images"
    range: tuple[float, float] | None = None

    @field_validator("range", mode="before")
    @classmethod
    def from_black_to_white(cls, value: object) -> object:
        """One value is that of white."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (0, value)
        return tuple(value) if isinstance(value, list) else value  # what a validator returns is held to the very type

    @field_validator("range")
    @classmethod
    def rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        """White is above black."""
        if value is not None and not value[0] < value[1]:
            raise ValueError("the value that becomes black and a larger one that becomes white, such as [0, 4095]")
        return value


class BudgetSection(Section):
    """The budget. A number, or a share of the original's as text: `macs: 1/8`. Latency in milliseconds.

    Where two generators are found, one for each direction, the limits are of each of them.
    """

    macs: int | str | None = None
    params: int | str | None = None
    bytes: int | str | None = None
    latency_ms: float | None = Field(default=None, gt=0)
    convention: Convention = "exact"

    @field_validator("macs", "params", "bytes", mode="before")
    @classmethod
    def positive(cls, value: object) -> object:
        """A positive number or a share such as 1/8."""
        if isinstance(value, float) and value.is_integer():  # as JSON may have it
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            return value
        if isinstance(value, str) and share(value) is not None:
            return value
        hint = None
        if isinstance(value, float) and 0 < value < 1:
            part = Fraction(value).limit_denominator(64)
            hint = f"write {100 * value:.6g}%" if abs(part - value) > 1e-9 else f"write {part} or {100 * value:.6g}%"
        elif isinstance(value, str) and value.replace("_", "").isdecimal():
            hint = "write the number with digits alone, and without quotes"
        raise RecipeError("must be a positive whole number, or a share of the original such as 1/8", shown(value), hint)

    def resolve(self, original: Mapping[str, float]) -> dict[str, float]:
        """The limits as numbers, shares taken of the original's costs (`macs`, `params`, `bytes`)."""
        limits: dict[str, float] = {}
        for name in ("macs", "params", "bytes"):
            value = getattr(self, name)
            if value is not None:
                part = share(value) if isinstance(value, str) else None
                limits[name] = float(value) if part is None else part * original[name]
        if self.latency_ms is not None:
            limits["latency_ms"] = self.latency_ms
        return limits


def share(text: str) -> float | None:
    """The number that a text such as `1/8` or `12.5%` stands for, or None."""
    found = _SHARE.fullmatch(text)
    if found is None:
        return None
    below = 100.0 if found["percent"] else float(found["below"] or 1)
    value = float(found["above"]) / below if below else 0.0
    return value if 0 < value <= 1 else None


class ObjectiveSection(Section):
    """What the search improves on the validation images."""

    metric: str = "psnr"
    images: int | None = Field(default=None, ge=1)


class ComputeSection(Section):
    """Where to compute; `auto` takes a GPU if there is one, and bf16 where the processor has it.

    A training is saved every `checkpoint_seconds`, less often where saving itself takes long.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int | None = Field(default=None, ge=1, le=THREADS)
    checkpoint_seconds: float = Field(default=15.0, gt=0)


class EvaluateSection(Section):
    """What is measured of the finished generators, on the test images.

    From noise to images, `images` are made, as many as there are real ones if not given, and the real ones are those
    of `against`: all that were to train on, as is the custom on CIFAR-10, or the test images.
    Latencies are medians of `latency_runs` calls of each generator, two at the least, in onnxruntime and in PyTorch.
    """

    metrics: tuple[str, ...] = ("psnr", "ssim")
    images: int | None = Field(default=None, ge=1)
    against: Literal["train", "test"] = "train"
    features: dict[str, dict[str, Any]] = Field(default_factory=dict)
    latency_runs: int = Field(default=20, ge=1, le=100_000)
    threads: int = Field(default=1, ge=1, le=THREADS)
    pictures: int = Field(default=6, ge=1, le=100)

    @model_validator(mode="after")
    def shown(self) -> Self:
        """No more pictures are shown than there are images."""
        if self.images is not None and "pictures" in self.model_fields_set and self.pictures > self.images:
            raise ValueError(f"'pictures' are among the {self.images} 'images': ask for no more, or leave them out")
        return self


class ExportSection(Section):
    """The ONNX file."""

    opset: int = Field(default=20, ge=18, le=99)
    dynamic: bool = True
    tolerance: float = Field(default=1e-3, gt=0)
    model: str | None = None

    @field_validator("model")
    @classmethod
    def plain(cls, value: str | None) -> str | None:
        """A name that may be that of a registered model."""
        return None if value is None else require_name(value)
