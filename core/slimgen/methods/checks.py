"""Checks of a recipe that several methods share, made before anything is computed."""

from collections.abc import Collection, Mapping, Sequence

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import WIDTHS, generator_cost, width_option
from slimgen.recipe import Recipe, Schedule, Section
from slimgen.search import Budget
from slimgen.tasks import traits_of

NARROWED = "narrowed"  # the original's family with fewer channels, at equal MACs
NARROWED_LATENCY = "narrowed_latency"  # the same at equal milliseconds in onnxruntime
NAIVE = "naive"  # the narrowed original, trained on two sets of images as the original was
BY_HAND = "by_hand"  # a design by hand, at equal cost: SN-GAN's generator, or CycleGAN's operations in cells
RANDOM, RANDOM_PATH, HALVING = "random", "random_path", "halving"  # rivals from random genotypes
COUNTED = ("macs", "params", "bytes")  # counted, not measured
LIMITS = (*COUNTED, "latency_ms")


def priced(cost: Cost, recipe: Recipe) -> dict[str, float]:
    """Return a cost as a budget limits it: `macs` under the recipe's convention, `params` and `bytes`."""
    return {name: float(value) for name, value in cost.as_dict(recipe.budget.convention).items()}


def budget_of(recipe: Recipe) -> Budget:
    """Return the recipe's limits as numbers, the same as those of the search job, without needing a job."""
    original = generator_cost(**recipe.size._asdict(), **recipe.teach.generator)
    return Budget(**recipe.budget.resolve(priced(original, recipe)))


def check_metrics(recipe: Recipe, racing: bool = False) -> None:
    """Raise RecipeError for an unknown metric, for none, or for racing by a metric of sets of images."""
    if not recipe.evaluate.metrics:
        raise RecipeError("evaluate.metrics must name at least one metric", "none", "name some, such as [psnr, ssim]")
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        find(metric)
    if racing:
        check_racing(recipe.objective.metric)


def check_racing(metric: str) -> None:
    """Raise RecipeError unless a metric is a mean over images, which racing can predict from a part of them."""
    if not isinstance(find(metric), PerImage):
        hint = "set search.racing to false, or choose an objective such as psnr, ssim or lpips"
        raise RecipeError("search.racing needs a metric of single images", repr(metric), hint)


def check_limits(recipe: Recipe, possible: Sequence[str] = COUNTED, hint: str = "leave it out") -> None:
    """Raise RecipeError for a limit that the recipe's method cannot apply."""
    for kind in LIMITS:
        if kind not in possible and getattr(recipe.budget, kind) is not None:
            kinds = " or ".join(filter(None, [", ".join(possible[:-1]), *possible[-1:]])) or "nothing"
            raise RecipeError(f"the method {recipe.method} can limit {kinds}", f"budget.{kind}", hint)


def check_effects(sections: Mapping[str, Section], needs: Mapping[str, tuple[bool, str]]) -> None:
    """Raise RecipeError for a given setting that has no effect because of others.

    `needs` maps a dotted key to whether it has an effect, and to the setting that it needs for one.
    """
    for name, (effective, needed) in needs.items():
        part, _, key = name.partition(".")
        if key in sections[part].model_fields_set and not effective:
            raise RecipeError(f"{name} needs {needed}", getattr(sections[part], key), "leave it out")


def check_rivals(recipe: Recipe, possible: Collection[str] = (NARROWED,), discriminators: Collection[str] = ()) -> None:
    """Raise RecipeError unless the method can train all of the recipe's rivals.

    The choice of `finetune.discriminator` is checked in the same way.
    """
    if (begun := recipe.finetune.discriminator) not in (None, *discriminators):
        hint = f"choose from {', '.join(discriminators)}" if discriminators else "leave it out"
        raise RecipeError(f"finetune.discriminator must suit the method {recipe.method}", repr(begun), hint)
    if recipe.finetune.repeats > 1 and recipe.method != "alphagan":
        rule = "finetune.repeats is for the method alphagan alone"
        raise RecipeError(rule, recipe.finetune.repeats, "leave it out")
    if "random" in recipe.finetune.model_fields_set and not {RANDOM, RANDOM_PATH} & set(recipe.finetune.rivals):
        raise RecipeError("finetune.random needs random or random_path in finetune.rivals", recipe.finetune.random)
    for rival in recipe.finetune.rivals:
        if rival not in possible:
            hint = f"choose from {', '.join(possible)}" if possible else "leave it out"
            raise RecipeError(f"finetune.rivals must suit the method {recipe.method}", repr(rival), hint)
    if NAIVE in recipe.finetune.rivals:
        check_naive(recipe)
    family = recipe.teach.generator["family"]
    if {NARROWED, NARROWED_LATENCY, NAIVE} & set(recipe.finetune.rivals) and width_option(family) is None:
        rule = f"a narrowed rival needs an original with an option {' or '.join(WIDTHS)}"
        raise RecipeError(rule, repr(family), "leave finetune.rivals out")


def check_naive(recipe: Recipe) -> None:
    """Raise RecipeError unless the task is a CycleGAN's: only there does `naive` differ from `narrowed`."""
    if traits_of(recipe).directions != 2:
        rule = "the rival naive needs two sets of images, since it is trained as one half of a CycleGAN"
        raise RecipeError(rule, f"the task {recipe.task}", "use narrowed instead, which learns from the pairs")
    losses, name = (recipe.losses, "losses") if recipe.teach.losses is None else (recipe.teach.losses, "teach.losses")
    if not losses.adversarial:
        raise RecipeError("the rival naive needs an adversarial loss", f"{name}.adversarial 0", "give it a weight")


def check_anew(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe trains the found generator from scratch, as its method must."""
    rule = f"{recipe.method} must train the found generator from scratch"
    if recipe.finetune.updates == 0:
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")
    if recipe.finetune.inherit and "inherit" in recipe.finetune.model_fields_set:
        raise RecipeError(rule, "finetune.inherit true", "leave it out")


def check_halving(recipe: Recipe, halving: bool, supernet: Schedule) -> None:
    """Raise RecipeError where a supernet is trained that the search does not use, or one is used untrained."""
    if not halving:
        if supernet.updates == 0:
            rule = "a supernet in which candidates are measured must be trained"
            raise RecipeError(rule, "supernet.updates 0", "give it updates or epochs")
        return
    if recipe.finetune.updates == 0:
        rule = "search.kind halving trains its candidates as the section finetune says, so that must train"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")
    if supernet.updates != 0:
        rule = "search.kind halving trains every candidate by itself and needs no supernet"
        got = "supernet.epochs" if supernet.updates is None else f"supernet.updates {supernet.updates}"
        raise RecipeError(rule, got, "set supernet.updates to 0")
    if recipe.finetune.inherit:
        rule = "search.kind halving must train the found generator from scratch"
        raise RecipeError(rule, "finetune.inherit true", "set finetune.inherit to false")


def idle(supernet: Section, used: Collection[str]) -> tuple[str, ...]:
    """Return the given keys of the section `supernet` that have no effect where none is trained: all but `used`."""
    return tuple(f"supernet.{name}" for name in sorted(supernet.model_fields_set - {*used, "updates", "epochs"}))


def check_elite(search: Section, elite: int, population: int) -> None:
    """Raise RecipeError where `search.elite` was given and exceeds the population."""
    if "elite" in search.model_fields_set and elite > population:
        rule = "search.elite must be at most search.population"
        raise RecipeError(rule, f"{elite} and {population}", "lower the one or raise the other")


def check_tuning(recipe: Recipe, updates: int) -> None:
    """Raise RecipeError where candidates would be tuned without a loss."""
    if updates and not recipe.losses.recon:
        rule = "search.tune trains candidates by losses.recon alone, which must be above 0"
        raise RecipeError(rule, "losses.recon 0", "give it a weight, or leave search.tune out")


def check_cycle(recipe: Recipe) -> None:
    """Raise RecipeError unless the task has both directions of a CycleGAN, updated in turns."""
    if traits_of(recipe).directions != 2:
        rule = f"{recipe.method} needs both directions of a CycleGAN, and so two sets of images"
        raise RecipeError(rule, f"the task {recipe.task}", "set task to unpaired")
    if recipe.finetune.generator_steps != 1:
        rule = f"{recipe.method} updates generators and discriminators in turns, so finetune.generator_steps must be 1"
        raise RecipeError(rule, f"{recipe.finetune.generator_steps}", "leave it out")


def check_discriminators(recipe: Recipe) -> None:
    """Raise RecipeError where a CycleGAN would be trained without adversarial loss."""
    if not recipe.losses.adversarial:
        raise RecipeError("a CycleGAN needs an adversarial loss", "losses.adversarial 0", "give it a weight")


def imported_alone(recipe: Recipe) -> bool:
    """Return whether the original generator is imported without its discriminator."""
    return recipe.teach.generator_checkpoint is not None and recipe.teach.discriminator_checkpoint is None
