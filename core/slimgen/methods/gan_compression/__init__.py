"""GAN Compression: distil a once-for-all network, search its channel numbers, fine-tune (Li et al., CVPR 2020).

`supernet` is step 1 of Figure 3 (both pipelines of 6.1), `search` is steps 2 and 3, `finetune` is the rest.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from slimgen.export.latency.table import LatencyTable
from slimgen.files import DISCRIMINATOR, GENERATOR, weights_file
from slimgen.methods.alone import found_alone
from slimgen.methods.candidates import Candidates
from slimgen.methods.effort import Effort
from slimgen.methods.gan_compression.checking import check, preview, without_effect
from slimgen.methods.gan_compression.distilling import (
    distilling,
    once_for_all,
    recalibrated,
    showing,
    teacher_file,
    teacher_network,
    train_teacher,
)
from slimgen.methods.gan_compression.drawing import name_genotype as name_genotype
from slimgen.methods.gan_compression.drawing import picture_genotype as picture_genotype
from slimgen.methods.gan_compression.options import (
    SearchOptions,
    SupernetOptions,
    band,
    pruning,
    search_reads,
    teacher_options,
)
from slimgen.methods.handing import handed_over
from slimgen.methods.latency import timed, timed_again
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.rivals import Chance, Entrant, finetuned, train_in_time, train_random, train_rivals
from slimgen.methods.tuning import Opponent, tuned_effort, tuning
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.configurations import write_config
from slimgen.nets.supernet import Arch, pinned
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import section
from slimgen.search import Evolution, Exhaustive, Genotype, RandomSearch, Searcher
from slimgen.search.grid import Grid
from slimgen.tasks.cycle import Gan
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.task import Job
from slimgen.training.distributed import first
from slimgen.training.draws import fixed, uniform

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}


def supernet(job: Job) -> Mapping[str, float]:
    """Train the once-for-all network; in the full pipeline, first a mobile teacher and a student distilled from it."""
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    images = len(job.data.split("train"))
    net, facts, effort, size = once_for_all(job, options), {}, Effort(), job.recipe.size

    def macs(arch: Arch) -> float:
        return float(net.cost(pinned(arch), *size).exact)

    discriminator = job.task.discriminator()
    if options.pipeline == "full":
        assert options.teacher is not None
        taught = train_teacher(job, options, discriminator)
        mobile = generator_cost(**size._asdict(), **teacher_options(job.recipe, options))
        effort, facts["teacher_updates"] = Effort.of(taught, options.teacher.batch, mobile.exact), float(taught)
    teacher = teacher_network(job, options)
    if pruning(job.recipe, options):
        net.prune_from(teacher)
    if options.keep_discriminator:
        discriminator.load_state_dict(load_weights(teacher_file(job, options, "discriminator")))
    else:
        discriminator = job.task.discriminator()
    guidance, draw = distilling(job, options, teacher), uniform(net.space, job.recipe.seed)
    steps = options.steps(images)
    training = GanTraining(
        "supernet", net, discriminator, options, steps, generate=showing(net), guidance=guidance, draw=draw
    )
    if (student := options.student) is not None:
        updates, largest = student.steps(images), net.space.largest()
        train_gan(job, replace(training, name="student", schedule=student, steps=updates, draw=fixed(largest)))
        effort = effort.plus(Effort.of(updates, student.batch, macs(largest)))
    train_gan(job, training)
    for name, module in {"generator": net, "discriminator": discriminator, **guidance.modules}.items():
        save_weights(job.out / weights_file(name), module.state_dict())
    effort = effort.plus(Effort.drawn(draw, macs, steps, options.batch))
    return {**effort.facts(), **facts}


def search(job: Job) -> Found:
    """Search the once-for-all network, measuring sub-networks with its weights; or train random ones by halving."""
    options = section(SearchOptions, job.recipe.search, "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    net = once_for_all(job, training)
    if options.kind == "halving":
        clock, against = timed(job, net, options.latency_networks), partial(oppose, job, training)
        return found_alone(job, net, [net.space], clock, (options.candidates, options.proposed), against)
    net.load_state_dict(load_weights(job.inputs["supernet"] / GENERATOR))
    net.eval()
    clock = timed(job, net, options.latency_networks)
    calibrated = recalibrated(job, net, training.calibration, training.batch)
    candidates = Candidates(job, calibrated, clock.predict, clock.margin, tuning(job, options.tune))
    candidates.require_reachable(net.space)
    facts = {"space_size": float(net.space.size), **clock.facts}
    searcher, evaluations = searching(options, candidates, facts, clock.table)
    trials = candidates.explore("channel", searcher, evaluations, racing=options.racing)
    if options.tune:
        facts |= tuned_effort(job, net, [trial.genotype for trial in trials], options.tune).facts()
    return candidates.found(trials, facts, accepts=clock.accepts(job.recipe.budget.latency_ms, facts))


def searching(
    options: SearchOptions, candidates: Candidates, facts: dict[str, float], table: LatencyTable | None
) -> tuple[Searcher, int]:
    """Return the recipe's searcher and its largest number of evaluations."""
    space, recipe = candidates.supernet.space, candidates.job.recipe
    objective, allows, population = candidates.objective, candidates.allows, options.population
    if options.kind == "exhaustive":
        training = section(SupernetOptions, recipe.supernet, "supernet")
        grid = Grid(space)
        latency = None if table is None else table.columns(space)
        rows = first(lambda: band(recipe, training, options, space, candidates.budget, latency))
        facts["band"] = float(len(rows))
        options.require_few(rows)
        inside = (grid.at(int(row)) for row in rows)
        return Exhaustive(space, objective, allows, population, genotypes=inside), len(rows)
    anchor, evaluations = candidates.anchor(space, allows), options.evaluations
    if options.kind == "random":
        return RandomSearch(space, objective, allows, population, anchor), evaluations
    elite, rate, crossover = options.elite, options.mutation, options.crossover
    return Evolution(space, objective, allows, population, elite, rate, crossover, anchor=anchor), evaluations


def finetune(job: Job) -> Mapping[str, Trained]:
    """Fine-tune the found generator under the same teacher (`updates: 0` keeps it as it is), and train its rivals."""
    recipe, schedule = job.recipe, job.recipe.finetune
    options = section(SupernetOptions, recipe.supernet, "supernet")
    searched, genotype = section(SearchOptions, recipe.search, "search"), found_genotype(job)
    net, discriminator = once_for_all(job, options), job.task.discriminator()
    before = job.inputs["supernet"]
    about = {**net.options, "config": write_config(net.channels.config(genotype))}
    if schedule.inherit:
        net.load_state_dict(load_weights(before / GENERATOR))
        calibrated = recalibrated(job, net, options.calibration, options.batch)
        found: nn.Module = job.compute.place(calibrated.extract(genotype)).eval()
    elif searched.kind == "halving":
        found = job.compute.place(net.extract(genotype))  # the candidates' initial weights
    else:
        found = job.compute.place(build_generator(options.family, seed=recipe.seed, **about))
    if (begun := discriminator_file(job, options)) is not None:
        discriminator.load_state_dict(load_weights(begun))
    steps = schedule.steps(len(job.data.split("train")))
    if not (trained_before := handed_over(job, [found])) and steps:
        guidance = distilling(job, options, teacher_network(job, options))
        for name, module in guidance.modules.items() if schedule.inherit else ():
            module.load_state_dict(load_weights(before / weights_file(name)))
        found = finetuned(job, "found", Gan(found, discriminator), steps, generate=showing(found), guidance=guidance)
    cost = net.cost(genotype, *recipe.size)
    effort = Effort.read(before).plus(Effort.read(job.inputs["search"]))
    effort = effort.plus(Effort.of(steps, schedule.batch, cost.exact, counted=trained_before))
    untrained, against = once_for_all(job, options), partial(oppose, job, options)
    clock = timed_again(job, untrained, searched.latency_networks)
    chance = Chance(untrained, net.space, None, partial(enter, job, options), against, clock)
    rivals = {**train_rivals(job, [cost], effort), **train_in_time(job, {"family": options.family, **about}, effort)}
    rivals |= train_random(job, chance, effort)
    return {"found": Trained(found, options.family, about, steps, effort), **rivals}


def discriminator_file(job: Job, options: SupernetOptions) -> Path | None:
    """Return the file of the discriminator that fine-tuning starts from; None for a fresh one."""
    schedule, teacher = job.recipe.finetune, teacher_file(job, options, "discriminator")
    if schedule.discriminator is None:
        begun = teacher if options.keep_discriminator else None
        return job.inputs["supernet"] / DISCRIMINATOR if schedule.inherit else begun
    return {"supernet": job.inputs["supernet"] / DISCRIMINATOR, "teacher": teacher}.get(schedule.discriminator)


def plan_of(job: Job, options: SupernetOptions, genotype: Genotype) -> dict[str, Any]:
    """Return the family and options of a genotype's generator."""
    net = once_for_all(job, options)
    return {"family": options.family, **net.options, "config": write_config(net.channels.config(genotype))}


def enter(job: Job, options: SupernetOptions, genotype: Genotype, seed: int) -> Entrant:
    """Return a genotype as a rival, to be trained from scratch under the found generator's teacher."""
    plan = plan_of(job, options, genotype)
    net = job.compute.place(build_generator(seed=seed, **plan))
    return Entrant(plan, net, oppose(job, options, genotype, net))


def oppose(job: Job, options: SupernetOptions, genotype: Genotype, net: nn.Module) -> Opponent:
    """Return the discriminator that the supernet's training started from, and the teacher's distillation."""
    discriminator = job.task.discriminator()
    if options.keep_discriminator:
        discriminator.load_state_dict(load_weights(teacher_file(job, options, "discriminator")))
    guidance = distilling(job, options, teacher_network(job, options))
    return Opponent(discriminator, {"generate": showing(net), "guidance": guidance})
