"""CF-GAN: coarse-to-fine search of path, operators and channels in a fairly trained supernet (Wang et al., ICCV 2021).

`supernet` is Algorithm 3, `search` lines 2 to 14 of Algorithm 4 with Algorithm 5, `finetune` its lines 15 to 24.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from slimgen.errors import RecipeError, nearest
from slimgen.methods.candidates import Candidates
from slimgen.methods.comparison import train_uniform
from slimgen.methods.method import Found, Trained
from slimgen.metrics.evaluator import goal
from slimgen.nets import generator_cost
from slimgen.nets.gates import Arch, Gates, pinned
from slimgen.nets.initial import initialise
from slimgen.nets.superdiscriminator import SuperDiscriminator
from slimgen.nets.trellis import Trellis
from slimgen.nets.trellis_cost import trellis_cost
from slimgen.nets.trellis_space import OPERATORS, Shape, parse_path, trellis_space
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe, Schedule, Section, section
from slimgen.search import (
    Allows,
    Budget,
    Choice,
    Direction,
    Evolution,
    Exhaustive,
    Genotype,
    RandomSearch,
    Searcher,
    Space,
    require_reachable,
)
from slimgen.tasks.gan import perceptual_term, train_gan
from slimgen.tasks.job import Job
from slimgen.tasks.paired import Judge
from slimgen.training.draws import fair, unfair
from slimgen.training.fairness import UpdateCounts
from slimgen.training.fit import Phase, Stateful, fit
from slimgen.training.losses import shrink


class SupernetOptions(Schedule):
    """Section `supernet`. Updates count generator steps; an epoch shows every image to every path."""

    ngf: int = Field(default=64, ge=1)
    groups: int = Field(default=3, ge=1)
    blocks: int = Field(default=3, ge=1)
    ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    ndf: int = Field(default=64, ge=1)
    sampling: Literal["fair", "uniform"] = "fair"
    sparsity: float = Field(default=1e-3, ge=0)
    gamma_rate: float | None = Field(default=None, gt=0)

    @property
    def shape(self) -> Shape:
        """The super-generator's size."""
        return Shape(self.ngf, self.groups, self.blocks, self.ratios)


class SearchOptions(Section):
    """Section `search`. `path` and `operators` fix by hand what is then not searched (AP and AO of Table 4)."""

    order: Literal["coarse-to-fine", "joint"] = "coarse-to-fine"
    path: str | None = None
    operators: str | tuple[str, ...] | None = None
    variation: Literal["directional", "undirected", "random"] = "directional"
    population: int = Field(default=24, ge=2)
    elite: int = Field(default=6, ge=1)
    mutation: float = Field(default=0.2, gt=0, le=1)
    operator_evaluations: int = Field(default=128, ge=1)
    channel_evaluations: int = Field(default=256, ge=1)


def check(recipe: Recipe) -> None:
    """Raises RecipeError unless the sections `supernet` and `search` are sound."""
    shape = section(SupernetOptions, recipe.supernet, "supernet").shape
    options = section(SearchOptions, recipe.search, "search")
    if recipe.size % 8:
        raise RecipeError("cf_gan needs a size that is a multiple of 8", recipe.size)
    if recipe.budget.latency_ms is not None:
        raise RecipeError("cf_gan searches under limits of macs, params or bytes", "latency_ms")
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        goal(metric)
    space = by_hand(options, trellis_space(shape))
    original = generator_cost(height=recipe.size, width=recipe.size, **recipe.teach.generator)
    limits = recipe.budget.resolve(original.as_dict(recipe.budget.convention))

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return trellis_cost(shape, genotype, recipe.size, recipe.size).as_dict(recipe.budget.convention)

    require_reachable(space, costs, Budget(**limits))
    if recipe.finetune.uniform and recipe.teach.generator.get("family") != "resnet":
        raise RecipeError("finetune.uniform narrows a ResNet", recipe.teach.generator.get("family"), "set it to false")
    teach, losses = recipe.teach, recipe.losses
    alone = teach.generator_checkpoint is not None and teach.discriminator_checkpoint is None
    if alone and losses.perceptual and losses.perceptual_network == "discriminator":
        raise RecipeError(
            "a perceptual loss in the discriminator's features needs teach.discriminator_checkpoint", "none"
        )


def supernet(job: Job) -> Mapping[str, float]:
    """Algorithm 3: trains every path in turn, every operator of a path at once, and the discriminator that matches.

    Returns:
        Updates, and how many counts broke Definition 3.1 (none, with fair sampling).
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    generator, discriminator = networks(job, options)
    space, losses = generator.space, job.recipe.losses
    ways = len(_options(space, "path"))
    # Whole cycles only: Definition 3.1 holds at their ends.
    images = len(job.data.split("train"))
    steps = options.steps(images) * (ways if options.epochs is not None else 1)
    steps = -(-steps // ways) * ways
    draw = (fair if options.sampling == "fair" else unfair)(space, widest(space), job.recipe.seed)
    counts = UpdateCounts()
    scales = generator.scale_factors()
    own = {id(scale) for scale in scales}

    def after_generator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.generator_step(archs)
        # Lines 13 and 14: the gradient step on gamma was the optimizer's; what is left is the proximal one.
        shrink(scales, options.sparsity * phase.optimizer.param_groups[1]["lr"])

    def after_discriminator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.discriminator_step(str(pinned(archs[0])["path"]))

    phases = job.task.phases(
        generator,
        path_judge(discriminator),
        [
            {"params": [weight for weight in generator.parameters() if id(weight) not in own]},
            {"params": scales, "lr": options.gamma_rate or options.rate},
        ],
        [{"params": list(discriminator.parameters())}],
        options,
        steps,
        perceptual=perceptual_term(job),
        after_generator=after_generator,
        after_discriminator=after_discriminator,
    )
    state: dict[str, Stateful] = {"generator": generator, "discriminator": discriminator, "counts": counts}
    batches = job.task.batches(job.data, options, hold=ways)
    journal = job.journal("supernet")
    fit(phases, draw, batches, steps, seed=job.recipe.seed, compute=job.compute, state=state, journal=journal)
    save_weights(job.out / "generator.safetensors", generator.state_dict())
    save_weights(job.out / "discriminator.safetensors", discriminator.state_dict())
    broken = counts.violations(space, discriminator=losses.adversarial > 0)
    (job.out / "updates.json").write_text(json.dumps({"violations": broken, **counts.state_dict()}, indent=1))
    weak = torch.cat([scale.detach().abs() for scale in scales])
    return {
        "updates": steps,
        "fairness_violations": len(broken),
        "scale_factors": weak.numel(),
        "scale_factors_below_0.1": int((weak < 0.1).sum()),
    }


def search(job: Job) -> Found:
    """Algorithm 4, lines 2 to 14: the path with its operators mixed, then the operators, then the channels."""
    options = section(SearchOptions, job.recipe.search, "search")
    generator, _ = networks(job, section(SupernetOptions, job.recipe.supernet, "supernet"))
    generator.load_state_dict(load_weights(job.inputs["supernet"] / "generator.safetensors"))
    space = by_hand(options, generator.space)
    candidates = Candidates(job, generator.eval())
    candidates.require_reachable(space)
    if options.order == "joint":
        allowance = len(_options(space, "path")) + options.operator_evaluations + options.channel_evaluations
        trials = candidates.explore("joint", shrinking(options, space, candidates, candidates.allows), allowance)
        return candidates.found(trials, {"space_size": float(space.size)})

    def reachable(genotype: Genotype, *free: str) -> bool:
        # Coarse steps run at full width: what counts is whether the finer ones can bring them within the budget.
        return candidates.allows(space.pin(genotype, free=(*free, "channel.")).smallest())

    def mixed(genotype: Genotype) -> Arch:
        return Gates.uniform(space, genotype, "operator.")

    at = widest(space)
    ways = space.pin(at, free="path")
    path_trials = candidates.explore(
        "path",
        Exhaustive(ways, candidates.objective, lambda way: reachable(way, "operator."), batch=ways.size),
        ways.size,
        arch_of=mixed,
    )
    at = space.canonical({**at, "path": candidates.best(path_trials).genotype["path"]})
    operators = space.pin(at, free="operator.")
    operator_trials = candidates.explore(
        "operator", specializing(options, operators, candidates, reachable), options.operator_evaluations
    )
    channels = space.pin(candidates.best(operator_trials).genotype, free="channel.")
    channel_trials = candidates.explore(
        "channel", shrinking(options, channels, candidates, candidates.allows), options.channel_evaluations
    )
    sizes = {"space_size": space.size, "paths": ways.size, "operators": operators.size, "channels": channels.size}
    return candidates.found(
        channel_trials, {name: float(size) for name, size in sizes.items()}, [*path_trials, *operator_trials]
    )


def finetune(job: Job) -> Mapping[str, Trained]:
    """Algorithm 4, lines 15 to 24: the found generator and the discriminator of its path, on inherited weights."""
    recipe, schedule = job.recipe, job.recipe.finetune
    options = section(SupernetOptions, recipe.supernet, "supernet")
    generator, discriminator = networks(job, options)
    genotype = Genotype.from_json(json.loads((job.inputs["search"] / "genotype.json").read_text())["genotype"])
    if schedule.inherit:
        generator.load_state_dict(load_weights(job.inputs["supernet"] / "generator.safetensors"))
        discriminator.load_state_dict(load_weights(job.inputs["supernet"] / "discriminator.safetensors"))
    found = job.compute.place(generator.extract(genotype))
    path = parse_path(str(genotype["path"]))
    steps = schedule.steps(len(job.data.split("train")))
    net = train_gan(
        job,
        "found",
        found,
        discriminator,
        schedule,
        steps,
        judge=lambda images, arch: discriminator(images, path),
        perceptual=perceptual_term(job),
        generator_steps=schedule.generator_steps,
        ema=schedule.ema,
    )
    shape = options.shape._asdict()
    trained = {"found": Trained(net, "trellis", {"genotype": genotype.to_json(), **shape}, steps)}
    if schedule.uniform:
        cost = generator.cost(genotype, recipe.size, recipe.size).macs(recipe.budget.convention)
        before = json.loads((job.inputs["supernet"] / "stage.json").read_text())["metrics"]["updates"]
        trained["uniform"] = train_uniform(job, cost, int(before) + steps)
    return trained


def networks(job: Job, options: SupernetOptions) -> tuple[Trellis, SuperDiscriminator]:
    """Super-generator and super-discriminator, initialised from the recipe's seed."""
    generator = initialise(Trellis(options.shape), job.recipe.seed)
    discriminator = initialise(SuperDiscriminator(options.groups, options.ndf), job.recipe.seed + 1)
    return job.compute.place(generator), job.compute.place(discriminator)


def path_judge(discriminator: SuperDiscriminator) -> Judge:
    """The discriminator's path is the generator's."""
    return lambda images, arch: discriminator(images, parse_path(str(pinned(arch)["path"])))


def by_hand(options: SearchOptions, space: Space) -> Space:
    """The space with path and operators narrowed to what the recipe fixes.

    Raises:
        RecipeError: a path or an operator that the space does not have.
    """
    blocks = [name for name in space if name.startswith("operator.")]
    chosen = options.operators
    if isinstance(chosen, str):
        chosen = (chosen,) * len(blocks)
    if chosen is not None and len(chosen) != len(blocks):
        raise RecipeError(f"search.operators is one operator, or one for each of {len(blocks)} blocks", len(chosen))
    for operator in chosen or ():
        if operator not in OPERATORS:
            raise RecipeError("search.operators names no operator", repr(operator), nearest(operator, OPERATORS))
    if options.path is not None:
        ways = [str(way) for way in _options(space, "path")]
        if options.path not in ways:
            raise RecipeError("search.path names no path", repr(options.path), nearest(options.path, ways))
        space = space.narrow({"path": [options.path]})
    return space.narrow({name: [operator] for name, operator in zip(blocks, chosen or (), strict=False)})


def specializing(options: SearchOptions, space: Space, candidates: Candidates, allows: Allows) -> Searcher:
    """The operators: all of them where the allowance reaches that far, else evolution."""
    if space.size <= options.operator_evaluations:
        return Exhaustive(space, candidates.objective, allows, batch=options.population)
    return Evolution(
        space,
        candidates.objective,
        allows,
        options.population,
        options.elite,
        options.mutation,
        anchor=candidates.anchor(space, allows),
    )


def shrinking(options: SearchOptions, space: Space, candidates: Candidates, allows: Allows) -> Searcher:
    """Algorithm 5, with directional mutation, or one of the searches that the paper compares it with (Figure 6)."""
    anchor = candidates.anchor(space, allows)
    if options.variation == "random":
        return RandomSearch(space, candidates.objective, allows, options.population, anchor)
    direction = Direction() if options.variation == "directional" else None
    return Evolution(
        space,
        candidates.objective,
        allows,
        options.population,
        options.elite,
        options.mutation,
        direction=direction,
        anchor=anchor,
    )


def widest(space: Space) -> Genotype:
    """The largest option of every dimension, of those too that rest on the largest path."""
    return Genotype({name: dimension.largest for name, dimension in space.items()})


def _options(space: Space, name: str) -> tuple[object, ...]:
    dimension = space[name]
    return dimension.options if isinstance(dimension, Choice) else ()
