"""CycleGANAS: the operations of both generators and both discriminators of a CycleGAN (An and Joo 2023).

`supernet` is Algorithm 1, or the two-level searches it is compared with in section 4.1; `search` reads off its
architecture, and `finetune` trains it anew at full width, as in section 4.2. The original is the plain CycleGAN.
"""

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimgen.cost.formula import Cost
from slimgen.errors import RunError
from slimgen.files import GENOTYPE, LOGITS, PLAN, sha256_file, write_json
from slimgen.methods.cyclegan_nas.options import SearchOptions, SupernetOptions, check, equal_hidden
from slimgen.methods.cyclegan_nas.phases import (
    DISCRIMINATORS,
    GENERATORS,
    batches,
    joined,
    phases,
    players,
    pools_of,
)
from slimgen.methods.cyclegan_nas.retraining import Comparison, Plan, train_anew
from slimgen.methods.method import Found, Trained
from slimgen.methods.relaxation_trace import LIKELIHOOD, Trace, spaced
from slimgen.nets import generator_cost, narrowed
from slimgen.nets.cyclegan_nas.cost import cells_cost
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Goal, section
from slimgen.search import Genotype, Objective, Trial, Value
from slimgen.tasks.task import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Stateful, fit

__all__ = ["SearchOptions", "SupernetOptions", "check", "finetune", "search", "supernet"]

HIDDEN = "hidden"
_TRIES = 100_000


def supernet(job: Job) -> Mapping[str, float]:
    """Trains four supernets and the logits of their operations; leaves the logits, for the weights are not used again.

    Returns:
        Updates of the generators, and the mean entropy of the choices, in nats.
    """
    options = section(SupernetOptions, job.recipe.supernet, "supernet")
    steps = options.steps(len(job.data.split("train")))
    those, pools = players(job, options, steps), pools_of(job, options)
    for net in those.nets.values():
        net.train()
    state: dict[str, Stateful] = {
        **those.nets,
        "relaxation": those.relaxation,
        **{f"pool.{name}": pool for name, pool in pools.items()},
    }
    trace = Trace(job.out, those.relaxation, spaced(steps))
    fit(
        phases(job, options, those, pools, steps),
        fixed(Genotype({})),
        batches(job, options, steps),
        steps,
        seed=job.recipe.seed,
        compute=job.compute,
        state=state,
        journal=trace.watching(job.journal("supernet")),
    )
    save_weights(job.out / LOGITS, those.relaxation.state_dict())
    return {"updates": steps, "entropy": trace.entropy()}


def search(job: Job) -> Found:
    """The most probable operation of every place (section 3.2); or a random architecture of about the same size.

    Leaves `plan.json` beside the genotype: how both are to be trained.
    """
    recipe = job.recipe
    options = section(SearchOptions, recipe.search, "search")
    training = section(SupernetOptions, recipe.supernet, "supernet")
    relaxation = Relaxation(joined(training), seed=0)
    relaxation.load_state_dict(load_weights(job.inputs["supernet"] / LOGITS))
    sized = Sized(job, training, options)
    logs = relaxation.log_probabilities()
    trials = [_trial(sized, logs, relaxation.argmax(), "argmax", 0)]
    if options.kind == "random":
        drawn = _drawn(sized, relaxation, sized.params(trials[0].genotype))
        trials += [_trial(sized, logs, genotype, "random", number) for number, genotype in enumerate(drawn)]
    found = trials[0] if options.kind == "gradient" else trials[1]
    plan = {"search": options.model_dump(), "objective": recipe.objective.model_dump()}
    if options.repeats > 1:
        # Fine-tuning reads no other section that names them, so it is this file that makes it run again.
        features = {name: dict(network) for name, network in recipe.evaluate.features.items()}
        plan |= {"features": features, "files": named_files(features)}
    write_json(job.out / PLAN, plan)
    train = job.data.split("train")
    entropy = relaxation.entropy()
    forth, back = (sized.cost(found.genotype, role) for role in GENERATORS)
    facts = {
        "evaluations": float(len(trials)),
        "space_size": float(relaxation.space.size),
        "entropy": math.fsum(entropy.values()) / len(entropy),
        **{f"back_{name}": float(value) for name, value in back.as_dict(recipe.budget.convention).items()},
        "total_params": float(forth.params + back.params),
        "back_share": back.params / (forth.params + back.params),
        "input_images": float(len(train.input)),
        "target_images": float(len(train.target)),
    }
    return Found(found, trials, {}, facts, Objective(LIKELIHOOD, "max"))


def named_files(features: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The digests of the files of feature networks."""
    paths = [Path(str(network["path"])) for network in features.values() if "path" in network]
    return {str(path): sha256_file(path) for path in paths if path.is_file()}


class Sized:
    """Architectures of all four networks, as wide as they are built.

    Args:
        job: of the stage.
        training: section `supernet`.
        options: section `search`.
    """

    def __init__(self, job: Job, training: SupernetOptions, options: SearchOptions) -> None:
        self.job, self.training, self.options = job, training, options

    def of(self, genotype: Genotype) -> Genotype:
        """The genotype with its hidden width."""
        recipe, hidden = self.job.recipe, self.options.hidden
        if hidden == "equal":
            pair = genotype.under(GENERATORS[0]), genotype.under(GENERATORS[1])
            hidden = equal_hidden(recipe, self.training, pair)
        return Genotype({HIDDEN: hidden}) | genotype

    def cost(self, genotype: Genotype, role: str) -> Cost:
        """What a generator costs on one image."""
        size = self.job.recipe.size
        return cells_cost(self.training.generator(int(genotype[HIDDEN])), genotype.under(role), size, size)

    def params(self, genotype: Genotype) -> int:
        """The parameters of both generators."""
        return sum(self.cost(genotype, role).params for role in GENERATORS)


def _trial(
    sized: Sized, logs: Mapping[str, Mapping[Value, float]], genotype: Genotype, step: str, number: int
) -> Trial:
    """An architecture, what its generator of the recipe's direction costs, and how probable it is."""
    whole = genotype if HIDDEN in genotype else sized.of(genotype)
    costs = sized.cost(whole, GENERATORS[0]).as_dict(sized.job.recipe.budget.convention)
    nats = math.fsum(those[whole[name]] for name, those in logs.items())
    return Trial(whole, {name: float(value) for name, value in costs.items()}, {LIKELIHOOD: nats}, number, step)


def _drawn(sized: Sized, relaxation: Relaxation, params: int) -> list[Genotype]:
    """Random architectures whose generators together have about so many parameters."""
    options, found = sized.options, []
    for number in range(_TRIES):
        genotype = sized.of(relaxation.space.sample(random.Random(f"{sized.job.recipe.seed}/networks/{number}")))
        if abs(sized.params(genotype) / params - 1) <= options.equal_size:
            found.append(genotype)
            if len(found) == options.networks:
                return found
    rule = f"{options.networks} of {_TRIES:,} random architectures must have about {params:,} parameters"
    raise RunError(rule, f"{len(found)}", "set search.hidden equal, or search.equal_size larger")


def finetune(job: Job) -> Mapping[str, Trained]:
    """Both found generators, trained anew at full width; and the plain CycleGAN's, narrowed to their sizes.

    Returns:
        `found` and `found_back`; and `uniform` and `uniform_back` where the recipe asks for them, each with at least
        as many parameters as its rival (section 4.3: C'), trained as long and as often.
    """
    plan = json.loads((job.inputs["search"] / PLAN).read_text())
    options = section(SearchOptions, plan["search"], "search")
    training = section(SupernetOptions, job.recipe.supernet, "supernet")
    outcome = json.loads((job.inputs["search"] / GENOTYPE).read_text())
    genotype = Genotype.from_json(outcome["genotype"])
    comparison = None
    if options.repeats > 1:
        comparison = Comparison(job, section(Goal, plan["objective"], "objective"), plan["features"])
    trained = train_anew(job, "found", _found_plans(genotype, training, options, job), comparison, options.repeats)
    if job.recipe.finetune.uniform:
        sizes = [
            generator_cost(each.family, job.recipe.size, job.recipe.size, **each.options) for each in trained.values()
        ]
        forth, back = (_narrowed_plan(job, cost.params) for cost in sizes)
        trained |= train_anew(job, "uniform", (forth, back), comparison, options.repeats)
    return trained


def _found_plans(genotype: Genotype, training: SupernetOptions, options: SearchOptions, job: Job) -> tuple[Plan, Plan]:
    """Both directions of the found architecture."""
    cells = {"family": "cyclegan_nas", "spectral": training.spectral, "ends": training.ends}
    wide = {**cells, "spectral": options.spectral, "hidden": int(genotype[HIDDEN]), "cells": training.cells}
    judges: list[dict[str, Any]] = [_original_discriminator(job)] * 2
    if options.discriminators == "found":
        hidden = options.discriminator_hidden
        judges = [{**cells, "hidden": hidden, "genotype": genotype.under(role).to_json()} for role in DISCRIMINATORS]
    one, other = (
        Plan({**wide, "genotype": genotype.under(role).to_json()}, judge)
        for role, judge in zip(GENERATORS, judges, strict=True)
    )
    return one, other


def _narrowed_plan(job: Job, params: int) -> Plan:
    """The original's networks, the generator the narrowest with at least so many parameters."""
    size, original = job.recipe.size, job.recipe.teach.generator
    options = {name: value for name, value in original.items() if name != "family"}
    narrow = narrowed(original["family"], options, size, size, lambda cost: cost.params, params)
    return Plan({"family": original["family"], **narrow}, _original_discriminator(job))


def _original_discriminator(job: Job) -> dict[str, Any]:
    """The original's discriminator, which judges an image alone."""
    return {"inputs": job.task.discriminator_inputs, **job.recipe.teach.discriminator}
