"""CF-GAN: coarse-to-fine search of path, operators and channels in a fairly trained supernet (Wang et al., ICCV 2021).

`supernet` is Algorithm 3, `search` lines 2 to 14 of Algorithm 4 with Algorithm 5, `finetune` its lines 15 to 24.
"""

import json
from collections.abc import Mapping, Sequence

import torch

from slimgen.files import UPDATES, write_json
from slimgen.methods.candidates import Candidates
from slimgen.methods.cf_gan.drawing import picture_genotype as picture_genotype
from slimgen.methods.cf_gan.options import SearchOptions, SupernetOptions, by_hand, check, options_of
from slimgen.methods.method import Found, Trained
from slimgen.methods.rivals import train_uniform
from slimgen.nets.cf_gan.space import parse_path
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.gates import Arch, Gates, pinned
from slimgen.nets.initial import initialise
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import section
from slimgen.search import Allows, DirectionalMutation, Evolution, Exhaustive, Genotype, RandomSearch, Searcher, Space
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.guidance import Discriminate
from slimgen.tasks.task import Job
from slimgen.training.draws import fair, unfair
from slimgen.training.fairness import UpdateCounts
from slimgen.training.fit import Phase
from slimgen.training.losses import shrink

__all__ = ["check", "finetune", "search", "supernet"]


def supernet(job: Job) -> Mapping[str, float]:
    """Algorithm 3: trains every path in turn, every operator of a path at once, and the discriminator that matches.

    Returns:
        Updates, and how many counts broke Definition 3.1 (none, with fair sampling).
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    generator, discriminator = networks(job, options)
    space, losses = generator.space, job.recipe.losses
    ways = len(options_of(space, "path"))
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

    weights = [weight for weight in generator.parameters() if id(weight) not in own]
    training = GanTraining(
        "supernet",
        generator,
        discriminator,
        options,
        steps,
        discriminate=path_judge(discriminator),
        guidance=original_guidance(job),
        draw=draw,
        hold=ways,
        generator_groups=[{"params": weights}, {"params": scales, "lr": options.gamma_rate or options.rate}],
        after_generator=after_generator,
        after_discriminator=after_discriminator,
        state={"counts": counts},
    )
    train_gan(job, training)
    save_weights(job.out / "generator.safetensors", generator.state_dict())
    save_weights(job.out / "discriminator.safetensors", discriminator.state_dict())
    broken = counts.violations(space, discriminator=losses.adversarial > 0)
    write_json(job.out / UPDATES, {"violations": broken, **counts.state_dict()})
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
    race = options.racing
    if options.order == "joint":
        allowance = len(options_of(space, "path")) + options.operator_evaluations + options.channel_evaluations
        trials = candidates.explore(
            "joint", shrinking(options, space, candidates, candidates.allows), allowance, racing=race
        )
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
        "operator",
        specializing(options, operators, candidates, reachable),
        options.operator_evaluations,
        racing=race,
    )
    channels = space.pin(candidates.best(operator_trials).genotype, free="channel.")
    channel_trials = candidates.explore(
        "channel",
        shrinking(options, channels, candidates, candidates.allows),
        options.channel_evaluations,
        racing=race,
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
    training = GanTraining(
        "found",
        found,
        discriminator,
        schedule,
        steps,
        discriminate=lambda images, arch: discriminator(images, path),
        guidance=original_guidance(job),
        generator_steps=schedule.generator_steps,
        ema=schedule.ema,
    )
    net = train_gan(job, training)
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
    discriminator = initialise(
        SuperDiscriminator(options.groups, options.ndf, job.task.discriminator_inputs), job.recipe.seed + 1
    )
    return job.compute.place(generator), job.compute.place(discriminator)


def path_judge(discriminator: SuperDiscriminator) -> Discriminate:
    """The discriminator's path is the generator's."""
    return lambda images, arch: discriminator(images, parse_path(str(pinned(arch)["path"])))


def specializing(options: SearchOptions, space: Space, candidates: Candidates, allows: Allows) -> Searcher:
    """The operators: all of them where the allowance reaches that far, else evolution."""
    if space.size <= options.operator_evaluations:
        return Exhaustive(space, candidates.objective, allows, batch=options.population)
    return evolving(options, space, candidates, allows)


def shrinking(options: SearchOptions, space: Space, candidates: Candidates, allows: Allows) -> Searcher:
    """Algorithm 5, with directional mutation, or one of the searches that the paper compares it with (Figure 6)."""
    if options.variation == "random":
        anchor = candidates.anchor(space, allows)
        return RandomSearch(space, candidates.objective, allows, options.population, anchor)
    return evolving(
        options, space, candidates, allows, DirectionalMutation() if options.variation == "directional" else None
    )


def evolving(
    options: SearchOptions,
    space: Space,
    candidates: Candidates,
    allows: Allows,
    direction: DirectionalMutation | None = None,
) -> Evolution:
    """Evolution with the recipe's population."""
    return Evolution(
        space,
        candidates.objective,
        allows,
        options.population,
        options.elite,
        options.mutation,
        direction=direction,
        anchor=candidates.anchor(space, allows),
    )


def widest(space: Space) -> Genotype:
    """The largest option of every dimension, of those too that rest on the largest path."""
    return Genotype({name: dimension.largest for name, dimension in space.items()})
