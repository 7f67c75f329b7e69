"""CycleGANAS: the operations of both generators and both discriminators of a CycleGAN (An and Joo 2023).

`supernet` is Algorithm 1, or the two-level searches it is compared with in section 4.1; `search` reads off its
architecture, and `finetune` trains it anew at full width, as in section 4.2. The original is the plain CycleGAN.
"""

import math
from collections.abc import Mapping
from typing import Any

from slimgen.methods.checks import NARROWED
from slimgen.methods.cyclegan_nas.options import SearchOptions, SupernetOptions, check, preview, training_of
from slimgen.methods.cyclegan_nas.phases import DISCRIMINATORS, GENERATORS, batches, joined, networks, phases, pools_of
from slimgen.methods.cyclegan_nas.repeats import Comparison, train_repeatedly
from slimgen.methods.cyclegan_nas.sized import HIDDEN, Sized
from slimgen.methods.drawn import alike
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.methods.relaxation_trace import LIKELIHOOD, likely_trial, read_relaxation, train_traced
from slimgen.methods.rivals import Plan, narrowed_original
from slimgen.nets import generator_cost
from slimgen.recipe import section
from slimgen.search import Genotype, Objective
from slimgen.tasks.task import Job
from slimgen.training.fit import Stateful

__all__ = ["check", "finetune", "preview", "search", "supernet"]

FINETUNE_SECTIONS = ("search", "objective", "evaluate.features")
"""Fine-tuning builds what the search says, and chooses among repeats by the objective."""


def supernet(job: Job) -> Mapping[str, float]:
    """Trains four supernets and the logits of their operations; leaves the logits: the weights are not used again."""
    options = training_of(job.recipe)
    steps = options.steps(len(job.data.split("train")))
    four, pools = networks(job, options, steps), pools_of(job, options)
    for net in four.nets.values():
        net.train()
    state: dict[str, Stateful] = {**four.nets, "relaxation": four.relaxation}
    state |= {f"pool.{name}": pool for name, pool in pools.items()}
    lines, images = phases(job, options, four, pools, steps), batches(job, options, steps)
    return {"updates": steps, "entropy": train_traced(job, {"": four.relaxation}, lines, images, steps, state)}


def search(job: Job) -> Found:
    """The most probable operation of every slot (section 3.2); or a random architecture of about the same size.

    Where a limit on milliseconds excludes the most probable one, it is made to keep it: see `SearchOptions.hidden`.
    """
    recipe = job.recipe
    options = section(SearchOptions, recipe.search, "search")
    training = training_of(recipe)
    relaxation = read_relaxation(job, joined(training))
    sized, logs = Sized(job, training, options, relaxation), relaxation.log_probabilities()
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
    train = job.data.split("train")
    entropy = relaxation.entropy()
    forward, reverse = (sized.cost(found.genotype, role) for role in GENERATORS)
    facts = {
        "evaluations": float(len(trials)),
        "space_size": float(relaxation.space.size),
        "entropy": math.fsum(entropy.values()) / len(entropy),
        **{f"reverse_{name}": value for name, value in sized.costs(found.genotype, GENERATORS[1]).items()},
        "total_params": float(forward.params + reverse.params),
        "reverse_share": reverse.params / (forward.params + reverse.params),
        "input_images": float(len(train.input)),
        "target_images": float(len(train.target)),
        **sized.timed(found.genotype),
    }
    return Found(found, trials, facts, Objective(LIKELIHOOD, "max"))


def finetune(job: Job) -> Mapping[str, Trained]:
    """Both found generators, trained anew at full width; and the plain CycleGAN's, narrowed to their sizes.

    Returns:
        `found` and `found_reverse`; and `narrowed` and `narrowed_reverse` where the recipe asks for them, each with at
        least as many parameters as what it is compared with (section 4.3: C'), trained as long and as often.
    """
    recipe = job.recipe
    options = section(SearchOptions, recipe.search, "search")
    training = training_of(recipe)
    comparison = Comparison(job) if options.repeats > 1 else None
    plans = _found_plans(found_genotype(job), training, options)
    trained = train_repeatedly(job, "found", plans, comparison, options.repeats)
    if NARROWED in recipe.finetune.rivals:
        costs = [generator_cost(each.family, *recipe.size, **each.options) for each in trained.values()]
        narrow = [narrowed_original(recipe, "params", cost.params) for cost in costs]
        trained |= train_repeatedly(job, NARROWED, [Plan(each) for each in narrow], comparison, options.repeats)
    return trained


def _found_plans(genotype: Genotype, training: SupernetOptions, options: SearchOptions) -> list[Plan]:
    """Both directions of the found architecture."""
    cells = {"family": "cyclegan_nas", "spectral": training.spectral, "ends": training.ends}
    wide = {**cells, "spectral": options.spectral, "hidden": int(genotype[HIDDEN]), "cells": training.cells}
    wide |= training.pictures
    discriminators: list[dict[str, Any] | None] = [None, None]
    if options.discriminators == "found":
        narrow = {**cells, "hidden": options.discriminator_hidden}
        narrow |= {"inputs": training.pictures["outputs"]} if training.pictures else {}
        discriminators = [{**narrow, "genotype": genotype.under(role).to_json()} for role in DISCRIMINATORS]
    return [
        Plan({**wide, "genotype": genotype.under(role).to_json()}, discriminator)
        for role, discriminator in zip(GENERATORS, discriminators, strict=True)
    ]
