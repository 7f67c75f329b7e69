"""Whether a recipe makes sense: what several methods ask of one, before anything is computed."""

from collections.abc import Collection, Mapping, Sequence

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets import WIDTHS, generator_cost, width_option
from slimgen.recipe import Recipe, Schedule, Section
from slimgen.search import Budget
from slimgen.tasks import traits_of

NARROWED = "narrowed"  # the rival of the original's family with fewer channels
NARROWED_LATENCY = "narrowed_latency"  # likewise, to equal milliseconds in onnxruntime
NAIVE = "naive"  # the same network, trained on two sets as the original was
RANDOM, RANDOM_PATH, HALVING = "random", "random_path", "halving"  # rivals that chance finds
COUNTED = ("macs", "params", "bytes")  # and not measured
LIMITS = (*COUNTED, "latency_ms")


def priced(cost: Cost, recipe: Recipe) -> dict[str, float]:
    """What a budget may limit of a cost: `macs` under the recipe's convention, `params` and `bytes`."""
    return {name: float(value) for name, value in cost.as_dict(recipe.budget.convention).items()}


def budget_of(recipe: Recipe) -> Budget:
    """Return the recipe's limits as numbers, as the job of its search has them, before there is one."""
    original = generator_cost(**recipe.size._asdict(), **recipe.teach.generator)
    return Budget(**recipe.budget.resolve(priced(original, recipe)))


def check_metrics(recipe: Recipe, racing: bool = False) -> None:
    """Raise RecipeError for an unknown metric, for none, or for racing by a metric of sets of images."""
    if not recipe.evaluate.metrics:
        raise RecipeError("evaluate.metrics names at least one metric", "none", "such as [psnr, ssim]")
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        find(metric)
    if racing:
        check_racing(recipe.objective.metric)


def check_racing(metric: str) -> None:
    """Raise RecipeError unless a metric's value is a mean over images, so that a race can predict it from some."""
    if not isinstance(find(metric), PerImage):
        hint = "switch search.racing off, or choose an objective such as psnr, ssim or lpips"
        raise RecipeError("racing needs a metric of single images", repr(metric), hint)


def check_limits(recipe: Recipe, possible: Sequence[str] = COUNTED, hint: str = "leave it out") -> None:
    """Raise RecipeError for a limit that the recipe's method cannot keep to."""
    for kind in LIMITS:
        if kind not in possible and getattr(recipe.budget, kind) is not None:
            kinds = " or ".join(filter(None, [", ".join(possible[:-1]), *possible[-1:]])) or "nothing"
            raise RecipeError(f"{recipe.method} limits {kinds}", f"budget.{kind}", hint)


def check_effects(sections: Mapping[str, Section], needs: Mapping[str, tuple[bool, str]]) -> None:
    """Raise RecipeError for a setting that the others leave without effect.

    `needs` maps a dotted key to whether it has an effect, and what it would need for one.
    """
    for name, (effective, needed) in needs.items():
        part, _, key = name.partition(".")
        if key in sections[part].model_fields_set and not effective:
            raise RecipeError(f"{name} needs {needed}", getattr(sections[part], key), "leave it out")


def check_rivals(recipe: Recipe, possible: Collection[str] = (NARROWED,), discriminators: Collection[str] = ()) -> None:
    """Raise RecipeError unless the recipe's rivals are among those that its method can train.

    Likewise of what the discriminator of fine-tuning may begin with.
    """
    if (begun := recipe.finetune.discriminator) not in (None, *discriminators):
        hint = f"choose of {', '.join(discriminators)}" if discriminators else "leave it out"
        raise RecipeError(f"finetune.discriminator must suit the method {recipe.method}", repr(begun), hint)
    if "random" in recipe.finetune.model_fields_set and not {RANDOM, RANDOM_PATH} & set(recipe.finetune.rivals):
        raise RecipeError("finetune.random needs random or random_path in finetune.rivals", recipe.finetune.random)
    for rival in recipe.finetune.rivals:
        if rival not in possible:
            hint = f"choose of {', '.join(possible)}" if possible else "leave it out"
            raise RecipeError(f"finetune.rivals must suit the method {recipe.method}", repr(rival), hint)
    if NAIVE in recipe.finetune.rivals:
        check_naive(recipe)
    family = recipe.teach.generator["family"]
    if {NARROWED, NARROWED_LATENCY, NAIVE} & set(recipe.finetune.rivals) and width_option(family) is None:
        rule = f"a narrowed generator needs an original with an option {' or '.join(WIDTHS)}"
        raise RecipeError(rule, repr(family), "leave finetune.rivals out")


def check_naive(recipe: Recipe) -> None:
    """Raise RecipeError unless a naive network would learn otherwise than a narrowed one: of a whole CycleGAN."""
    if traits_of(recipe).directions != 2:
        rule = "a naive rival is trained on two sets of images, as one half of a CycleGAN"
        raise RecipeError(rule, f"the task {recipe.task}", "leave naive out; narrowed learns from the pairs")
    losses, name = (recipe.losses, "losses") if recipe.teach.losses is None else (recipe.teach.losses, "teach.losses")
    if not losses.adversarial:
        raise RecipeError("a naive rival is trained by its discriminators", f"{name}.adversarial 0", "give it a weight")


def check_anew(recipe: Recipe) -> None:
    """Raise RecipeError unless what is found can be trained from scratch, which is all that its method does."""
    rule = f"what {recipe.method} finds is trained anew"
    if recipe.finetune.updates == 0:
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")
    if recipe.finetune.inherit and "inherit" in recipe.finetune.model_fields_set:
        raise RecipeError(rule, "finetune.inherit true", "leave it out")


def check_halving(recipe: Recipe, halving: bool, supernet: Schedule) -> None:
    """Raise RecipeError where a supernet is trained that a search does not ask, or the other way round."""
    if not halving:
        if supernet.updates == 0:
            raise RecipeError("a supernet that candidates are measured in is trained", "supernet.updates 0")
        return
    if recipe.finetune.updates == 0:
        rule = "candidates of search.kind halving are trained as the section finetune says"
        raise RecipeError(rule, "finetune.updates 0", "give it updates or epochs")
    if supernet.updates != 0:
        rule = "search.kind halving trains every candidate alone, and needs no supernet"
        raise RecipeError(rule, "a training of one", "set supernet.updates to 0")
    if recipe.finetune.inherit:
        rule = "what search.kind halving finds is trained from scratch"
        raise RecipeError(rule, "finetune.inherit true", "set finetune.inherit to false")


def idle(supernet: Section, used: Collection[str]) -> tuple[str, ...]:
    """What is given in the section `supernet` and has no effect where none is trained: all but what is used."""
    return tuple(f"supernet.{name}" for name in sorted(supernet.model_fields_set - {*used, "updates", "epochs"}))


def check_elite(search: Section, elite: int, population: int) -> None:
    """Raise RecipeError where a section `search` asks for more parents than a generation has members."""
    if "elite" in search.model_fields_set and elite > population:
        rule = "search.elite, the parents, are at most search.population"
        raise RecipeError(rule, f"{elite} of {population}", "lower the one or raise the other")


def check_tuning(recipe: Recipe, updates: int) -> None:
    """Raise RecipeError where candidates would be tuned by nothing."""
    if updates and not recipe.losses.recon:
        raise RecipeError("search.tune trains candidates by losses.recon", "a weight of 0", "leave it out")


def check_cycle(recipe: Recipe) -> None:
    """Raise RecipeError unless the recipe's task has both directions of a CycleGAN, trained by turns."""
    if traits_of(recipe).directions != 2:
        rule = f"{recipe.method} needs both directions of a CycleGAN, of two sets of images"
        raise RecipeError(rule, f"the task {recipe.task}")
    if recipe.finetune.generator_steps != 1:
        rule = "both generators and both discriminators take turns"
        raise RecipeError(rule, f"finetune.generator_steps {recipe.finetune.generator_steps}", "leave it out")


def check_discriminators(recipe: Recipe) -> None:
    """Raise RecipeError where a CycleGAN that is trained has no adversarial loss."""
    if not recipe.losses.adversarial:
        raise RecipeError("CycleGAN is trained by its discriminators", "losses.adversarial 0", "give it a weight")


def imported_alone(recipe: Recipe) -> bool:
    """Return whether the original generator is imported, and its discriminator is not."""
    return recipe.teach.generator_checkpoint is not None and recipe.teach.discriminator_checkpoint is None
