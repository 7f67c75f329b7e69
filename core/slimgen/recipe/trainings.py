"""The sections of a recipe that say how something is trained: schedules, and the losses."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from slimgen.recipe.validating import Section

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
"""How fast Adam's two averages forget."""
BATCH = 1 << 16
"""At the most: what is larger is a mistake, and would be noticed late, by a machine that stands still."""
GanLoss = Literal["hinge", "least-squares", "vanilla"]


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
