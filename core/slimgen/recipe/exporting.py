"""Recipe section of the exported files."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from slimgen.errors import RecipeError
from slimgen.recipe.names import require_name
from slimgen.recipe.sections import LONGEST
from slimgen.recipe.trainings import BATCH
from slimgen.recipe.validating import Section, Words, shown

VARIANTS: tuple[Literal["fp32"], Literal["fp16"], Literal["int8"]] = ("fp32", "fp16", "int8")
"""Number formats of exported files, the one from which the others are made first."""


class ExportSection(Section):
    """ONNX files of the found generator."""

    opset: int = Field(default=20, ge=18, le=99, description="Version of the ONNX operator set.")
    dynamic: bool = Field(
        default=True,
        description="Let height and width of the ONNX model's input vary where the network allows it. False fixes both "
        "to `size`.",
    )
    parity: float = Field(
        default=1e-3,
        gt=0,
        description="Largest absolute difference allowed between outputs of the ONNX model in float32 and of the "
        "PyTorch network, on images in [-1, 1]; one 8-bit level is 0.0078.",
    )
    model: str | None = Field(
        default=None, description="Name of the exported model, as registered in MLflow. None: the recipe's name."
    )
    variants: Annotated[tuple[Literal["fp32", "fp16", "int8"], ...], Words] = Field(
        default=VARIANTS,
        description="Number formats to export: `fp32` (always), `fp16` (half the size; for devices that compute in "
        "half precision), `int8` (a quarter of the size; static quantization). Each is measured on the test images.",
    )
    calibration: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Number of training images, chosen by the seed, from which `int8` takes its value ranges.",
    )
    int8: Literal["fast", "all"] = Field(
        default="fast",
        description="Convolutions that compute with integers in `int8`. `fast`: those that are faster so on a CPU, "
        "while most others only store their weights so. `all`: every one, for accelerators that know integers alone.",
    )
    tolerance: dict[str, float] = Field(
        default_factory=dict,
        description="Change of quality by metric that a recommended variant may have, such as `{psnr: -0.1}`. Of the "
        "variants within it, the fastest is recommended. Empty: a PSNR of 0.1 dB less, or, where PSNR is not measured, "
        "1 % of the first metric.",
    )
    deploy: Literal["fp32", "int8"] = Field(
        default="fp32",
        description="Number format in which generators are timed, for `budget.latency_ms` as well as in the table of "
        "`evaluate`; int8 as by `int8: fast`. It changes which of them is faster.",
    )
    static: tuple[tuple[int, int, int], ...] = Field(
        default=(),
        description="Shapes `[batch, height, width]` for each of which a file of that shape alone is written, beside "
        "the one whose axes vary. Phones' accelerators need one.",
    )
    bytes: bool = Field(
        default=False,
        description="Also write each variant with pictures of 8 bits, channels last, as input and output; label maps "
        "are ids.",
    )
    edge: bool = Field(
        default=False,
        description="Also write a file of one shape for phones, with operations that their accelerators take, for each "
        "of `static`, or for one image of `size`.",
    )

    @field_validator("model")
    @classmethod
    def plain(cls, value: str | None) -> str | None:
        """Require a name that a registered model may have."""
        return None if value is None else require_name(value)

    @field_validator("variants")
    @classmethod
    def ordered(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Put the formats in their order, with fp32, from which the others are made, first."""
        return tuple(name for name in VARIANTS if name == VARIANTS[0] or name in value)

    @field_validator("tolerance", mode="before")
    @classmethod
    def by_metric(cls, value: object) -> object:
        """Refuse a single number, which meant another limit once."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            hint = f"for the largest difference from the PyTorch network, write parity: {value:g}"
            raise RecipeError("must be changes of quality by metric, such as {psnr: -0.1}", shown(value), hint)
        return value

    @field_validator("static")
    @classmethod
    def possible(cls, value: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, int, int], ...]:
        """Require a batch and sides that an image can have, each shape once."""
        for shape in value:
            if not (1 <= shape[0] <= BATCH and all(1 <= side <= LONGEST for side in shape[1:])):
                rule = f"must hold shapes [batch, height, width], a batch of 1 to {BATCH}, sides of 1 to {LONGEST} px"
                raise RecipeError(rule, shown(list(shape)))
        return tuple(dict.fromkeys(value))
