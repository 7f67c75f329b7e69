"""Recipe sections for trainings: schedules and losses."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from slimgen.recipe.validating import Section, Words

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
"""Decay rates of Adam's two moving averages."""
BATCH = 1 << 16
"""Largest batch size. A larger one is a mistake, which would otherwise show late, as a machine that hangs."""
Rival = Literal["narrowed", "narrowed_latency", "naive", "by_hand", "random", "random_path", "halving", "magnitude"]
GanLoss = Literal["hinge", "least-squares", "vanilla", "relativistic"]


class Schedule(Section):
    """Schedule of one training: its length and its optimizer. Exactly one of `updates` and `epochs` must be given."""

    updates: int | None = Field(
        default=None, ge=1, description="Length of the training in updates of the generator. Give this or `epochs`."
    )
    epochs: float | None = Field(
        default=None,
        gt=0,
        description="Length of the training in passes over the training images. Give this or `updates`. For images "
        "made from noise, an epoch shows every image once to the discriminator.",
    )
    batch: int = Field(
        default=1, ge=1, le=BATCH, description="Batch size: images per update of the generator, over all processes."
    )
    discriminator_batch: int | None = Field(
        default=None,
        ge=1,
        le=BATCH,
        description="Real images, and as many generated ones, per step of the discriminator, for images made from "
        "noise. None: `batch`.",
    )
    discriminator_steps: int = Field(
        default=1,
        ge=1,
        description="Discriminator steps for each generator update, for images made from noise; each step takes new "
        "images and new noise.",
    )
    rate: float = Field(
        default=2e-4,
        gt=0,
        description="Learning rate of Adam. It is constant at first, then falls linearly to 0; see `decay`.",
    )
    discriminator_rate: float | None = Field(
        default=None, gt=0, description="Learning rate of the discriminator. None: `rate`."
    )
    betas: Betas = Field(
        default=(0.5, 0.999), description="Adam's beta_1 and beta_2: decay rates of its two moving averages."
    )
    decay: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Last share of the training, from 0 to 1, over which the learning rate falls linearly to 0. "
        "0 keeps it constant.",
    )

    @model_validator(mode="after")
    def one_length(self) -> Self:
        """Require exactly one of updates and epochs."""
        if (self.updates is None) == (self.epochs is None):
            raise ValueError("exactly one of 'updates' and 'epochs' must be given")
        return self

    def steps(self, images: int) -> int:
        """Return the number of updates for a number of training images."""
        if self.updates is not None:
            return self.updates
        return max(1, round((self.epochs or 0) * images / (self.shown * self.discriminator_steps)))

    @property
    def shown(self) -> int:
        """Real images in a discriminator step; it sees as many generated ones."""
        return self.discriminator_batch or self.batch


class LossesSection(Section):
    """Adversarial loss and the weights of all losses: CF-GAN, Eq. 4, without its sparsity term.

    The original of two unpaired sets has no target to reconstruct. It is trained with CycleGAN's `cycle` and `identity`
    losses in place of `recon`.
    """

    gan: GanLoss = Field(
        default="hinge",
        description="Adversarial loss: `hinge`, `least-squares` (LSGAN), `vanilla` (cross-entropy) or `relativistic`, "
        "which compares each image with the mean of the other kind (ESRGAN, Eq. 1 and 2).",
    )
    adversarial: float = Field(default=1.0, ge=0, description="Weight of the adversarial loss. 0 switches it off.")
    recon: float = Field(
        default=10.0,
        ge=0,
        description="Weight of the L1 distance between an output and its target. Without pairs, the original's output "
        "for the same input is the target.",
    )
    cycle: float = Field(
        default=10.0,
        ge=0,
        description="Weight of CycleGAN's cycle loss: L1 distance between an image and its translation there and back. "
        "Only for two sets trained in both directions.",
    )
    identity: float = Field(
        default=0.5,
        ge=0,
        description="Weight of CycleGAN's identity loss, as a share of `cycle`: a generator should leave an image of "
        "its target set unchanged. 0 switches it off.",
    )
    feature: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the distance between discriminator features of generated and of real images (feature "
        "matching). Only for the task `labels`.",
    )
    perceptual: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the perceptual loss: distance between features of outputs and of targets in "
        "`perceptual_network` (lambda_per in CF-GAN). 0 switches it off.",
    )
    perceptual_network: str = Field(
        default="discriminator",
        description="Feature network of the perceptual loss: `discriminator` (the original's), `vgg16` (features "
        "before its first four poolings), `vgg19` (the last convolution's features, as in SRGAN), or the path of a "
        "TorchScript file.",
    )
    before_activation: bool = Field(
        default=False,
        description="Compare the features of `vgg16` or `vgg19` before their activation, as ESRGAN does.",
    )

    @model_validator(mode="after")
    def something_to_learn(self) -> Self:
        """Require one loss with a weight: without any, a generator would keep its initial weights."""
        if not (self.adversarial or self.recon or self.feature or self.perceptual):
            raise ValueError("at least one of 'adversarial', 'recon', 'feature' and 'perceptual' must be above 0")
        return self

    @model_validator(mode="after")
    def known_activations(self) -> Self:
        """Require a VGG network for features before the activation: of others, the place is not known."""
        if self.before_activation and self.perceptual_network not in ("vgg16", "vgg19"):
            raise ValueError("'before_activation' needs the 'perceptual_network' vgg16 or vgg19: set one")
        return self


class TeachSection(Schedule):
    """Original GAN: its networks, and how they are trained or from which checkpoints they are imported.

    With `patience`, the training stops early (Prechelt 1998): the original is measured on the validation images every
    `check_every` updates. After `patience` checks without a better value the learning rate begins to fall, over the
    share `decay` of the training; after as many more the training ends. The best weights are kept, and `updates` or
    `epochs` is the upper limit.
    """

    generator: dict[str, Any] = Field(
        default_factory=lambda: {"family": "resnet", "ngf": 64, "blocks": 9},
        description="Network of the original generator: its `family`, or `package.module:Class` of a user-defined "
        "network, and its options.",
    )
    discriminator: dict[str, Any] = Field(
        default_factory=lambda: {"family": "patchgan", "ndf": 64, "layers": 3},
        description="Network of the original discriminator: its `family`, or `package.module:Class`, and its options.",
    )
    generator_checkpoint: str | None = Field(
        default=None, description="File with trained weights of the generator to import. None: the original is trained."
    )
    discriminator_checkpoint: str | None = Field(
        default=None, description="File with trained weights of the discriminator to import."
    )
    reverse_generator_checkpoint: str | None = Field(
        default=None,
        description="File with weights of the generator of the reverse direction, from targets to inputs. Only for two "
        "sets, and only with `generator_checkpoint`.",
    )
    reverse_discriminator_checkpoint: str | None = Field(
        default=None,
        description="File with weights of the discriminator of the reverse direction. Only for two sets, and only with "
        "`generator_checkpoint`.",
    )
    generator_key: str | None = Field(
        default=None,
        description="Part of `generator_checkpoint` to import, such as `params_ema` or `netG_A`, where the file holds "
        "several networks that fit. None: the only one that fits.",
    )
    discriminator_key: str | None = Field(
        default=None, description="Part of `discriminator_checkpoint` to import, as `generator_key`."
    )
    reverse_generator_key: str | None = Field(
        default=None, description="Part of `reverse_generator_checkpoint` to import, as `generator_key`."
    )
    reverse_discriminator_key: str | None = Field(
        default=None, description="Part of `reverse_discriminator_checkpoint` to import, as `generator_key`."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the generator's weights, such as 0.999; the original is then the "
        "average. None: no average.",
    )
    losses: LossesSection | None = Field(
        default=None, description="Losses for training the original only, in place of the section `losses`."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Early stopping: checks without a better value before the learning rate falls, and as many again "
        "before the training ends; the best weights are kept. None: the whole length is trained.",
    )
    check_every: int | None = Field(
        default=None, ge=1, description="Updates between two checks of early stopping. Only with `patience`."
    )
    metric: str | None = Field(
        default=None,
        description="Metric of early stopping, measured on the validation images. None: `objective.metric`.",
    )

    @model_validator(mode="after")
    def stops_early(self) -> Self:
        """Require all options of early stopping together, and a training to stop."""
        if (self.patience is None) != (self.check_every is None):
            raise ValueError("'patience' and 'check_every' must be given together: set both or neither")
        if self.metric is not None and self.patience is None:
            raise ValueError("'metric' needs 'patience', whose checks it measures: set 'patience' or leave both out")
        if self.check_every is not None and self.generator_checkpoint is not None:
            raise ValueError("'patience' needs a training, but the original is imported: leave it out")
        if self.check_every is not None and self.updates is not None and self.check_every >= self.updates:
            raise ValueError(f"'check_every' must be below 'updates', which is {self.updates}")
        return self

    @model_validator(mode="after")
    def learns_if_trained(self) -> Self:
        """Refuse losses for an imported original, which is not trained."""
        if self.losses is not None and self.generator_checkpoint is not None:
            raise ValueError("'losses' needs a training, but the original is imported: leave it out")
        return self

    @model_validator(mode="after")
    def keys_of_files(self) -> Self:
        """Require a checkpoint for each key."""
        for part in ("generator", "discriminator", "reverse_generator", "reverse_discriminator"):
            if getattr(self, f"{part}_key") is not None and getattr(self, f"{part}_checkpoint") is None:
                raise ValueError(f"'{part}_key' names a part of '{part}_checkpoint', which is missing")
        return self

    @model_validator(mode="after")
    def both_imported(self) -> Self:
        """Require the forward checkpoint beside reverse ones, since both directions are trained together."""
        reverse = self.reverse_generator_checkpoint or self.reverse_discriminator_checkpoint
        if self.generator_checkpoint is None and reverse:
            raise ValueError("reverse_ checkpoints need 'generator_checkpoint', which is missing")
        return self


class FinetuneSection(Schedule):
    """Training of the found generator, and of the `rivals` that it is compared with at equal cost and effort.

    Rivals: `narrowed` is the original's family with fewer channels, at the found generator's MACs; `narrowed_latency`
    likewise, at its milliseconds in onnxruntime with `evaluate.threads`. `naive`, for two sets, is `narrowed` trained
    as half of a CycleGAN, without the original's outputs as targets. `by_hand` is SN-GAN's generator for AlphaGAN, and
    CycleGAN's own operations in the cells for CycleGANAS.
    `random` stands for random genotypes of the searched space within the budget, `random_path` for random genotypes
    within the found path, and `halving` for the best of random genotypes trained alone by successive halving.
    `magnitude`, for pruning, is the original without its weakest filters, at the found generator's MACs.
    """

    updates: int | None = Field(
        default=None,
        ge=0,
        description="Length of the training in updates of the generator. Give this or `epochs`. 0 keeps the found "
        "generator as it is in the supernet, where the method allows it.",
    )
    inherit: bool = Field(
        default=True,
        description="Start from the supernet's weights (true), or train from new random weights (false).",
    )
    discriminator: Literal["teacher", "supernet", "fresh"] | None = Field(
        default=None,
        description="Discriminator to start from: the `supernet`'s, the `teacher`'s (the original's), or a `fresh` "
        "one. None: the supernet's where weights are inherited, else the one that the supernet's training started "
        "from.",
    )
    generator_steps: int = Field(
        default=1, ge=1, description="Generator updates for each discriminator update (k in CF-GAN, Algorithm 4)."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the generator's weights, such as 0.999; the result is then the "
        "average. None: no average.",
    )
    rivals: Annotated[
        tuple[
            Literal[
                "narrowed",
                "narrowed_latency",
                "naive",
                "by_hand",
                "random",
                "random_path",
                "halving",
                "magnitude",
                "greedy",
            ],
            ...,
        ],
        Words,
    ] = Field(
        default=(),
        description="Generators of equal cost and training effort to compare with: `narrowed`, `narrowed_latency`, "
        "`naive`, `by_hand`, `random`, `random_path`, `halving`, `magnitude`, `greedy`; docs/glossary.md defines "
        "them. Empty: none.",
    )
    random: int = Field(
        default=3,
        ge=1,
        description="Number of random architectures, for each of the rivals `random` and `random_path`.",
    )
    repeats: int = Field(
        default=1,
        ge=1,
        description="Number of trainings of the found generator, and of each rival, from different seeds; the best of "
        "each by `objective`, on the validation images, is kept. For AlphaGAN alone.",
    )
