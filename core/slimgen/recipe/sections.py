"""Recipe sections that all methods share, without those for trainings."""

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
from slimgen.recipe.validating import Section, Words, shown
from slimgen.size import Fit, Size

LONGEST = 1 << 14


def _of_eight(size: Size) -> Size:
    if not 8 <= min(size) <= max(size) <= LONGEST:
        raise ValueError(f"each side must have 8 to {LONGEST:,} pixels")
    return size


Convention = Literal["exact", "torchprofile", "gan-compression", "thop"]
Level = Annotated[int, Field(ge=0, le=255)]
THREADS = 1024
"""Most threads. A larger number is a mistake, which would otherwise show late, as a machine that hangs."""
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_SHARE = re.compile(rf"(?P<above>{_NUMBER})(?:(?P<percent>%)|/(?P<below>{_NUMBER}))?")
Sides = Annotated[Size, AfterValidator(_of_eight)]


class DataSection(Section):
    """Images of a run, and how they are read, resized and divided."""

    embedded: Literal["townhouses"] | None = Field(
        default=None,
        description="Data set that slimgen draws itself where no other images are given. None: images must be given.",
    )
    direction: Literal["AtoB", "BtoA"] = Field(
        default="AtoB", description="Side of the data set that is the input: A (`AtoB`) or B (`BtoA`)."
    )
    load: Sides | None = Field(
        default=None,
        description="Size to which training images are resized, in pixels, before random crops of `size` are taken. "
        "None: `size`, without crops.",
    )
    fit: Fit | None = Field(
        default=None,
        description="Treatment of images with another aspect ratio than `size`: `squash` resizes height and width "
        "apart, `crop` takes the largest part in the middle, `pad` repeats the edges. None rejects them; images for "
        "generators from noise, and single images, are cropped.",
    )
    validation: int = Field(
        default=32,
        ge=1,
        description="Number of training images (pairs, or images of each set) held out to compare candidates, where "
        "the data set has no validation split.",
    )
    test: int | None = Field(
        default=None,
        ge=1,
        description="Number of training images (pairs, or images of each set) held out as test images, for a data set "
        "without a test split. None: the data set must have one, except for images made from noise, where a tenth is "
        "held out.",
    )
    flip: bool = Field(default=True, description="Mirror half of the training images, or patches, at random.")
    partners: bool = Field(
        default=True,
        description="Treat test images of the same name in two unpaired sets as pairs in the evaluation. Training and "
        "search never use them.",
    )
    classes: int | None = Field(
        default=None, ge=1, le=255, description="Number of classes in label maps, whose ids are below it."
    )
    unknown: bool = Field(
        default=False,
        description="Give pixels of no class (id 255, or a colour outside `palette`) a class of their own. False "
        "rejects such label maps.",
    )
    instances: bool = Field(
        default=False,
        description="Read instance maps beside the label maps; their edges become one more input channel.",
    )
    scale: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Factor by which the generator enlarges images; its inputs are made smaller by it first: 2, 3 or 4 "
        "in the task `upscale`, any in the task `single`.",
    )
    turn: bool = Field(
        default=True, description="Turn training patches by 0 to 3 quarters at random. Only for the task `upscale`."
    )
    palette: tuple[tuple[Level, Level, Level], ...] | None = Field(
        default=None,
        description="Colour [red, green, blue] of each class in RGB label maps, 0 to 255, in the order of the ids. "
        "None: label maps hold the ids themselves.",
    )
    licence: str | None = Field(
        default=None,
        description="Licence or terms of use of the images, printed in the report and the model card. None: that of "
        "images that slimgen drew or downloaded; of others, none is printed.",
    )
    range: tuple[float, float] | None = Field(
        default=None,
        description="Values that become black and white in images of more than 8 bits, such as [0, 4095], or the white "
        "one alone; values outside are clipped. None: 0 and the largest value of that side of the data set.",
    )

    @field_validator("range", mode="before")
    @classmethod
    def from_black_to_white(cls, value: object) -> object:
        """Return both ends of a range; a single value is the white end, and black is 0."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (0, value)
        return tuple(value) if isinstance(value, list) else value  # pydantic is strict about a validator's result

    @field_validator("range")
    @classmethod
    def rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        """Require white above black."""
        if value is not None and not value[0] < value[1]:
            raise ValueError("must be the value of black and a larger one of white, such as [0, 4095]")
        return value


class BudgetSection(Section):
    """Limits on the cost of the found generator.

    Where two generators are found, one for each direction, the limits apply to each of them.
    """

    macs: int | str | None = Field(
        default=None,
        description="Limit on multiply-accumulates for one image: a number, or a share of the original's as `1/8` or "
        "`12.5%`. None: no limit.",
    )
    params: int | str | None = Field(
        default=None,
        description="Limit on parameters: a number, or a share of the original's as `1/8` or `12.5%`. None: no limit.",
    )
    bytes: int | str | None = Field(
        default=None,
        description="Limit on the size of the weights in bytes, as float32: a number, or a share of the original's as "
        "`1/8` or `12.5%`. None: no limit.",
    )
    latency_ms: float | None = Field(
        default=None,
        gt=0,
        description="Limit on the latency of one image in milliseconds, in onnxruntime on this machine with "
        "`evaluate.threads`. None: no limit.",
    )
    convention: Convention = Field(
        default="exact",
        description="Way of counting multiply-accumulates: `exact`, or as `torchprofile`, the code of "
        "`gan-compression`, or `thop` counts them.",
    )

    @field_validator("macs", "params", "bytes", mode="before")
    @classmethod
    def positive(cls, value: object) -> object:
        """Return a positive number or a share such as 1/8 unchanged, and refuse anything else."""
        if isinstance(value, float) and value.is_integer():  # JSON may hold a whole number as a float
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
            hint = "write it with digits only and without quotes"
        rule = "must be a positive whole number, or a share of the original such as 1/8 or 12%"
        raise RecipeError(rule, shown(value), hint)

    def resolve(self, original: Mapping[str, float]) -> dict[str, float]:
        """Return the limits as numbers; shares refer to the original's costs (`macs`, `params`, `bytes`)."""
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
    """Return the number that a text such as `1/8` or `12.5%` stands for, or None."""
    found = _SHARE.fullmatch(text)
    if found is None:
        return None
    below = 100.0 if found["percent"] else float(found["below"] or 1)
    value = float(found["above"]) / below if below else 0.0
    return value if 0 < value <= 1 else None


class ObjectiveSection(Section):
    """Metric that the search improves on the validation images."""

    metric: str = Field(
        default="psnr",
        description="Metric by which the search ranks candidates on the validation images, such as `psnr` or `fid`, or "
        "`package.module:NAME` of a user-defined one.",
    )
    images: int | None = Field(
        default=None, ge=1, description="Number of validation images on which a candidate is measured. None: all."
    )


class ComputeSection(Section):
    """Device, number type and threads of the computation."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device to compute on. `auto`: a GPU where there is one, else the CPU."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Number type of the convolutions. `auto`: bf16 where the hardware multiplies it, else fp32.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=THREADS,
        description="CPU threads. None: the cores that this process may use, or PyTorch's own number if it is lower.",
    )
    checkpoint_seconds: float = Field(
        default=15.0,
        gt=0,
        description="Seconds between two checkpoints of a training; more where writing one takes long.",
    )
    pictures_every: int | None = Field(
        default=None,
        ge=0,
        description="Updates between two pictures of validation images that are drawn while the original and the found "
        "generator are trained, for MLflow. 0: none. None: a tenth of the training, but at least 250 updates. No "
        "result depends on it.",
    )

    @field_validator("device", mode="before")
    @classmethod
    def known(cls, value: object) -> object:
        """Refuse other words for a GPU, and say which one is known."""
        if isinstance(value, str) and re.fullmatch(r"gpu|(cuda|gpu):?\d+", value):
            hint = "write cuda; CUDA_VISIBLE_DEVICES chooses among several"
            raise RecipeError("must be auto, cpu or cuda", shown(value), hint)
        return value


class EvaluateSection(Section):
    """Measurements of the finished generators on the test images."""

    metrics: Annotated[tuple[str, ...], Words] = Field(
        default=("psnr", "ssim"),
        description="Metrics of the evaluation, such as `psnr`, `ssim`, `lpips`, `fid`, `is10`, or "
        "`package.module:NAME` of a user-defined one. Empty: none.",
    )
    images: int | None = Field(
        default=None,
        ge=1,
        description="Number of test images to measure on; for generators from noise, of images to make. None: all test "
        "images, or as many as there are real ones.",
    )
    against: Literal["train", "test"] = Field(
        default="train",
        description="Real images that images made from noise are compared with: all training and validation images "
        "(`train`, the custom on CIFAR-10) or the test images (`test`).",
    )
    features: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Feature networks of metrics such as `fd:NAME`, each under its name with its `path` and options.",
    )
    latency_runs: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Calls of each generator, at least 2, whose median is its latency in onnxruntime and in PyTorch.",
    )
    threads: int = Field(default=1, ge=1, le=THREADS, description="CPU threads while latencies are measured.")
    tile: int = Field(
        default=512,
        ge=16,
        le=LONGEST,
        description="Side in pixels of the square tiles in which a test image passes through a generator that "
        "enlarges, if it has more pixels than a tile. Only for the task `upscale`.",
    )
    overlap: int = Field(
        default=32,
        ge=0,
        le=LONGEST,
        description="Pixels around each tile that are given with it and cut off again. With at least half of the "
        "generator's receptive field, the result is that of the whole picture. Only for the task `upscale`.",
    )
    pictures: int = Field(
        default=6, ge=1, le=100, description="Number of test images in the picture grid of the report."
    )

    @model_validator(mode="after")
    def shown(self) -> Self:
        """Require no more pictures than images."""
        if self.images is not None and "pictures" in self.model_fields_set and self.pictures > self.images:
            raise ValueError(f"'pictures' must be at most 'images', which is {self.images}")
        return self
