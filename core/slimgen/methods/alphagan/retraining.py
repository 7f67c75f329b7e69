"""Training what AlphaGAN found from scratch, beside random architectures and the one by hand (section 5)."""

import json
from collections.abc import Mapping
from typing import Any

from slimgen.files import GENOTYPE, PLAN
from slimgen.methods.alphagan.players import of_noise
from slimgen.methods.method import Trained
from slimgen.nets import build_discriminator, build_generator, generator_cost, narrowed
from slimgen.search import Genotype
from slimgen.tasks.gan import GanTraining
from slimgen.tasks.task import Job

BY_HAND = "sngan"


def finetune(job: Job) -> Mapping[str, Trained]:
    """Trains the found generator from scratch, on all images.

    Returns:
        `found`; `uniform`, the generator by hand, the narrowest that computes at least as much, where the recipe asks
        for it; and `random1` and so on, where the search drew them: all trained as long, from the same seed, each
        against a discriminator of its own.
    """
    recipe, plan = job.recipe, json.loads((job.inputs["search"] / PLAN).read_text())
    outcome = json.loads((job.inputs["search"] / GENOTYPE).read_text())
    found = {"genotype": Genotype.from_json(outcome["genotype"]).to_json(), **plan["generator"]}
    wanted: dict[str, tuple[str, dict[str, Any]]] = {"found": ("alphagan", found)}
    if recipe.finetune.uniform:
        macs = generator_cost("alphagan", recipe.size, recipe.size, **found).macs(recipe.budget.convention)
        shape = {"latent": found["latent"], "size": recipe.size}
        by_hand = narrowed(
            BY_HAND, shape, recipe.size, recipe.size, lambda cost: cost.macs(recipe.budget.convention), macs
        )
        wanted["uniform"] = BY_HAND, by_hand
    for number, genotype in enumerate(plan["rivals"], 1):
        wanted[f"random{number}"] = "alphagan", {**found, "genotype": genotype}
    trained = {}
    for done, (name, (family, options)) in enumerate(wanted.items(), 1):
        trained[name] = _trained(job, name, family, options, plan["discriminator"])
        job.tell("trainings", done, len(wanted), {})
    return trained


def _trained(
    job: Job, name: str, family: str, options: Mapping[str, Any], discriminator: Mapping[str, Any] | None
) -> Trained:
    """One generator, trained as an original is."""
    schedule, seed, task = job.recipe.finetune, job.recipe.seed, of_noise(job)
    updates = schedule.steps(sum(len(job.data.split(split)) for split in ("train", "val")))
    generator = job.compute.place(build_generator(family, seed=seed, **options))
    judge = task.discriminator()
    if discriminator is not None:
        own = {**job.recipe.teach.discriminator, "genotype": dict(discriminator)}
        judge = job.compute.place(build_discriminator(seed=seed + 1, **own))
    training = GanTraining(name, generator, judge, schedule, updates, ema=schedule.ema)
    net = task.train_original(job, training)
    return Trained(net, family, options, updates)
