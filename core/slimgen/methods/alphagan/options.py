"""AlphaGAN's sections of a recipe, and what they mean for the stages."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.methods.checks import (
    HALVING,
    idle,
    priced,
)
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.keys import LatencyNetworks, Proposed
from slimgen.methods.method import Preview
from slimgen.methods.tuning import OF_NOISE
from slimgen.nets import noise_length
from slimgen.nets.alphagan.description import PUBLISHED, AlphaOptions, alphagan_space, checked
from slimgen.nets.options import Width
from slimgen.recipe import Channels, Recipe, Section, section
from slimgen.recipe.trainings import Betas
from slimgen.search import Genotype, Value

GUMBEL = ("gumbel", "straight-through", "sampled")  # relaxations that draw noise and have a temperature


class SupernetOptions(Section):
    """Section `supernet` of AlphaGAN: Algorithm 1, with Algorithm 2 inside. The defaults are those of alphaGAN_(s).

    G and D are generator and discriminator. G-bar and D-bar are copies of them, each trained against the other's
    original; the duality gap that the search minimises is measured with these copies.
    """

    iterations: int = Field(
        default=100,
        ge=0,
        description="Iterations of the search (K). 0 skips it, for a published, random or halving architecture.",
    )
    weight_steps: int = Field(
        default=20,
        ge=1,
        description="Discriminator steps per iteration, on the training images (T); see `critic_steps` for the "
        "generator.",
    )
    critic_steps: int = Field(default=5, ge=1, description="Discriminator steps for each generator step.")
    bar_steps: int = Field(
        default=20,
        ge=1,
        description="Steps per iteration of D-bar, and then of G-bar, on the validation images (R).",
    )
    architecture_steps: int = Field(
        default=20, ge=1, description="Steps per iteration of the architecture's logits, on the validation images (S)."
    )
    batch: int = Field(
        default=64, ge=1, description="Batch size of every step: real images, and as many noise vectors."
    )
    rate: float = Field(default=2e-4, gt=0, description="Learning rate of Adam for the weights; it stays constant.")
    bar_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of Adam for the weights of the bars. None: `rate`, as in the paper. The lower, the "
        "fewer pictures D-bar moves beyond the hinge, where the logits do not learn.",
    )
    betas: Betas = Field(
        default=(0.0, 0.9),
        description="Adam's beta_1 and beta_2 for the weights: decay rates of its two moving averages.",
    )
    architecture_rate: float = Field(
        default=3e-4, gt=0, description="Learning rate of Adam for the logits; it stays constant."
    )
    architecture_betas: Betas = Field(default=(0.5, 0.999), description="Adam's beta_1 and beta_2 for the logits.")
    architecture_decay: float = Field(default=1e-3, ge=0, description="Weight decay of the logits. 0: none.")
    relaxation: Literal["softmax", "gumbel", "straight-through", "sampled"] = Field(
        default="softmax",
        description="How the supernet mixes operations by their logits: by `softmax`, as the paper does, or with "
        "Gumbel noise: `gumbel`, `straight-through` or `sampled` (supplement, .2.2; see "
        "`slimgen.nets.relaxation.Relaxation`).",
    )
    temperature: tuple[float, float] = Field(
        default=(1.0, 1.0),
        description="Temperature of a Gumbel relaxation at the first and the last step; it falls exponentially. The "
        "lower it is, the closer a mixture is to a single operation.",
    )
    spread: float = Field(default=1e-3, ge=0, description="Standard deviation of the initial logits.")
    warm_up: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the iterations, the first ones, that train only the weights (supplement, .2.3: 0.5).",
    )
    deconvolution: bool = Field(
        default=True, description="Offer transposed convolutions for upsampling (false as in Table 6)."
    )
    interpolation: Literal["plain", "learned"] = Field(
        default="plain",
        description="Upsampling by interpolation alone (`plain`), or with a 1x1 convolution before it (`learned`, "
        "Table 7).",
    )
    bar: Literal["weights", "logits", "both"] = Field(
        default="weights",
        description="Part of G-bar that is trained: `weights`, `logits` or `both` (Table 3). With a fixed "
        "discriminator, this changes only the logged gap and not the search.",
    )
    coupled: bool = Field(
        default=False,
        description="Give G-bar the generator's present architecture, so that the logits also learn through G-bar. "
        "false: G-bar keeps a copy from the start of the iteration, as in the published code.",
    )
    gap: Literal["hinge", "scores", False] = Field(
        default="hinge",
        description="The gap from which the logits learn. `hinge` (or true): the paper's, by the loss `losses.gan` "
        "(Eq. 5). Of pictures that D-bar scores below -1, that of the hinge loss has no gradient. `scores`: by the "
        "scores themselves, so that the generator's logits learn from minus the mean of D-bar's, and a searched "
        "discriminator's from the difference of D's; G-bar is trained only where something learns from it. false: as "
        "`hinge`, without G-bar and the gap's second term, from which no logit learns by default. That saves time; D's "
        "spectral norms are then estimated less often.",
    )
    discriminator: Literal["fixed", "searched"] = Field(
        default="fixed",
        description="Discriminator during the search: SN-GAN's (`fixed`), or one whose operations are `searched` too "
        "(Table 3).",
    )
    recompute: bool = Field(
        default=False,
        description="Compute mixed operations again in the backward pass instead of storing them: less memory, more "
        "time.",
    )
    channels: Width = Field(default=256, description="Channels of the generator during the search (Table 4).")
    discriminator_channels: Width = Field(default=128, description="Channels of the discriminator during the search.")
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the generator's weights, used for the pictures in `samples.png` "
        "alone. None: no average.",
    )

    @field_validator("gap", mode="before")
    @classmethod
    def named(cls, value: object) -> object:
        """Take true for the paper's gap."""
        return "hinge" if value is True else value

    @property
    def whole(self) -> bool:
        """Whether the gap's second term is computed, and G-bar trained for it."""
        return self.gap == "hinge" or (self.gap == "scores" and self._learns_from_the_second)

    @property
    def _learns_from_the_second(self) -> bool:
        return self.coupled or self.bar != "weights" or self.discriminator == "searched"

    @model_validator(mode="after")
    def sound(self) -> Self:
        """Refuse rising temperatures, and settings that have no effect because of others."""
        if "temperature" in self.model_fields_set and self.relaxation not in GUMBEL:
            raise ValueError("'temperature' needs a 'relaxation' that draws noise: gumbel, straight-through or sampled")
        if not self.temperature[0] >= self.temperature[1] > 0:
            raise ValueError("'temperature' must be above 0 and must not rise")
        if not self.gap and self._learns_from_the_second:
            raise ValueError(
                "'gap' must be hinge or scores if 'coupled', 'bar' or 'discriminator' makes something learn"
            )
        if self.iterations and self.critic_steps > self.iterations * self.weight_steps:
            raise ValueError("'critic_steps' must be at most iterations x weight_steps, or G is never trained")
        if self.coupled and self.bar != "weights":
            raise ValueError("'coupled' needs 'bar' weights: G-bar cannot both train logits and follow the generator's")
        return self


class SearchOptions(Section):
    """Section `search` of AlphaGAN: the choice of the architecture, and the size at which it is built."""

    kind: Literal["gradient", "random", "published", "halving"] = Field(
        default="gradient",
        description="`gradient` takes the most probable operations within the budget, `random` a random architecture "
        "of a given size, `published` a known one. `halving` trains random architectures by themselves and keeps the "
        "better half again and again, by the recipe's objective; it needs `supernet.iterations` 0.",
    )
    candidates: int = Field(
        default=16, ge=2, description="Number of random architectures at the start, for kind `halving`."
    )
    proposed: Proposed = 0
    genotype: str | dict[str, Value] | None = Field(
        default=None,
        description="Architecture for kind `published`: a name of Tian et al.'s, such as `alphagan_s`, or an "
        "operation for every edge.",
    )
    params: int | None = Field(
        default=None,
        ge=1,
        description="Number of parameters of random architectures. None: as many as the winner of the gradient search.",
    )
    equal_size: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Largest relative difference between a random architecture's parameters and the wanted number; "
        "0.1 is 10 %.",
    )
    random: int = Field(
        default=0,
        ge=0,
        description="Number of random architectures of about the found one's size that are trained as long, to "
        "compare with it. 0: none.",
    )
    channels: Width | None = Field(
        default=None, description="Channels of the finished generator (Table 4). None: `supernet.channels`."
    )
    repeats: int = Field(
        default=1,
        ge=1,
        description="Number of whole searches from different seeds, each with a supernet of its own; the best of the "
        "architectures found is kept (section 5.1: of three). For kind `random`, the number of random architectures of "
        "which the best is kept. Each is trained by itself from scratch, see `judged`, and measured by the recipe's "
        "objective on the validation images.",
    )
    judged: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Share of `finetune`'s updates after which the architectures of `repeats` are compared, with the "
        "same seed for all. 1 trains them to the end, as the paper does.",
    )
    discriminator: Literal["original", "found"] = Field(
        default="original",
        description="Discriminator for training the finished generator: one like the `original`'s, or the `found` one "
        "where it was searched too.",
    )
    latency_networks: LatencyNetworks = 16

    def imported(self) -> Genotype:
        """Return the published architecture.

        Raises:
            RecipeError: an unknown name.
            SpaceError: edges or operations that the space does not have.
        """
        if not isinstance(self.genotype, str):
            return checked(self.genotype or {})
        if self.genotype not in PUBLISHED:
            hint = nearest(self.genotype, PUBLISHED)
            raise RecipeError("search.genotype must name a published architecture", repr(self.genotype), hint)
        return PUBLISHED[self.genotype]


def built(recipe: Recipe) -> dict[str, Any]:
    """Return the options of finished generators besides their genotype."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    channels = section(SearchOptions, recipe.search, "search").channels or training.channels
    latent, made = noise_length(**recipe.teach.generator), recipe.channels.wanted
    shape = {"channels": channels, "latent": latent, "size": recipe.size.plain, "interpolation": training.interpolation}
    return shape if made == Channels().wanted else {**shape, "outputs": made}


def preview(recipe: Recipe) -> Preview:
    """Return the preview of a recipe: the space of cells at their final width, with generator updates counted."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    shape = built(recipe)

    def costs(genotype: Genotype) -> dict[str, float]:
        return priced(AlphaOptions(genotype=genotype, **shape).cost(*recipe.size), recipe)

    def updates(images: int) -> int:
        once = training.iterations * training.weight_steps // training.critic_steps
        return searches(recipe) * once

    def learned(images: int) -> int:
        tuning = recipe.finetune
        if options.kind == HALVING:
            return pictures((options.candidates, options.proposed), tuning.steps(images), tuning.batch)
        alone = options.repeats if options.repeats > 1 else 0
        return alone * judged_updates(options, tuning.steps(images)) * tuning.batch

    space, evaluations = alphagan_space(training.deconvolution), 2 + options.random + (options.kind == "random")
    if options.kind == HALVING:
        evaluations = min(measurements(options.candidates, options.proposed), 2 * space.size)
    elif options.repeats > 1:
        evaluations = options.repeats
    beside, repeats = options.random, recipe.finetune.repeats
    return Preview(space, costs, evaluations, updates, training.batch, learned, beside=beside, repeats=repeats)


def searches(recipe: Recipe) -> int:
    """Return the number of supernets that are trained: one for each repeat of a search by gradients."""
    options = section(SearchOptions, recipe.search, "search")
    return options.repeats if options.kind == "gradient" else 1


def judged_updates(options: SearchOptions, steps: int) -> int:
    """Return the updates after which repeats are compared, of a whole training's."""
    return max(1, round(options.judged * steps))


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """Return the given keys of the supernet's training where none is trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == HALVING
    supernet, used = section(SupernetOptions, recipe.supernet, "supernet"), ("iterations", "channels", "deconvolution")
    return idle(supernet, (*used, "interpolation")) if halving else ()


def supernet_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the supernets' training reads: how many there are."""
    return ("search.repeats",) if searches(recipe) > 1 else ()


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that the search reads: those of the candidates' training."""
    return OF_NOISE if alone(recipe) else ()


def finetune_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the further keys that fine-tuning reads: by what repeats of a training are compared."""
    return ("objective", "evaluate.features") if recipe.finetune.repeats > 1 else ()


def alone(recipe: Recipe) -> bool:
    """Return whether the search trains architectures by themselves, to compare them by the recipe's objective."""
    options = section(SearchOptions, recipe.search, "search")
    return options.kind == HALVING or options.repeats > 1
