"""CF-GAN: coarse-to-fine search of path, operators and channels in a fairly trained supernet (Wang et al., ICCV 2021).

The space is that of image translation, or, for a task that enlarges pictures, that of super-resolution (section 3.1).
`supernet` is Algorithm 3, `search` is lines 2 to 14 of Algorithm 4 with Algorithm 5, `finetune` is its lines 15 to 24.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn

from slimgen.files import DISCRIMINATOR, GENERATOR, UPDATES, write_json
from slimgen.methods.alone import found_alone
from slimgen.methods.candidates import Candidates
from slimgen.methods.cf_gan.checking import check, preview, search_reads, without_effect
from slimgen.methods.cf_gan.drawing import name_genotype as name_genotype
from slimgen.methods.cf_gan.drawing import picture_genotype as picture_genotype
from slimgen.methods.cf_gan.options import (
    SearchOptions,
    SupernetOptions,
    by_hand,
    options_of,
    paths_of,
    space_of,
    training_of,
)
from slimgen.methods.cf_gan.training import (
    beginning,
    drawn_effort,
    enter,
    generator_groups,
    inheriting,
    judged,
    judging,
    networks,
    oppose,
    plan_of,
    sparsity_groups,
    widest,
)
from slimgen.methods.effort import Effort
from slimgen.methods.halving import Halved, halve, of_each
from slimgen.methods.handing import handed_over, settle
from slimgen.methods.latency import timed, timed_again
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.rivals import Chance, finetuned, train_in_time, train_random, train_rivals
from slimgen.methods.tuning import tuned_effort, tuning
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.supernet import Arch, Gates, pinned
from slimgen.nets.weights import save_weights
from slimgen.recipe import Schedule, section
from slimgen.search import (
    Allows,
    DirectionalMutation,
    Evolution,
    Exhaustive,
    Genotype,
    RandomSearch,
    Searcher,
    Space,
    Trial,
    evenly,
    leading,
)
from slimgen.tasks.cycle import Gan
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job
from slimgen.training.draws import UpdateCounts, fair, narrowing, unfair
from slimgen.training.fit import Phase
from slimgen.training.losses import shrink

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}


def supernet(job: Job) -> Mapping[str, float]:
    """Run Algorithm 3: train each path in turn, all operators of a path at once, and the matching discriminator."""
    options = training_of(job.recipe)
    generator, discriminator = networks(job, options)
    space = by_hand("supernet", options, generator.space)
    scales, counts = generator.scale_factors(), UpdateCounts()
    paths = [str(path) for path in options_of(space, "path")]
    steps = options.cycles(len(paths), len(job.data.split("train")))
    # Lines 5, 7 and 8: draw a path without replacement, and M of its sub-generators that share no operator.
    draw = (fair if options.sampling == "fair" else unfair)(space, widest(space), job.recipe.seed)
    drawn = options.shape.within_blocks[1:] + (("channel.",) if options.widths == "drawn" else ())
    if drawn:
        draw = narrowing(draw, space, lambda genotype: True, job.recipe.seed, drawn)
    sparse, gammas = sparsity_groups(generator, space), {id(scale) for scale in scales}

    def after_generator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.generator_step(archs)
        (eta,) = (group["lr"] for group in phase.optimizer.param_groups if id(group["params"][0]) in gammas)
        if options.sparsity:
            for group, share in sparse[str(pinned(archs[0])["path"])]:
                # Line 14: the proximal step; the optimizer made the gradient step. Groups that are on more paths
                # shrink less in each step, so that lambda_sp has the same effect on all.
                shrink(group, options.sparsity * eta / (share * len(paths)))

    def after_discriminator(phase: Phase, archs: Sequence[Arch]) -> None:
        counts.discriminator_step(judging(options, pinned(archs[0])["path"]))

    training = GanTraining(
        "supernet",
        generator,
        discriminator,
        options,
        steps,
        hold=len(paths),  # line 3: a batch is shown to every path
        draw=draw,  # lines 9 and 10: the gradients of a draw are accumulated
        generator_groups=generator_groups(generator, options),  # lines 12 and 13
        after_generator=after_generator,
        discriminate=judged(discriminator, options),  # lines 15 and 16: D_p
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
        **drawn_effort(job, generator, draw, steps, options.batch).facts(),
        "fairness_violations": len(broken),  # none, with fair sampling
        "scale_factors": weak.numel(),
        "scale_factors_below_0.1": int((weak < 0.1).sum()),
        "scale_factors_of_zero": int((weak == 0).sum()),
    }


def search(job: Job) -> Found:
    """Run Algorithm 4, lines 2 to 14: search the path with mixed operators, then the operators, then the channels."""
    options = section(SearchOptions, job.recipe.search, "search")
    supernet = training_of(job.recipe)
    if options.kind == "halving":
        untrained, _ = networks(job, supernet)
        clock, against = timed(job, untrained, options.latency_networks), partial(oppose, job, supernet)
        space, counts = space_of(job.recipe, untrained.space), (options.candidates, options.proposed)
        parts = [space.narrow({"path": [path]}) for path in paths_of(options, space)]
        if not of_each(options.candidates, len(parts)):
            parts = [space]
        return found_alone(job, untrained, parts, clock, counts, against)
    generator, discriminator = networks(job, supernet, job.inputs["supernet"])
    space = space_of(job.recipe, generator.space)
    clock = timed(job, generator, options.latency_networks)
    limit, facts = job.recipe.budget.latency_ms, dict(clock.facts)
    candidates = Candidates(job, generator.eval(), clock.predict, clock.margin)
    candidates.require_reachable(space)
    if options.order == "joint":
        allowance = len(options_of(space, "path")) + options.evaluations
        searcher = searching(options, space, candidates, candidates.allows)
        trials = candidates.explore("joint", searcher, allowance, racing=options.racing)
        facts["space_size"] = float(space.size)
        return candidates.found(trials, facts, accepts=clock.accepts(limit, facts))

    def reachable(genotype: Genotype, *free: str) -> bool:
        # In a coarse step, a candidate counts if the finer steps can still bring it within the budget.
        return candidates.allows(space.pin(genotype, free=(*free, "channel.")).smallest())

    def mixed(genotype: Genotype) -> Arch:
        return Gates.uniform(space, genotype, "operator.")

    def slim(genotype: Genotype) -> Arch:
        return evenly(space.pin(genotype, free="channel."), candidates.allows)

    # Lines 2 to 7: every path, with its operators mixed.
    at = widest(space)
    paths = space.pin(at, free="path")
    within = supernet.shape.within_blocks
    searcher = Exhaustive(paths, candidates.objective, lambda path: reachable(path, *within), batch=paths.size)
    path_trials = candidates.explore("path", searcher, paths.size, arch_of=mixed)
    at = space.canonical({**at, "path": candidates.best(path_trials).genotype["path"]})
    effort = Effort()
    if options.training is not None:
        effort = train_path(
            job, options.training, generator, discriminator, space.pin(at, free=(*within, "channel.")), candidates
        )
    if options.training is not None or options.tune:
        candidates = Candidates(job, generator.eval(), clock.predict, clock.margin, tuning(job, options.tune))
    # Lines 8 to 13: the operators of the best path, with how often each is applied in super-resolution; all
    # combinations where the evaluations suffice.
    operators, allowance = space.pin(at, free=within), options.operator_evaluations
    if operators.size <= allowance:
        searcher = Exhaustive(operators, candidates.objective, reachable, batch=options.population)
    else:
        searcher = searching(options, operators, candidates, reachable, "undirected")
    judged = slim if options.judge_width == "budget" else None
    operator_trials = candidates.explore("operator", searcher, allowance, arch_of=judged, racing=options.racing)
    # Line 14: the channels, by Algorithm 5, together with the even widths at which the best operators were measured.
    channels, even = space.pin(candidates.best(operator_trials).genotype, free="channel."), list[Trial]()
    at = pinned(slim(candidates.best(operator_trials).genotype))
    if judged is not None and candidates.allows(at):
        searcher = Exhaustive(channels, candidates.objective, candidates.allows, 1, genotypes=[at])
        even = candidates.explore("even", searcher, 1)
    searcher = searching(options, channels, candidates, candidates.allows)
    last = candidates.explore("channel", searcher, options.evaluations - allowance, racing=options.racing)
    last = [*even, *(trial for trial in last if not even or trial.genotype != at)]
    earlier = [*path_trials, *operator_trials]
    tuned = [pinned(judged(trial.genotype)) if judged else trial.genotype for trial in operator_trials]
    effort = effort.plus(tuned_effort(job, generator, [*tuned, *(trial.genotype for trial in last)], options.tune))
    halved: Halved | None = None
    if options.finalists:
        best = leading(last, candidates.objective, options.finalists)
        begun = beginning(job, supernet, generator, discriminator)
        halved = halve(job, begun.generator, clock, best, partial(inheriting, job, begun.discriminator))
        earlier += [*last, *halved.earlier]
        last, effort = halved.last, effort.plus(halved.effort)
    sizes = {"space_size": space.size, "paths": paths.size, "operators": operators.size, "channels": channels.size}
    facts |= {**effort.facts(), **{name: float(size) for name, size in sizes.items()}}
    settled = halved.candidates if halved is not None else candidates
    found = settled.found(last, facts, earlier, clock.accepts(limit, facts))
    settle(job, found.trial.genotype)
    return found


def finetune(job: Job) -> Mapping[str, Trained]:
    """Run Algorithm 4, lines 15 to 24: train the found generator and its path's discriminator, on inherited weights."""
    recipe, schedule = job.recipe, job.recipe.finetune
    options = training_of(recipe)
    genotype, inherited = found_genotype(job), job.inputs["search"]
    if not (inherited / GENERATOR).is_file():
        inherited = job.inputs["supernet"]
    generator, discriminator = beginning(job, options, *networks(job, options, inherited))
    found: nn.Module = job.compute.place(generator.extract(genotype))
    steps = schedule.steps(len(job.data.split("train")))
    if not (trained_before := handed_over(job, [found])):
        found = finetuned(
            job,
            "found",
            Gan(found, discriminator),
            steps,
            discriminate=judged(discriminator, options, genotype["path"]),  # lines 22 and 23: D_path
            guidance=original_guidance(job),
        )
    cost = generator.cost(genotype, *recipe.size)
    effort = Effort.read(job.inputs["supernet"]).plus(Effort.read(job.inputs["search"]))
    effort = effort.plus(Effort.of(steps, schedule.batch, cost.exact, counted=trained_before))
    family = options.shape.family
    trained = Trained(found, family, plan_of(options, genotype), steps, effort)
    untrained, _ = networks(job, options)
    searched = section(SearchOptions, recipe.search, "search")
    space = space_of(recipe, untrained.space)
    against = partial(oppose, job, options)
    within, clock = space.narrow({"path": [genotype["path"]]}), timed_again(job, untrained, searched.latency_networks)
    chance = Chance(untrained, space, within, partial(enter, job, options), against, clock)
    alike, plan = partial(against, genotype), {"family": family, **plan_of(options, genotype)}
    narrow = {**train_rivals(job, [cost], effort, alike), **train_in_time(job, plan, effort, alike)}
    return {"found": trained, **narrow, **train_random(job, chance, effort)}


def train_path(
    job: Job,
    schedule: Schedule,
    generator: Trellis,
    discriminator: SuperDiscriminator,
    space: Space,
    candidates: Candidates,
) -> Effort:
    """Train the found path further at narrower widths: operators fairly, widths drawn within the budget.

    The channels are sorted first, so that each width keeps the same ones throughout. Both networks are saved, for
    fine-tuning to inherit.
    """
    path = str(options_of(space, "path")[0])
    if not generator.sorted:
        generator.sort_channels(path)
    steps = schedule.steps(len(job.data.split("train")))
    seed = job.recipe.seed
    free = (*generator.shape.within_blocks[1:], "channel.")
    draw = narrowing(fair(space, widest(space), seed), space, candidates.allows, seed, free)
    training = GanTraining(
        "widths",
        generator,
        discriminator,
        schedule,
        steps,
        draw=draw,
        discriminate=judged(discriminator, training_of(job.recipe)),
        guidance=original_guidance(job),
    )
    train_gan(job, training)
    save_weights(job.out / GENERATOR, generator.state_dict())
    save_weights(job.out / DISCRIMINATOR, discriminator.state_dict())
    return drawn_effort(job, generator, draw, steps, schedule.batch)


def searching(
    options: SearchOptions, space: Space, candidates: Candidates, allows: Allows, variation: str | None = None
) -> Searcher:
    """Return the searcher: Algorithm 5 with directional mutation, or one that the paper compares it with (Figure 6)."""
    variation, population = variation or options.variation, options.population
    objective, anchor = candidates.objective, candidates.anchor(space, allows)
    if variation == "random":
        return RandomSearch(space, objective, allows, population, anchor)
    direction = DirectionalMutation() if variation == "directional" else None
    elite, rate = options.elite, options.mutation
    return Evolution(space, objective, allows, population, elite, rate, direction=direction, anchor=anchor)
