"""CycleGANAS: search of the operations of a CycleGAN's generators and discriminators (An and Joo 2023).

`supernet` is Algorithm 1, or a two-level search that section 4.1 compares it with; `search` reads off the
architecture, and `finetune` trains it from scratch at full width (section 4.2). The original is the plain CycleGAN.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from slimgen.methods.checks import BY_HAND, HALVING, NARROWED
from slimgen.methods.cyclegan_nas.halved import halved
from slimgen.methods.cyclegan_nas.options import (
    LEAST,
    SearchOptions,
    SupernetOptions,
    check,
    preview,
    search_reads,
    training_of,
    without_effect,
)
from slimgen.methods.cyclegan_nas.phases import DISCRIMINATORS, GENERATORS, batches, joined, networks, phases, pools_of
from slimgen.methods.cyclegan_nas.repeats import Comparison, train_repeatedly
from slimgen.methods.cyclegan_nas.sized import HIDDEN, Sized
from slimgen.methods.drawn import alike
from slimgen.methods.effort import Effort
from slimgen.methods.handing import handed_over
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.relaxation_trace import LIKELIHOOD, likely_trial, read_relaxation, train_traced
from slimgen.methods.rivals import Plan, narrowed_original, narrowest
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.cyclegan_nas.space import by_hand
from slimgen.recipe import section
from slimgen.search import Genotype, Objective
from slimgen.tasks.task import Job
from slimgen.training.fit import Stateful

__all__ = ["SECTIONS", "check", "finetune", "preview", "search", "search_reads", "supernet", "without_effect"]

SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}
FAMILY = "cyclegan_nas"

FINETUNE_SECTIONS = ("search", "objective", "evaluate.features")
"""Fine-tuning reads the size of the generators from `search`, and chooses among repeats by the objective."""


def supernet(job: Job) -> Mapping[str, float]:
    """Train four supernets and the logits of their operations, and save the logits; the weights are not used again."""
    options = training_of(job.recipe)
    steps = options.steps(len(job.data.split("train")))
    four, pools = networks(job, options, steps), pools_of(job, options)
    for net in four.nets.values():
        net.train()
    state: dict[str, Stateful] = {**four.nets, "relaxation": four.relaxation}
    state |= {f"pool.{name}": pool for name, pool in pools.items()}
    lines, images = (phases(job, options, four, pools, steps), batches(job, options, steps)) if steps else ([], {})
    return {"updates": steps, "entropy": train_traced(job, {"": four.relaxation}, lines, images, steps, state)}


def search(job: Job) -> Found:
    """Return the most probable operation of every slot (section 3.2), or a random architecture of about the same size.

    If the most probable architecture exceeds a limit on milliseconds, it is made narrower or its operations change; see
    `SearchOptions.hidden`.
    """
    recipe = job.recipe
    options = section(SearchOptions, recipe.search, "search")
    training = training_of(recipe)
    relaxation = read_relaxation(job, joined(training))
    sized, logs = Sized(job, training, options, relaxation), relaxation.log_probabilities()
    if options.kind == HALVING:
        return halved(job, sized, relaxation.space, partial(_found_plans, training=training, options=options))
    argmax = sized.of(relaxation.argmax())
    likeliest = sized.keeping(sized.likeliest())
    trials = [likely_trial(argmax, sized.costs(argmax), logs, "argmax")]
    if likeliest != argmax:
        trials.append(likely_trial(likeliest, sized.costs(likeliest), logs, "budget"))
    found = trials[-1]
    if options.kind == "random":
        drawn = alike(
            lambda rng: sized.beside(likeliest, relaxation.space.sample(rng)),
            sized.pair_costs,
            sized.pair_costs(likeliest)["params"],
            options.equal_size,
            options.evaluations,
            f"{recipe.seed}/networks",
            sized.budget,
        )
        rivals = [likely_trial(each, sized.costs(each), logs, "random", number) for number, each in enumerate(drawn)]
        found, trials = rivals[drawn.index(sized.keeping(drawn))], [*trials, *rivals]
    entropy = relaxation.entropy()
    facts = {
        "evaluations": float(len(trials)),
        "space_size": float(relaxation.space.size),
        "entropy": math.fsum(entropy.values()) / len(entropy),
        **sized.facts(found.genotype),
    }
    return Found(found, trials, facts, Objective(LIKELIHOOD, "max"))


def finetune(job: Job) -> Mapping[str, Trained]:
    """Train both found generators from scratch at full width, and the plain CycleGAN's, narrowed to their sizes.

    Returns:
        `found` and `found_reverse`; and, where the recipe asks for them, `narrowed` and `narrowed_reverse` (C' in
        section 4.3), and `by_hand` and `by_hand_reverse`: CycleGAN's own operations in the cells. Rivals have at least
        as many parameters as their found counterparts, and are trained as long and as often.
    """
    recipe = job.recipe
    options = section(SearchOptions, recipe.search, "search")
    training = training_of(recipe)
    comparison = Comparison(job) if options.repeats > 1 else None
    plans = _found_plans(found_genotype(job), training, options)
    nets = [job.compute.place(build_generator(**plan.generator)) for plan in plans]
    known = handed_over(job, nets)
    trained = train_repeatedly(job, "found", plans, comparison, options.repeats, nets if known else None)
    if options.kind == HALVING:
        trained = {name: _counted(job, one, options.repeats, known) for name, one in trained.items()}
    sizes = [generator_cost(each.family, *recipe.size, **each.options).params for each in trained.values()]
    cells = {"family": FAMILY, **training.frame, "spectral": options.spectral}
    designs: dict[str, Callable[[int], dict[str, Any]]] = {
        NARROWED: lambda params: narrowed_original(recipe, "params", params),
        BY_HAND: lambda params: narrowest(
            recipe, {**cells, "genotype": by_hand(training.generator()).to_json()}, "params", params, (HIDDEN, LEAST)
        ),
    }
    for name, design in designs.items():
        if name in recipe.finetune.rivals:
            rivals = [Plan(design(params)) for params in sizes]
            trained |= train_repeatedly(job, name, rivals, comparison, options.repeats)
    return trained


def _counted(job: Job, trained: Trained, repeats: int, known: bool) -> Trained:
    """Add the effort of the search, of this training, and of the repeats among which it was the best."""
    size, batch = job.recipe.size, job.recipe.finetune.batch
    macs = generator_cost(trained.family, *size, **trained.options).exact
    others = Effort.candidates([macs] * (repeats - 1), trained.updates, batch)
    own = Effort.of(trained.updates, batch, macs, counted=known)
    return replace(trained, effort=Effort.read(job.inputs["search"]).plus(others).plus(own))


def _found_plans(genotype: Genotype, training: SupernetOptions, options: SearchOptions) -> list[Plan]:
    """Return the plans of both directions of the found architecture."""
    wide = {"family": FAMILY, **training.frame, "spectral": options.spectral, HIDDEN: int(genotype[HIDDEN])}
    discriminators: list[dict[str, Any] | None] = [None, None]
    if options.discriminators == "found":
        cells = {"family": FAMILY, "spectral": training.spectral, "ends": training.ends}
        narrow = {**cells, HIDDEN: options.discriminator_hidden}
        narrow |= {"inputs": training.pictures["outputs"]} if training.pictures else {}
        discriminators = [{**narrow, "genotype": genotype.under(role).to_json()} for role in DISCRIMINATORS]
    return [
        Plan({**wide, "genotype": genotype.under(role).to_json()}, discriminator)
        for role, discriminator in zip(GENERATORS, discriminators, strict=True)
    ]
