"""AlphaGAN's own sections of a recipe, and whether they make sense."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.methods.checks import (
    HALVING,
    LIMITS,
    check_anew,
    check_effects,
    check_limits,
    check_metrics,
    check_rivals,
    idle,
    priced,
)
from slimgen.methods.halving import measurements, pictures
from slimgen.methods.method import Preview
from slimgen.methods.tuning import OF_NOISE
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import noise_length
from slimgen.nets.alphagan.description import PUBLISHED, AlphaOptions, alphagan_space, checked
from slimgen.nets.noise import bottom
from slimgen.nets.options import Width
from slimgen.nets.sngan.discriminator import check_size
from slimgen.recipe import Channels, Recipe, Section, section
from slimgen.recipe.trainings import Betas
from slimgen.search import Genotype, Value
from slimgen.tasks import traits_of
from slimgen.tasks.traits import NOISE

BY_HAND = "by_hand"  # the rival: SN-GAN's generator
GUMBEL = ("gumbel", "straight-through", "sampled")  # they draw noise, and have a temperature


class SupernetOptions(Section):
    """Section `supernet`: Algorithm 1, with Algorithm 2 inside. The defaults are alphaGAN_(s)'s.

    Attributes:
        iterations: of the search (K); none where an architecture is imported.
        weight_steps: of an iteration, on the training images (T): the discriminator's.
        critic_steps: of them for each of the generator's.
        bar_steps: of D-bar, and then of G-bar, on the validation images (R).
        architecture_steps: of the logits, on the validation images (S).
        batch: images, and noise, of every step.
        rate: of the weights' Adam, and `architecture_rate` of the logits', likewise `betas`.
        architecture_decay: weight decay of the logits.
        relaxation: the paper's softmax, or a Gumbel kind (supplement, .2.2); see `slimgen.nets.relaxation.Relaxation`.
        temperature: of a Gumbel kind: at the first and the last step, falling exponentially.
        spread: standard deviation of the first logits.
        warm_up: share of the iterations, the first ones, that train the weights alone (supplement, .2.3: half).
        deconvolution: whether it may be chosen (without it: Table 6).
        interpolation: `plain`, or `learned` (Table 7).
        bar: what of G-bar is trained (Table 3). Where the discriminator is fixed, only the gap that is logged depends
            on it, and no logit does.
        coupled: G-bar has the generator's architecture at every moment, so that the logits learn of it, too. Without,
            it has a copy as of its beginning, as in the published code, and moves nothing but the gap that is logged.
        gap: look at the whole gap. Without, G-bar is left out, and the gap's second term with it, of which no logit
            learns. (Only the spectral norms of D, estimated anew whenever it is asked, are then estimated less often.)
        discriminator: `fixed`, or `searched` as well (Table 3).
        recompute: mixed operations are computed a second time instead of being kept: less memory, more time.
        channels: of the generator while searching (Table 4).
        ema: decay of an average of the generator's weights, which `samples.png` shows; nothing is trained by it.
    """

    iterations: int = Field(default=100, ge=0)
    weight_steps: int = Field(default=20, ge=1)
    critic_steps: int = Field(default=5, ge=1)
    bar_steps: int = Field(default=20, ge=1)
    architecture_steps: int = Field(default=20, ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=2e-4, gt=0)
    betas: Betas = (0.0, 0.9)
    architecture_rate: float = Field(default=3e-4, gt=0)
    architecture_betas: Betas = (0.5, 0.999)
    architecture_decay: float = Field(default=1e-3, ge=0)
    relaxation: Literal["softmax", "gumbel", "straight-through", "sampled"] = "softmax"
    temperature: tuple[float, float] = (1.0, 1.0)
    spread: float = Field(default=1e-3, ge=0)
    warm_up: float = Field(default=0.0, ge=0, lt=1)
    deconvolution: bool = True
    interpolation: Literal["plain", "learned"] = "plain"
    bar: Literal["weights", "logits", "both"] = "weights"
    coupled: bool = False
    gap: bool = True
    discriminator: Literal["fixed", "searched"] = "fixed"
    recompute: bool = False
    channels: Width = 256
    discriminator_channels: Width = 128
    ema: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def sound(self) -> Self:
        """Settings that others leave without effect, and temperatures that are none."""
        if "temperature" in self.model_fields_set and self.relaxation not in GUMBEL:
            raise ValueError("a temperature needs a relaxation that draws noise: gumbel, straight-through or sampled")
        if not self.temperature[0] >= self.temperature[1] > 0:
            raise ValueError("a temperature is above 0 and does not rise")
        if not self.gap and (self.coupled or self.bar != "weights" or self.discriminator == "searched"):
            raise ValueError("without the gap's second term, which is gap false, nothing can learn of it")
        if self.iterations and self.critic_steps > self.iterations * self.weight_steps:
            raise ValueError("critic_steps above iterations x weight_steps never train the generator")
        if self.coupled and self.bar != "weights":
            raise ValueError("coupled needs bar weights: G-bar cannot both train logits and follow the generator's")
        return self


class SearchOptions(Section):
    """Section `search`: which architecture is kept, and how large it is built.

    Attributes:
        kind: `gradient` takes the most probable operations within the budget; `random` an architecture drawn without
            looking, of about as many parameters; `published` takes one from elsewhere, such as from a smaller data set;
            `halving` trains random ones alone, as many as `candidates`, as fine-tuning does, and lets the better half
            go on again and again, by the recipe's objective: `supernet.iterations` is then 0.
        proposed: so many more, which a predictor proposes after the first have been measured, compete with them.
        genotype: of kind published: a name of Tian et al.'s, or an operation for every edge.
        params: how many parameters random architectures have; as the most probable one's if not given.
        equal_size: largest relative difference of a random architecture's parameters.
        random: how many random architectures of about the found one's size are trained as long, to compare with.
        channels: of the finished generator (Table 4); the supernet's if not given.
        discriminator: of the finished generator's training: the original's, or the found one where it was searched.
        latency_networks: whole networks that a latency table is fitted to; half as many check it.
    """

    kind: Literal["gradient", "random", "published", "halving"] = "gradient"
    candidates: int = Field(default=16, ge=2)
    proposed: int = Field(default=0, ge=0)
    genotype: str | dict[str, Value] | None = None
    params: int | None = Field(default=None, ge=1)
    equal_size: float = Field(default=0.1, gt=0, lt=1)
    random: int = Field(default=0, ge=0)
    channels: Width | None = None
    discriminator: Literal["original", "found"] = "original"
    latency_networks: int = Field(default=16, ge=4)

    def imported(self) -> Genotype:
        """The architecture from elsewhere; raises RecipeError of a name, SpaceError of edges and their operations."""
        if not isinstance(self.genotype, str):
            return checked(self.genotype or {})
        if self.genotype not in PUBLISHED:
            hint = nearest(self.genotype, PUBLISHED)
            raise RecipeError("search.genotype names a published architecture", repr(self.genotype), hint)
        return PUBLISHED[self.genotype]


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe is one for this method."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    if traits_of(recipe).given != NOISE:
        raise RecipeError("alphagan searches generators of noise", f"the task {recipe.task}")
    bottom(recipe.size)
    check_size(*recipe.size)
    if recipe.losses.gan == "least-squares" and training.iterations:
        rule = "the gap between G and D needs a loss that falls as scores rise: losses.gan hinge or vanilla"
        raise RecipeError(rule, repr(recipe.losses.gan))
    check_limits(recipe, LIMITS)
    check_anew(recipe)
    check_rivals(recipe, (BY_HAND,))
    _check_search(recipe, training, options)


def built(recipe: Recipe) -> dict[str, Any]:
    """How finished generators are built, besides their genotype."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    channels = section(SearchOptions, recipe.search, "search").channels or training.channels
    latent, made = noise_length(**recipe.teach.generator), recipe.channels.wanted
    shape = {"channels": channels, "latent": latent, "size": recipe.size.plain, "interpolation": training.interpolation}
    return shape if made == Channels().wanted else {**shape, "outputs": made}


def preview(recipe: Recipe) -> Preview:
    """The space of cells, at the width that is built; an update of the generator is one of every `critic_steps`."""
    training = section(SupernetOptions, recipe.supernet, "supernet")
    options = section(SearchOptions, recipe.search, "search")
    shape = built(recipe)

    def costs(genotype: Genotype) -> dict[str, float]:
        return priced(AlphaOptions(genotype=genotype, **shape).cost(*recipe.size), recipe)

    def updates(images: int) -> int:
        return training.iterations * training.weight_steps // training.critic_steps

    def learned(images: int) -> int:
        if options.kind != HALVING:
            return 0
        tuning = recipe.finetune
        return pictures((options.candidates, options.proposed), tuning.steps(images), tuning.batch)

    space, evaluations = alphagan_space(training.deconvolution), 2 + options.random + (options.kind == "random")
    if options.kind == HALVING:
        evaluations = min(measurements(options.candidates, options.proposed), 2 * space.size)
    return Preview(space, costs, evaluations, updates, training.batch, learned, beside=options.random)


def without_effect(recipe: Recipe) -> tuple[str, ...]:
    """What is given of the supernet's training where none is trained."""
    halving = section(SearchOptions, recipe.search, "search").kind == HALVING
    supernet, used = section(SupernetOptions, recipe.supernet, "supernet"), ("iterations", "channels", "deconvolution")
    return idle(supernet, (*used, "interpolation")) if halving else ()


def search_reads(recipe: Recipe) -> tuple[str, ...]:
    """What of a recipe the search reads besides what every method's does: how candidates are trained."""
    return OF_NOISE if section(SearchOptions, recipe.search, "search").kind == HALVING else ()


def _check_search(recipe: Recipe, training: SupernetOptions, options: SearchOptions) -> None:
    drawing, halving = options.kind == "random", options.kind == HALVING
    needs = {
        "search.candidates": (halving, "kind halving"),
        "search.proposed": (halving, "kind halving"),
        "search.random": (not halving, "another kind than halving, whose candidates are random"),
        "search.genotype": (options.kind == "published", "kind published"),
        "search.params": (drawing, "kind random"),
        "search.equal_size": (drawing or options.random > 0, "random architectures"),
        "search.latency_networks": (recipe.budget.latency_ms is not None, "a limit on latency_ms"),
    }
    check_effects({"search": options}, needs)
    if options.kind == "published":
        if options.genotype is None:
            raise RecipeError("search.kind published needs search.genotype", None, f"known: {', '.join(PUBLISHED)}")
        options.imported()
        if training.iterations:
            rule = "an architecture from elsewhere needs no search"
            raise RecipeError(rule, f"supernet.iterations {training.iterations}", "set supernet.iterations 0")
        if not training.deconvolution:
            raise RecipeError("supernet.deconvolution is of a search", False, "leave it out")
    elif halving:
        _check_halving(recipe, training)
    elif training.iterations == 0 and options.kind == "gradient":
        rule = "without iterations there is nothing to read an architecture from"
        raise RecipeError(rule, "search.kind gradient", "choose random or published")
    if drawing and training.iterations == 0 and options.params is None:
        raise RecipeError("random architectures need a size", "neither iterations nor search.params", "give one")
    if options.discriminator == "found" and (training.discriminator == "fixed" or options.kind != "gradient"):
        rule = "search.discriminator found needs supernet.discriminator searched, and kind gradient"
        raise RecipeError(rule, f"{training.discriminator} and {options.kind}", "leave it out")
    if options.discriminator == "found" and (family := recipe.teach.discriminator.get("family")) != "sngan":
        rule = "a found discriminator takes the place of teach.discriminator of family sngan"
        raise RecipeError(rule, repr(family), "set search.discriminator original")
    if recipe.objective.model_fields_set and not halving:
        rule = "alphagan compares architectures by what the gap between G and D makes of them"
        raise RecipeError(rule, f"objective.metric {recipe.objective.metric}", "leave the objective out")


def _check_halving(recipe: Recipe, training: SupernetOptions) -> None:
    if training.iterations:
        rule = "search.kind halving trains every candidate alone, and needs no supernet"
        raise RecipeError(rule, f"supernet.iterations {training.iterations}", "set supernet.iterations to 0")
    check_metrics(recipe)
    if isinstance(find(recipe.objective.metric), PerImage):
        rule = "candidates that make images of noise are measured on whole sets"
        raise RecipeError(rule, repr(recipe.objective.metric), "set objective.metric to fid, kid, is, or fd:NAME")
