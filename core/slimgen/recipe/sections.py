"""The sections of a recipe that every method shares."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
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
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
"""How fast Adam's two averages forget."""
THREADS, BATCH = 1024, 1 << 16
"""At the most: what is larger is a mistake, and would be noticed late, by a machine that stands still."""
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_SHARE = re.compile(rf"(?P<above>{_NUMBER})(?:(?P<percent>%)|/(?P<below>{_NUMBER}))?")
Sides = Annotated[Size, AfterValidator(_of_eight)]
GanLoss = Literal["hinge", "least-squares", "vanilla"]


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
        return (0, value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("range")
    @classmethod
    def rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        """White is above black."""
        if value is not None and not value[0] < value[1]:
            raise ValueError("the value that becomes black and a larger one that becomes white, such as [0, 4095]")
        return value

    @model_serializer(mode="wrap")
    def without_range(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Left out where it is not given, so that what was prepared before there was a range is not prepared anew."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name != "range" or value is not None}


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


class Schedule(Section):
    """One training: how long, with which optimizer. Exactly one of `updates` and `epochs` is given.

    The rate is constant, then falls linearly to zero over the last `decay` of the training. Updates are the
    generator's. From noise to images, the discriminator takes `discriminator_steps` for each of them, with
    `discriminator_batch` new images each time, as many as `batch` if not given; an epoch shows it every image once.
    """

    updates: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    batch: int = Field(default=1, ge=1, le=BATCH)
    discriminator_batch: int | None = Field(default=None, ge=1, le=BATCH)
    discriminator_steps: int = Field(default=1, ge=1)
    rate: float = Field(default=2e-4, gt=0)
    discriminator_rate: float | None = Field(default=None, gt=0)
    betas: Betas = (0.5, 0.999)
    decay: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def one_length(self) -> Self:
        """Updates or epochs, not both."""
        if (self.updates is None) == (self.epochs is None):
            raise ValueError("exactly one of 'updates' and 'epochs' must be given")
        return self

    def steps(self, images: int) -> int:
        """The number of updates, given the number of training images."""
        if self.updates is not None:
            return self.updates
        return max(1, round((self.epochs or 0) * images / (self.shown * self.discriminator_steps)))

    @property
    def shown(self) -> int:
        """Images that a step of the discriminator is shown, real ones and as many generated."""
        return self.discriminator_batch or self.batch


class LossesSection(Section):
    """The total of CF-GAN, Eq. 4, without its sparsity term: which adversarial loss, and the weights.

    An original of two sets has no truth to reconstruct: instead of `recon`, it is trained with CycleGAN's `cycle`, and
    with `identity`, a share of that weight. `feature` is of the task labels: it matches what the discriminator sees.
    """

    gan: GanLoss = "hinge"
    adversarial: float = Field(default=1.0, ge=0)
    recon: float = Field(default=10.0, ge=0)
    cycle: float = Field(default=10.0, ge=0)
    identity: float = Field(default=0.5, ge=0)
    feature: float = Field(default=0.0, ge=0)
    perceptual: float = Field(default=0.0, ge=0)
    perceptual_network: str = "discriminator"

    @model_validator(mode="after")
    def something_to_learn(self) -> Self:
        """A generator without any loss would stay as it is drawn."""
        if not (self.adversarial or self.recon or self.feature or self.perceptual):
            raise ValueError("a generator learns of at least one loss, but all weights are 0")
        return self


class TeachSection(Schedule):
    """The original GAN: trained here, or imported from checkpoints.

    It learns of the recipe's losses, or of `losses` of its own. The `reverse_` checkpoints are of the reverse
    direction, which two sets have as well. Where a file holds several networks that fit, a `_key` says which part of it
    is meant: `params_ema`, `netG_A`.

    With `patience` it is trained until it stops improving: it is measured on the validation images, by a `metric` or
    else by the recipe's objective, `check_every` so many updates; where the best value is not improved in `patience`
    checks, the rate begins to fall, over `decay` of the whole as ever, and where it is not in as many since, the
    training ends. The best weights are kept, and the length that is given is the most there will be.
    """

    generator: dict[str, Any] = Field(default_factory=lambda: {"family": "resnet", "ngf": 64, "blocks": 9})
    discriminator: dict[str, Any] = Field(default_factory=lambda: {"family": "patchgan", "ndf": 64, "layers": 3})
    generator_checkpoint: str | None = None
    discriminator_checkpoint: str | None = None
    reverse_generator_checkpoint: str | None = None
    reverse_discriminator_checkpoint: str | None = None
    generator_key: str | None = None
    discriminator_key: str | None = None
    reverse_generator_key: str | None = None
    reverse_discriminator_key: str | None = None
    ema: float | None = Field(default=None, gt=0, lt=1)
    losses: LossesSection | None = None
    patience: int | None = Field(default=None, ge=1)
    check_every: int | None = Field(default=None, ge=1)
    metric: str | None = None

    @model_validator(mode="after")
    def stops_early(self) -> Self:
        """A number of checks, how far they are apart, and a training that they may end."""
        if (self.patience is None) != (self.check_every is None):
            raise ValueError("'patience' counts checks, which are 'check_every' updates apart: give both or neither")
        if self.metric is not None and self.patience is None:
            raise ValueError("'metric' says what 'patience' measures by, which is missing: give both or leave it out")
        if self.check_every is not None and self.generator_checkpoint is not None:
            raise ValueError("'patience' ends a training early, but an imported original is not trained: leave it out")
        if self.check_every is not None and self.updates is not None and self.check_every >= self.updates:
            raise ValueError(
                f"'check_every' is below the {self.updates} updates, or there is nothing to choose between"
            )
        return self

    @model_validator(mode="after")
    def learns_if_trained(self) -> Self:
        """An imported original learns of no losses."""
        if self.losses is not None and self.generator_checkpoint is not None:
            raise ValueError("an original that is imported learns of no 'losses': leave them out")
        return self

    @model_validator(mode="after")
    def keys_of_files(self) -> Self:
        """A key says what of a file is imported."""
        for part in ("generator", "discriminator", "reverse_generator", "reverse_discriminator"):
            if getattr(self, f"{part}_key") is not None and getattr(self, f"{part}_checkpoint") is None:
                raise ValueError(f"'{part}_key' names a part of '{part}_checkpoint', which is missing")
        return self

    @model_validator(mode="after")
    def both_imported(self) -> Self:
        """Where this direction is trained, so is the other, together with it."""
        reverse = self.reverse_generator_checkpoint or self.reverse_discriminator_checkpoint
        if self.generator_checkpoint is None and reverse:
            raise ValueError("reverse_ checkpoints are imported beside generator_checkpoint, which is missing")
        return self


class FinetuneSection(Schedule):
    """Training of the found generator, and of the `rivals` that it is compared with, to equal cost and effort.

    A rival is `narrowed`, of the original's family with fewer channels, to equal MACs, or `narrowed_latency`, to equal
    milliseconds in onnxruntime with `evaluate.threads`; of two sets, `naive`, the same network trained without the
    original's answers, as a half of a whole CycleGAN; `by_hand`, SN-GAN's generator of AlphaGAN; one of
    `random` genotypes of the searched space within the budget; `random_path`, the same within the path that was found;
    or `halving`, the best of random genotypes that are trained alone and successively halved.
    Its discriminator is the `supernet`'s, trained on; the `teacher`'s, which is the original's; or a `fresh` one. Not
    given, it is the supernet's where weights are inherited, else what the supernet's training began with.
    With `updates: 0` the found generator stays as the supernet has it, where the method can do without.
    """

    updates: int | None = Field(default=None, ge=0)
    inherit: bool = True
    discriminator: Literal["teacher", "supernet", "fresh"] | None = None
    generator_steps: int = Field(default=1, ge=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    rivals: tuple[
        Literal["narrowed", "narrowed_latency", "naive", "by_hand", "random", "random_path", "halving"], ...
    ] = ()
    random: int = Field(default=3, ge=1)


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
