"""CF-GAN: coarse-to-fine search of path, operators and channels in a fairly trained supernet (Wang et al., ICCV 2021).

`supernet` is Algorithm 3, `search` lines 2 to 14 of Algorithm 4 with Algorithm 5, `finetune` its lines 15 to 24.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch

from slimgen.files import DISCRIMINATOR, GENERATOR, UPDATES, write_json
from slimgen.methods.candidates import Candidates
from slimgen.methods.cf_gan.drawing import picture_genotype as picture_genotype
from slimgen.methods.cf_gan.options import SearchOptions, SupernetOptions, by_hand, check, options_of, preview
from slimgen.methods.method import Found, Trained, found_genotype, updates_of
from slimgen.methods.rivals import finetuned, train_rivals
from slimgen.nets.cf_gan.space import parse_path
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.nets.supernet import Arch, Gates, pinned
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import section
from slimgen.search import Allows, DirectionalMutation, Evolution, Exhaustive, Genotype, RandomSearch, Searcher, Space
from slimgen.tasks.cycle import Gan
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.guidance import Discriminate
from slimgen.tasks.task import Job
from slimgen.training.draws import UpdateCounts, fair, unfair
from slimgen.training.fit import Phase
from slimgen.training.losses import shrink

__all__ = ["check", "finetune", "preview", "search", "supernet"]


def supernet(job: Job) -> Mapping[str, float]:
    """Algorithm 3: trains every path in turn, every operator of a path at once, and the discriminator that matches."""
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    generator, discriminator = networks(job, options)
    space, scales, counts = generator.space, generator.scale_factors(), UpdateCounts()
    gammas = {id(scale) for scale in scales}
    weights = [weight for weight in generator.parameters() if id(weight) not in gammas]
    paths = len(options_of(space, "path"))
    steps = options.cycles(paths, len(job.data.split("train")))
    # Lines 5, 7 and 8: a path without replacement, and of it M sub-generators that share no operator.
    draw = (fair if options.sampling == "fair" else unfair)(space, widest(space), job.recipe.seed)

    def after_generator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.generator_step(archs)
        (eta,) = (group["lr"] for group in phase.optimizer.param_groups if id(group["params"][0]) in gammas)
        shrink(scales, options.sparsity * eta)  # line 14: the proximal step; the gradient step was the optimizer's

    def after_discriminator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.discriminator_step(str(pinned(archs[0])["path"]))

    training = GanTraining(
        "supernet",
        generator,
        discriminator,
        options,
        steps,
        hold=paths,  # line 3: a batch is shown to every path
        draw=draw,  # lines 9 and 10: the gradients of a draw are accumulated
        generator_groups=[
            {"params": weights},  # line 12
            {"params": scales, "lr": options.gamma_rate or options.rate},  # line 13
        ],
        after_generator=after_generator,
        discriminate=of_path(discriminator),  # lines 15 and 16: D_p
        after_discriminator=after_discriminator,
        guidance=original_guidance(job),  # G_0
        state={"counts": counts},
    )
    train_gan(job, training)
    save_weights(job.out / GENERATOR, generator.state_dict())
    save_weights(job.out / DISCRIMINATOR, discriminator.state_dict())
    broken = counts.violations(space, discriminator=job.recipe.losses.adversarial > 0)
    write_json(job.out / UPDATES, {"violations": broken, **counts.state_dict()})
    weak = torch.cat([scale.detach().abs() for scale in scales])
    return {
        "updates": steps,
        "fairness_violations": len(broken),  # none, with fair sampling
        "scale_factors": weak.numel(),
        "scale_factors_below_0.1": int((weak < 0.1).sum()),
    }


def search(job: Job) -> Found:
    """Algorithm 4, lines 2 to 14: the path with its operators mixed, then the operators, then the channels."""
    options = section(SearchOptions, job.recipe.search, "search")
    generator, _ = networks(job, section(SupernetOptions, job.recipe.supernet, "supernet"))
    generator.load_state_dict(load_weights(job.inputs["supernet"] / GENERATOR))
    space = by_hand(options, generator.space)
    candidates = Candidates(job, generator.eval())
    candidates.require_reachable(space)
    if options.order == "joint":
        allowance = len(options_of(space, "path")) + options.evaluations
        searcher = searching(options, space, candidates, candidates.allows)
        trials = candidates.explore("joint", searcher, allowance, racing=options.racing)
        return candidates.found(trials, {"space_size": float(space.size)})

    def reachable(genotype: Genotype, *free: str) -> bool:
        # Coarse steps run at full width: what counts is whether the finer ones can bring them within the budget.
        return candidates.allows(space.pin(genotype, free=(*free, "channel.")).smallest())

    def mixed(genotype: Genotype) -> Arch:
        return Gates.uniform(space, genotype, "operator.")

    # Lines 2 to 7: every path, with its operators mixed.
    at = widest(space)
    paths = space.pin(at, free="path")
    searcher = Exhaustive(paths, candidates.objective, lambda path: reachable(path, "operator."), batch=paths.size)
    path_trials = candidates.explore("path", searcher, paths.size, arch_of=mixed)
    # Lines 8 to 13: the operators of the best path; all of them where the allowance reaches that far.
    at = space.canonical({**at, "path": candidates.best(path_trials).genotype["path"]})
    operators, allowance = space.pin(at, free="operator."), options.operator_evaluations
    if operators.size <= allowance:
        searcher = Exhaustive(operators, candidates.objective, reachable, batch=options.population)
    else:
        searcher = searching(options, operators, candidates, reachable, "undirected")
    operator_trials = candidates.explore("operator", searcher, allowance, racing=options.racing)
    # Line 14: the channels, by Algorithm 5.
    channels = space.pin(candidates.best(operator_trials).genotype, free="channel.")
    searcher = searching(options, channels, candidates, candidates.allows)
    channel_trials = candidates.explore("channel", searcher, options.evaluations - allowance, racing=options.racing)
    sizes = {"space_size": space.size, "paths": paths.size, "operators": operators.size, "channels": channels.size}
    facts = {name: float(size) for name, size in sizes.items()}
    return candidates.found(channel_trials, facts, [*path_trials, *operator_trials])


def finetune(job: Job) -> Mapping[str, Trained]:
    """Algorithm 4, lines 15 to 24: the found generator and the discriminator of its path, on inherited weights."""
    recipe, schedule = job.recipe, job.recipe.finetune
    options = section(SupernetOptions, recipe.supernet, "supernet")
    generator, discriminator = networks(job, options)
    genotype = found_genotype(job)
    if schedule.inherit:
        generator.load_state_dict(load_weights(job.inputs["supernet"] / GENERATOR))
        discriminator.load_state_dict(load_weights(job.inputs["supernet"] / DISCRIMINATOR))
    found = job.compute.place(generator.extract(genotype))
    path = parse_path(str(genotype["path"]))
    steps = schedule.steps(len(job.data.split("train")))
    net = finetuned(
        job,
        "found",
        Gan(found, discriminator),
        steps,
        discriminate=lambda images, arch: discriminator(images, path),  # lines 22 and 23: D_path
        guidance=original_guidance(job),
    )
    shape = asdict(options.shape)
    cost, updates = generator.cost(genotype, recipe.size, recipe.size), updates_of(job.inputs["supernet"]) + steps
    trained = Trained(net, "trellis", {"genotype": genotype.to_json(), **shape}, steps)
    return {"found": trained, **train_rivals(job, [cost], updates)}


def networks(job: Job, options: SupernetOptions) -> tuple[Trellis, SuperDiscriminator]:
    """Super-generator and super-discriminator, initialised from the recipe's seed."""
    generator = initialise(Trellis(options.shape), job.recipe.seed)
    discriminator = initialise(
        SuperDiscriminator(options.groups, options.ndf, job.task.discriminator_inputs), job.recipe.seed + 1
    )
    return job.compute.place(generator), job.compute.place(discriminator)


def of_path(discriminator: SuperDiscriminator) -> Discriminate:
    """The discriminator's path is the generator's."""
    return lambda images, arch: discriminator(images, parse_path(str(pinned(arch)["path"])))


def searching(
    options: SearchOptions, space: Space, candidates: Candidates, allows: Allows, variation: str | None = None
) -> Searcher:
    """Algorithm 5, with directional mutation, or one of the searches that the paper compares it with (Figure 6)."""
    variation, population = variation or options.variation, options.population
    objective, anchor = candidates.objective, candidates.anchor(space, allows)
    if variation == "random":
        return RandomSearch(space, objective, allows, population, anchor)
    direction = DirectionalMutation() if variation == "directional" else None
    elite, rate = options.elite, options.mutation
    return Evolution(space, objective, allows, population, elite, rate, direction=direction, anchor=anchor)


def widest(space: Space) -> Genotype:
    """The largest option of every dimension, of those too that rest on the largest path."""
    return Genotype({name: dimension.largest for name, dimension in space.items()})
