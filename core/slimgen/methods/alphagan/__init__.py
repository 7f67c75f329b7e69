"""AlphaGAN: search of a noise-to-image generator's operations towards a Nash equilibrium (Tian et al. 2021).

`supernet` is Algorithm 1 with Algorithm 2 inside (see `algorithm`); `search` reads off the architecture, within a
budget if there is one; `finetune` trains it from scratch (section 5), together with random architectures and SN-GAN's
hand-designed generator, the family of the original.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slimgen.errors import BudgetError
from slimgen.files import TRIALS, UPDATES, log_file, write_json
from slimgen.methods.alphagan.algorithm import Counts, batches, phases, timetable
from slimgen.methods.alphagan.architectures import (
    Architectures,
    best_of_repeats,
    evaluator_of,
    folder_of,
    halved,
    objective_of,
    plan_of,
    updates_of_all,
)
from slimgen.methods.alphagan.checking import check
from slimgen.methods.alphagan.gradients import NAME, Gradients
from slimgen.methods.alphagan.options import (
    SearchOptions,
    SupernetOptions,
    alone,
    finetune_reads,
    preview,
    search_reads,
    searches,
    supernet_reads,
    without_effect,
)
from slimgen.methods.alphagan.players import Player, Players, Playing, players
from slimgen.methods.checks import BY_HAND, HALVING
from slimgen.methods.drawn import alike
from slimgen.methods.effort import Effort
from slimgen.methods.handing import handed_over
from slimgen.methods.likeliest import likeliest
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.relaxation_trace import LIKELIHOOD, read_relaxation, train_traced
from slimgen.methods.repeats import again, best_of, told
from slimgen.methods.rivals import Plan, narrowest, train_anew
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.sngan.discriminator import SPACE as DISCRIMINATOR_SPACE
from slimgen.recipe import section
from slimgen.report.pictures import panels
from slimgen.search import Objective, Trial
from slimgen.tasks.noise import TEST, latents
from slimgen.tasks.task import Job, from_noise
from slimgen.training.distributed import first, world
from slimgen.training.fit import Stateful
from slimgen.training.optimizers import Ema

__all__ = [
    "SECTIONS",
    "check",
    "finetune",
    "finetune_reads",
    "preview",
    "search",
    "search_reads",
    "supernet",
    "supernet_reads",
    "without_effect",
]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}

DISCRIMINATOR = "discriminator"
"""The prefix of the choices of a searched discriminator, and of the files that describe it."""
FINETUNE_SECTIONS = ("search",)
"""Fine-tuning reads from `search` how large the generators are built."""
RANDOM, HAND_DRAWN = "random", "sngan"


def supernet(job: Job) -> Mapping[str, float]:
    """Run Algorithm 1, as often as the recipe says, and save the logits; the weights are not used again.

    `updates.json` counts the updates of every player; `samples.png` shows pictures of the super-generator. Of repeats
    from other seeds, files lie in folders `repeat1` and so on, and metrics have such names.
    """
    facts: dict[str, float] = {}
    for number in range(searches(job.recipe)):
        found = _supernet(_job_of_repeat(job, number), job.out / log_file(f"{NAME}{number or ''}"))
        both = {name: facts.get(name, 0) + found[name] for name in ("steps", "updates")}
        facts = {**facts, **(found if not number else told(number, found)), **both}
    return facts


def _job_of_repeat(job: Job, number: int) -> Job:
    """Return the job of one whole search, whose files do not disturb those of the others."""
    if not number:
        return job
    folder = folder_of(job.out, number)
    folder.mkdir(exist_ok=True)
    return replace(again(job, number), out=folder, journal=lambda name: job.journal(f"{name}{number}"))


def _supernet(job: Job, log: Path) -> dict[str, float]:
    """Run Algorithm 1 once."""
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    table = timetable(options)
    both, counts = players(job, options, len(table)), Counts()
    average = Ema(both.generator.net, options.ema) if options.ema is not None else None
    gradients = _gradients(job, log, options, both)
    state: dict[str, Stateful] = {**both.parts, "counts": counts, "gradients": gradients}
    state |= {} if average is None else {"ema": average}
    searched = {"": both.generator.relaxation, DISCRIMINATOR: both.discriminator.relaxation}
    relaxations = {name: each for name, each in searched.items() if each is not None}
    after_generator = average.update if average is not None else lambda: None
    lines = phases(job, options, both, table, counts, after_generator, gradients) if table else []
    images = batches(job, options, table) if table else {}
    entropy = train_traced(job, relaxations, lines, images, len(table), state)
    if world()[0] == 0 and table:
        net = both.generator.net if average is None else average.module
        shown = Playing(Player(net, both.generator.relaxation), len(table))
        _draw(job, shown if average is None else from_noise(job.task).settled(shown, options.batch))
    write_json(job.out / UPDATES, counts.state_dict())
    about = {"steps": len(table), "updates": counts.counts["generator"], "entropy": entropy}
    return {**about, **gradients.facts()} if table else about


def _gradients(job: Job, log: Path, options: SupernetOptions, both: Players) -> Gradients:
    """Return the log of what the generator's logits learn from."""
    assert both.generator.relaxation is not None
    flat = job.recipe.losses.gan == "hinge" and options.gap != "scores"
    return Gradients(log if world()[0] == 0 else None, both.generator.relaxation, flat, job.say)


@torch.no_grad()
def _draw(job: Job, shown: nn.Module) -> None:
    noise = job.compute.place(latents(36, from_noise(job.task).latent, job.recipe.seed, use=TEST))
    torch.manual_seed(job.recipe.seed)
    panels({"supernet": shown.eval()(noise)}, job.out / "samples.png")


def search(job: Job) -> Found:
    """Return the most probable operation of every edge (DARTS, section 2.4), or random or published operations.

    If a budget excludes the most probable architecture, the most probable one within the budget wins. Of repeats, the
    best in the same short training wins (section 5.1).
    """
    options = section(SearchOptions, job.recipe.search, "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    architectures = Architectures(job)
    if options.kind == HALVING:
        return halved(architectures, options)
    if options.repeats > 1 and options.kind == "gradient":
        each = [architectures.of_repeat(number) for number in range(options.repeats)]
        chosen = [_chosen(one, training, options)[-1] for one in each]
        return best_of_repeats(architectures, chosen, options)
    trials = _chosen(architectures, training, options)
    drawn = []
    if wanted := options.random + (options.repeats if options.kind == RANDOM else 0):
        drawn = alike(
            architectures.space.sample,
            architectures.costs,
            options.params or trials[-1].costs["params"],
            options.equal_size,
            wanted,
            f"{job.recipe.seed}/alike",
            architectures.budget,
        )
    if options.kind == RANDOM and options.repeats == 1:
        kept = architectures.keeping(drawn)
        drawn = [kept, *(genotype for genotype in drawn if genotype != kept)]
    rivals = [architectures.trial(genotype, RANDOM, number) for number, genotype in enumerate(drawn)]
    if options.repeats > 1:
        return best_of_repeats(architectures, rivals, options)
    found, every = rivals[0] if options.kind == RANDOM else trials[-1], [*trials, *rivals]
    if over := architectures.budget.excess(found.costs):
        rule = "the published architecture must be within the budget"
        raise BudgetError(rule, f"{', '.join(over)} above it", "raise the budget")
    if options.kind == "published":
        architectures.keeping([found.genotype])
    if training.discriminator == "searched":
        genotype = read_relaxation(job, DISCRIMINATOR_SPACE, DISCRIMINATOR).argmax().to_json()
        write_json(job.out / f"{DISCRIMINATOR}.json", genotype)
    facts = {"evaluations": float(len(every)), "space_size": float(architectures.space.size)}
    facts |= architectures.timed(found.genotype)
    if training.iterations:
        facts["entropy"] = math.fsum(architectures.entropy.values()) / len(architectures.entropy)
    return Found(found, every, facts, Objective(LIKELIHOOD, "max"))


def _chosen(architectures: Architectures, training: SupernetOptions, options: SearchOptions) -> list[Trial]:
    """Return the trials that were not drawn at random, the winner last."""
    if options.kind == "published":
        return [architectures.trial(options.imported(), "published")]
    if not training.iterations:
        return []
    argmax = likeliest(architectures.space, architectures.logs, architectures.costs, {})
    first = [argmax] if architectures.budget.allows(architectures.costs(argmax)) else []
    kept = architectures.keeping(chain(first, architectures.likeliest()))
    trials = [architectures.trial(argmax, "argmax")]
    return trials if kept == argmax else [*trials, architectures.trial(kept, "budget")]


def finetune(job: Job) -> Mapping[str, Trained]:
    """Train all `plans` from scratch on all images, equally long, from the same seeds, each with its own discriminator.

    Where the recipe asks for repeats, the best training of each is kept, by the objective on the validation images.
    """
    wanted, trained, repeats = plans(job), dict[str, Trained](), job.recipe.finetune.repeats
    measure = None
    if repeats > 1:
        evaluator = evaluator_of(job)

        def measure(net: nn.Module) -> dict[str, float]:
            return first(lambda: evaluator.measure(job.compute.ready(net)))

    for done, (name, plan) in enumerate(wanted.items(), 1):
        trained[name] = _trained(job, name, plan, measure)
        if repeats == 1:
            job.tell("trainings", done, len(wanted), {})
    return trained


def _trained(job: Job, name: str, plan: Plan, measure: Callable[[nn.Module], dict[str, float]] | None) -> Trained:
    """Train one generator, as often as the recipe says, unless the search did so already."""
    recipe, updates = job.recipe, updates_of_all(job)
    repeats, batch = recipe.finetune.repeats, recipe.finetune.batch
    known = job.compute.place(build_generator(**plan.generator))
    before = name == "found" and handed_over(job, [known])

    def train(within: Job, called: str, number: int) -> nn.Module:
        return known if before and not number else train_anew(within, called, [plan], updates)[0]

    objective = objective_of(job) if repeats > 1 else None
    net, facts = best_of(job, name, repeats, train, objective, measure)
    searched = name == "found" and alone(recipe)
    if not searched and repeats == 1:
        return Trained.of(net, plan.generator, updates)
    macs = generator_cost(**recipe.size._asdict(), **plan.generator).exact
    others = Effort.candidates([macs] * (repeats - 1), updates, batch)
    own = Effort.of(updates, batch, macs, counted=before).plus(others)
    effort = Effort.read(job.inputs["search"]).plus(own) if searched else own
    return replace(Trained.of(net, plan.generator, updates, effort), facts=facts)


def plans(job: Job) -> dict[str, Plan]:
    """Return what is trained from scratch: `found`, `by_hand` if the recipe asks for it, and any `random1` and so on.

    `by_hand` is SN-GAN's generator, the narrowest with at least the found one's MACs.
    """
    recipe, before = job.recipe, job.inputs["search"]
    options = section(SearchOptions, recipe.search, "search")
    found = plan_of(recipe, found_genotype(job)).generator
    generators = {"found": found}
    if BY_HAND in recipe.finetune.rivals:
        macs = generator_cost(**recipe.size._asdict(), **found).macs(recipe.budget.convention)
        shape: dict[str, Any] = {name: found[name] for name in ("latent", "size", "outputs") if name in found}
        generators[BY_HAND] = narrowest(recipe, {"family": HAND_DRAWN, **shape}, "macs", macs)
    lines = map(json.loads, (before / TRIALS).read_bytes().splitlines())
    trials = [Trial.from_json({**line, "seconds": 0.0}) for line in lines]
    drawn = [trial.genotype for trial in trials if trial.step == RANDOM]
    for number, genotype in enumerate(drawn[options.kind == RANDOM :], 1):
        generators[f"{RANDOM}{number}"] = {**found, "genotype": genotype.to_json()}
    discriminator = dict(recipe.teach.discriminator)
    if options.discriminator == "found":
        discriminator["genotype"] = json.loads((before / f"{DISCRIMINATOR}.json").read_bytes())
    return {name: Plan(generator, discriminator) for name, generator in generators.items()}
